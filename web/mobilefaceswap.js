// The library in JavaScript: a thin layer over the C interface (include/mobilefaceswap/mobilefaceswap.h), for a worker or a page. Everything is done in the thread that calls.
//
//   const engine = await MobileFaceSwap.create({base: new URL('./', import.meta.url)});
//   const person = engine.createIdentity([photo]);        // ImageData, or {data, width, height} with RGBA bytes
//   engine.setIdentity(person, {faces: 'all'});
//   engine.swapPixels(picture);                           // in place; the number of faces
//   engine.stream().swap(frame, seconds);                 // a camera's or a film's frames
//
// Errors are thrown as MobileFaceSwapError with the library's sentence.
import createModule from './mobilefaceswap-wasm.js';
import {sha256} from './noble-hashes/sha2.js';

const kFaces = {largest: 0, all: 1};
const kRgba = 2;  // MFS_RGBA8
const kImageBytes = 20, kOptionsBytes = 40;
// mfs_swap_options: offset and kind of every field that can be set here.
const kOptions = {
  similarity: [8, 'f32'], strength: [12, 'f32'], feather: [20, 'f32'], colorMatch: [24, 'i32'], detailMatch: [28, 'i32'], keepMouth: [32, 'i32'],
};

export class MobileFaceSwapError extends Error {
  constructor(status, message) {
    super(message || `error ${status}`);
    this.name = 'MobileFaceSwapError';
    this.status = status;  // mfs_status
  }
}

// The files below `base` that a swapper needs, with progress: onProgress(bytes, total).
async function fetchFiles(base, onProgress) {
  const get = async (name) => {
    const reply = await fetch(new URL(name, base));
    if (!reply.ok) throw new MobileFaceSwapError(2, `${name} could not be fetched (${reply.status})`);
    return reply;
  };
  const list = await (await get('files.json')).json();
  const total = list.reduce((sum, file) => sum + file.bytes, 0);
  let done = 0;
  return Promise.all(list.map(async ({name}) => {
    const parts = [];
    const reader = (await get(name)).body.getReader();
    for (;;) {
      const {value, done: end} = await reader.read();
      if (end) break;
      parts.push(value);
      done += value.length;
      onProgress?.(done, total);
    }
    return {name, bytes: new Uint8Array(await new Blob(parts).arrayBuffer())};
  }));
}

export class MobileFaceSwap {
  // base: address of the folder that holds files.json and what it names. files: [{name, bytes}] in place of fetching. module: options of the emscripten module (wasmBinary ...).
  static async create({base, files, module = {}, onProgress} = {}) {
    const [loaded, wasm] = await Promise.all([files ?? fetchFiles(base, onProgress), createModule({sha256, ...module})]);
    wasm.FS.mkdirTree('/cache/models');
    wasm.FS.mkdirTree('/models');
    for (const {name, bytes} of loaded) wasm.FS.writeFile(name.startsWith('cache/') ? `/${name}` : `/models/${name.replace(/^models\//, '')}`, bytes);
    return new MobileFaceSwap(wasm);
  }

  constructor(wasm) {
    this.wasm = wasm;
    this.pixels = {pointer: 0, bytes: 0};  // of the picture that is worked on
    const options = this.#words([this.#string('/models'), this.#string('/cache'), 0]);
    const place = this.#take(4);
    const status = wasm._mfs_engine_create(options, place);
    this.engine = this.#word(place);
    wasm._free(place);
    this.#check(status);
  }

  get version() { return this.wasm.UTF8ToString(this.wasm._mfs_version()); }
  // What the last call left out or did otherwise than may be expected, a sentence a line.
  get warnings() { return this.wasm.UTF8ToString(this.wasm._mfs_last_warnings(this.engine)); }

  // One or several photos of one person, upright; an Identity, to be freed with its free().
  createIdentity(photos) {
    const {wasm} = this;
    const images = this.#take(kImageBytes * photos.length), held = [], place = this.#take(4);
    try {
      photos.forEach((photo, i) => {
        const bytes = this.#take(photo.data.length);
        held.push(bytes);
        wasm.HEAPU8.set(photo.data, bytes);
        this.#image(images + kImageBytes * i, bytes, photo);
      });
      this.#check(wasm._mfs_identity_create_from_images(this.engine, images, photos.length, place));
      return new Identity(this, this.#word(place));
    } finally {
      for (const pointer of [...held, images, place]) wasm._free(pointer);
    }
  }
  // A saved identity: the bytes of a file of `mfs identity create` or of Identity.save().
  loadIdentity(bytes) {
    const {wasm} = this;
    const path = this.#string('/identity.safetensors'), place = this.#take(4);
    try {
      wasm.FS.writeFile('/identity.safetensors', bytes);
      this.#check(wasm._mfs_identity_load(this.engine, path, place));
      return new Identity(this, this.#word(place));
    } finally {
      wasm.FS.unlink('/identity.safetensors');
      for (const pointer of [path, place]) wasm._free(pointer);
    }
  }
  // options: faces 'largest' or 'all', strength 0..1, feather, colorMatch, detailMatch, keepMouth; what is not named has its default.
  setIdentity(identity, options = {}) {
    const {wasm} = this;
    const place = this.#take(kOptionsBytes);
    wasm._mfs_swap_default_options(place);
    const view = new DataView(wasm.HEAPU8.buffer, place, kOptionsBytes);
    for (const [name, value] of Object.entries(options)) {
      if (name === 'faces' && value in kFaces) {
        view.setInt32(0, kFaces[value], true);
      } else if (name in kOptions) {
        const [offset, kind] = kOptions[name];
        if (kind === 'f32') view.setFloat32(offset, value, true);
        else view.setInt32(offset, value ? 1 : 0, true);
      } else {
        wasm._free(place);
        throw new MobileFaceSwapError(1, `no such option: ${name} ${value}`);
      }
    }
    const status = wasm._mfs_engine_set_identity(this.engine, identity.handle, place);
    wasm._free(place);
    this.#check(status);
  }

  // In place; returns the number of faces swapped.
  swapPixels(picture) { return this.#swap(picture, (image, count) => this.wasm._mfs_swap_pixels(this.engine, image, count)); }
  // The faces of a picture, largest first: {x0, y0, x1, y1, score}.
  findFaces(picture, most = 16) {
    const {wasm} = this;
    const kFaceBytes = 4 * 18, faces = this.#take(kFaceBytes * most);
    try {
      const count = this.#swap(picture, (image, place) => wasm._mfs_find_faces(this.engine, image, faces, most, place));
      return Array.from({length: count}, (_, i) => {
        const f = new Float32Array(wasm.HEAPU8.buffer, faces + kFaceBytes * i, 5);
        return {x0: f[0], y0: f[1], x1: f[2], y1: f[3], score: f[4]};
      });
    } finally {
      wasm._free(faces);
    }
  }
  // For the frames of one camera or film, one after the other.
  stream() {
    const {wasm} = this;
    const place = this.#take(4);
    const status = wasm._mfs_stream_create(this.engine, place);
    let handle = this.#word(place);
    wasm._free(place);
    this.#check(status);
    return {
      // In place; seconds: when the frame is shown. Returns the number of faces swapped.
      swap: (frame, seconds) => this.#swap(frame, (image, count) => wasm._mfs_stream_swap(handle, image, seconds, count)),
      free: () => {
        wasm._mfs_stream_destroy(handle);
        handle = 0;
      },
    };
  }

  // call(image, place for a number); the pixels travel there and back.
  #swap(picture, call) {
    const {wasm} = this, bytes = picture.data.length;
    if (bytes > this.pixels.bytes) {
      wasm._free(this.pixels.pointer);
      this.pixels = {pointer: 0, bytes: 0};
      this.pixels = {pointer: this.#take(bytes), bytes};
    }
    const {pointer} = this.pixels, image = this.#take(kImageBytes + 4), count = image + kImageBytes;
    try {
      wasm.HEAPU8.set(picture.data, pointer);
      this.#image(image, pointer, picture);
      this.#check(call(image, count));
      picture.data.set(wasm.HEAPU8.subarray(pointer, pointer + bytes));
      return this.#word(count);
    } finally {
      wasm._free(image);
    }
  }
  // Memory of the module, to be given back with _free.
  #take(bytes) {
    const pointer = this.wasm._malloc(bytes);
    if (pointer === 0) throw new MobileFaceSwapError(9, 'not enough memory for the picture');
    return pointer;
  }
  #image(at, pixels, {data, width, height}) {
    if (data.length !== 4 * width * height) throw new MobileFaceSwapError(1, 'the picture does not have width x height RGBA pixels');
    const view = new DataView(this.wasm.HEAPU8.buffer, at, kImageBytes);
    [pixels, width, height, 4 * width, kRgba].forEach((value, i) => view.setInt32(4 * i, value, true));
  }
  #word(at) { return new DataView(this.wasm.HEAPU8.buffer).getUint32(at, true); }
  #words(values) {
    const at = this.#take(4 * values.length);
    values.forEach((value, i) => new DataView(this.wasm.HEAPU8.buffer).setUint32(at + 4 * i, value, true));
    return at;
  }
  #string(text) {
    const bytes = this.wasm.lengthBytesUTF8(text) + 1, at = this.#take(bytes);
    this.wasm.stringToUTF8(text, at, bytes);
    return at;
  }
  #check(status) {
    if (status !== 0) throw new MobileFaceSwapError(status, this.wasm.UTF8ToString(this.wasm._mfs_last_error(this.engine)));
  }
}

class Identity {
  constructor(owner, handle) {
    this.owner = owner;
    this.handle = handle;
  }
  // The bytes of a .safetensors file of about 1 MB, as `mfs` reads it.
  save() {
    const {wasm, engine} = this.owner;
    const name = '/saved.safetensors', path = wasm._malloc(32);
    wasm.stringToUTF8(name, path, 32);
    const status = wasm._mfs_identity_save(engine, this.handle, path);
    wasm._free(path);
    if (status !== 0) throw new MobileFaceSwapError(status, wasm.UTF8ToString(wasm._mfs_last_error(engine)));
    const bytes = wasm.FS.readFile(name);
    wasm.FS.unlink(name);
    return bytes;
  }
  free() {
    this.owner.wasm._mfs_identity_destroy(this.handle);
    this.handle = 0;
  }
}
