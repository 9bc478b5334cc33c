// The page: pictures and frames go to the worker and come back swapped.
import {markPng, markWebm} from './mark.js';

const kLongest = 1920;  // pixels of a side; larger frames are shown smaller

const $ = (id) => document.getElementById(id);
const canvas = $('result'), shown = canvas.getContext('2d');
const scratch = document.createElement('canvas').getContext('2d', {willReadFrequently: true});

const worker = new Worker('worker.js', {type: 'module'});
const waiting = new Map();
let next = 0;
function ask(call, content = {}, transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++next, {resolve, reject});
    worker.postMessage({id: next, call, ...content}, transfer);
  });
}
worker.onmessage = ({data}) => {
  if (data.progress !== undefined) {
    $('state').textContent = `Loading ${Math.round(100 * data.progress)} %`;
    return;
  }
  const {resolve, reject} = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) reject(new Error(data.error));
  else resolve(data);
};
worker.onerror = () => tell('The program did not start: this browser is too old (it takes Chrome 95, Firefox 114 or Safari 16.4)');

let hideError;
function tell(message) {
  $('error').textContent = message;
  $('error').hidden = false;
  clearTimeout(hideError);
  hideError = setTimeout(() => $('error').hidden = true, 8000);
}

// What is swapped onto now: nothing, a picture (ImageData of the original) or a film (a video element).
let target = null, person = false, generation = 0;

const small = (width, height) => {
  const scale = Math.min(1, kLongest / Math.max(width, height));
  return [Math.round(width * scale), Math.round(height * scale)];
};
// The pixels of anything that can be drawn.
function pixelsOf(source, width, height) {
  if (scratch.canvas.width !== width || scratch.canvas.height !== height) scratch.canvas.width = width, scratch.canvas.height = height;
  scratch.drawImage(source, 0, 0, width, height);
  return scratch.getImageData(0, 0, width, height);
}
// Upright, as its EXIF says.
async function readPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {imageOrientation: 'from-image'});
  } catch {
    throw new Error(`${file.name}: no picture that this browser can read`);
  }
  const [width, height] = small(bitmap.width, bitmap.height);
  const pixels = pixelsOf(bitmap, width, height);
  bitmap.close();
  return pixels;
}

function show(frame) {
  if (canvas.width !== frame.width || canvas.height !== frame.height) canvas.width = frame.width, canvas.height = frame.height;
  shown.putImageData(frame, 0, 0);
  $('hint').hidden = true;
}
function numbers(faces, milliseconds) {
  $('faces').textContent = faces;
  $('milliseconds').textContent = milliseconds.toFixed(milliseconds < 100 ? 1 : 0);
}

// While a picture is being swapped more wishes (a slider that moves) become one.
let swapping = false, again = false;
async function swapPicture() {
  again = swapping;
  if (swapping) return;
  swapping = true;
  do {
    again = false;
    await swapPictureOnce();
  } while (again);
  swapping = false;
}
async function swapPictureOnce() {
  if (!(target instanceof ImageData)) return;
  const mine = generation, picture = target;
  if (!person) return show(picture);
  const copy = new ImageData(picture.data.slice(), picture.width, picture.height);
  try {
    const {frame, faces, milliseconds} = await ask('swap', {frame: copy}, [copy.data.buffer]);
    if (mine !== generation) return;
    show(frame);
    numbers(faces, milliseconds);
    if (faces === 0) tell('No face was found in the picture');
  } catch (error) {
    tell(error.message);
  }
}

// One frame after the other, each as soon as the last one is there: what the processor cannot follow is left out.
async function run(video, mine) {
  const nextFrame = () => new Promise((resolve) => video.requestVideoFrameCallback ? video.requestVideoFrameCallback(() => resolve()) : requestAnimationFrame(() => resolve()));
  const times = [], begin = performance.now();
  if (person) await ask('film');
  let streaming = person;
  while (mine === generation) {
    await nextFrame();
    if (mine !== generation || !video.videoWidth) continue;
    const [width, height] = small(video.videoWidth, video.videoHeight);
    const picture = pixelsOf(video, width, height);
    if (!person) {
      show(picture);
      continue;
    }
    if (!streaming) await ask('film'), streaming = true;
    try {
      const {frame, faces, milliseconds} = await ask('swap', {frame: picture, seconds: (performance.now() - begin) / 1000}, [picture.data.buffer]);
      if (mine !== generation) return;
      show(frame);
      numbers(faces, milliseconds);
    } catch (error) {
      tell(error.message);
      return stop();
    }
    times.push(performance.now());
    if (times.length > 30) times.shift();
    if (times.length > 1) $('fps').textContent = (1000 * (times.length - 1) / (times.at(-1) - times[0])).toFixed(1);
  }
}

function stop() {
  ++generation;
  if (recorder) finishRecording();
  if (target instanceof HTMLVideoElement) discard(target);
  target = null;
  for (const id of ['fps', 'milliseconds', 'faces']) $(id).textContent = '–';
  $('camera').setAttribute('aria-pressed', 'false');
  $('screen').classList.remove('mirrored');
  $('record').disabled = true;
}

function discard(video) {
  video.pause();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  if (video.src) URL.revokeObjectURL(video.src);
}

// False: something else was chosen before it began.
async function startFilm(prepare) {
  stop();
  const mine = generation, video = document.createElement('video');
  video.playsInline = true;
  try {
    await prepare(video);
    await video.play();
  } catch (error) {
    discard(video);
    if (mine !== generation) return false;
    stop();
    throw error;
  }
  if (mine !== generation) {
    discard(video);
    return false;
  }
  target = video;
  $('save').disabled = $('record').disabled = false;
  run(video, mine);
  return true;
}

$('camera').onclick = async () => {
  if ($('camera').getAttribute('aria-pressed') === 'true') return stop();
  try {
    const begun = await startFilm(async (video) => {
      if (!navigator.mediaDevices) throw new Error('a camera needs a secure address: https, or localhost');
      video.srcObject = await navigator.mediaDevices.getUserMedia({video: {width: {ideal: 1280}, height: {ideal: 720}, facingMode: 'user'}});
      video.muted = true;
    });
    if (!begun) return;
    $('camera').setAttribute('aria-pressed', 'true');
    $('screen').classList.add('mirrored');
  } catch (error) {
    tell(`No camera: ${error.message}`);
  }
};

async function openTarget(file) {
  try {
    if (file.type.startsWith('video/')) {
      return await startFilm(async (video) => {
        video.src = URL.createObjectURL(file);
        video.loop = true;
        await new Promise((resolve, reject) => {
          video.onloadeddata = resolve;
          video.onerror = () => reject(new Error(`${file.name}: no video that this browser can play`));
        });
      });
    }
    const picture = await readPicture(file);
    stop();
    target = picture;
    $('save').disabled = false;
    await swapPicture();
  } catch (error) {
    tell(error.message);
  }
}
$('target').onchange = ({target: input}) => {
  if (input.files.length) openTarget(input.files[0]);
  input.value = '';
};

async function choosePerson(files) {
  try {
    const saved = files.find((f) => f.name.endsWith('.safetensors'));
    const photos = saved ? [] : await Promise.all(files.map(readPicture));
    $('person').textContent = 'One moment …';
    const {warnings} = await ask('person', saved ? {saved: new Uint8Array(await saved.arrayBuffer())} : {photos});
    $('thumbnails').replaceChildren(...(saved ? [] : files).map((file) => {
      const image = new Image();
      image.src = URL.createObjectURL(file);
      image.onload = () => URL.revokeObjectURL(image.src);
      image.alt = file.name;
      return image;
    }));
    $('person').textContent = warnings || (saved ? saved.name : files.length > 1 ? `${files.length} photos` : files[0].name);
    person = true;
    $('save-person').disabled = false;
    await swapPicture();
  } catch (error) {
    $('person').textContent = error.message;
    tell(error.message);
  }
}
$('photos').onchange = ({target: input}) => {
  if (input.files.length) choosePerson([...input.files]);
  input.value = '';
};

// Dropped onto the picture: what is to be swapped.
$('screen').ondragover = (event) => event.preventDefault();
$('screen').ondragenter = () => $('screen').classList.add('drop');
$('screen').ondragleave = () => $('screen').classList.remove('drop');
$('screen').ondrop = (event) => {
  event.preventDefault();
  $('screen').classList.remove('drop');
  if (event.dataTransfer.files.length) openTarget(event.dataTransfer.files[0]);
};

async function looks() {
  $('strength-value').textContent = Number($('strength').value).toFixed(2);
  try {
    await ask('options', {options: {faces: $('all').checked ? 'all' : 'largest', strength: Number($('strength').value), keepMouth: $('mouth').checked}});
    await swapPicture();
  } catch (error) {
    tell(error.message);
  }
}
for (const id of ['all', 'mouth', 'strength']) $(id).oninput = looks;

function download(bytes, type, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
$('save').onclick = () => canvas.toBlob(async (blob) => download(markPng(new Uint8Array(await blob.arrayBuffer())), 'image/png', 'swapped.png'), 'image/png');
$('save-person').onclick = async () => download((await ask('savePerson')).bytes, 'application/octet-stream', 'person.safetensors');

let recorder = null;
function finishRecording() {
  recorder.stop();
  recorder = null;
  $('record').setAttribute('aria-pressed', 'false');
}
$('record').onclick = () => {
  if (recorder) return finishRecording();
  const type = ['video/webm;codecs=vp9,opus', 'video/webm;codecs=vp8,opus', 'video/webm'].find((t) => window.MediaRecorder?.isTypeSupported(t));
  if (!type) return tell('This browser cannot record');
  const film = canvas.captureStream(), chunks = [];
  // The film's own sound; of a camera there is none.
  if (target.src && target.captureStream) target.captureStream().getAudioTracks().forEach((track) => film.addTrack(track));
  recorder = new MediaRecorder(film, {mimeType: type, videoBitsPerSecond: 8e6});
  recorder.ondataavailable = ({data}) => chunks.push(data);
  recorder.onstop = async () => {
    const recorded = new Uint8Array(await new Blob(chunks).arrayBuffer()), marked = markWebm(recorded);
    if (marked === recorded) tell('This browser writes recordings in which no note can be put: say yourself that a face was swapped');
    download(marked, 'video/webm', 'swapped.webm');
  };
  recorder.start();
  $('record').setAttribute('aria-pressed', 'true');
};

ask('load', {base: new URL('./', location.href).href}).then(({version}) => $('state').textContent = `Ready (version ${version})`, (error) => {
  $('state').textContent = 'Not loaded';
  tell(error.message);
});
