// Driven by library.sh: node library.mjs SITE FOLDER WIDTH,HEIGHT-of-the-photo WIDTH,HEIGHT-of-the-target
import assert from 'node:assert';
import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

const [site, folder, ...sizes] = process.argv.slice(2);
const [[photoWidth, photoHeight], [width, height]] = sizes.map((s) => s.split(',').map(Number));
globalThis.self = {location: {href: pathToFileURL(`${site}/`).href}};  // the module is built for workers
globalThis.importScripts = () => {};
const {MobileFaceSwap, MobileFaceSwapError} = await import(pathToFileURL(`${site}/mobilefaceswap.js`));

const files = () => JSON.parse(readFileSync(`${site}/files.json`)).map(({name, bytes}) => {
  const content = new Uint8Array(readFileSync(`${site}/${name}`));
  assert.equal(content.length, bytes, name);
  return {name, bytes: content};
});
const module = {wasmBinary: readFileSync(`${site}/mobilefaceswap.wasm`)};
const picture = (name, w, h) => ({data: new Uint8ClampedArray(readFileSync(`${folder}/${name}.rgba`)), width: w, height: h});
const refuses = (call, part) => assert.throws(call, (e) => e instanceof MobileFaceSwapError && e.message.includes(part) || assert.fail(`${e}`));

const begin = performance.now();
const engine = await MobileFaceSwap.create({files: files(), module});
const photo = picture('franck_02159', photoWidth, photoHeight);
const person = engine.createIdentity([photo]);
const ready = performance.now() - begin;
engine.setIdentity(person, {faces: 'all'});

// The same picture as the native program's: only rounding differs.
const target = picture('sample6', width, height), native = picture('native', width, height), original = target.data.slice();
assert.equal(engine.findFaces(target).length, 4);
assert.equal(engine.swapPixels(target), 4);
let worst = 0, sum = 0, changed = 0;
target.data.forEach((v, i) => {
  const d = Math.abs(v - native.data[i]);
  worst = Math.max(worst, d);
  sum += d;
  changed += v !== original[i];
});
assert(changed > 10000, 'nothing was swapped');
assert(worst <= 2 && sum / target.data.length < 0.02, `differs from the native picture: at most ${worst}, mean ${sum / target.data.length}`);
console.log(`4 faces of a picture of ${width}x${height}: at most ${worst} of 255 from the native program's, mean ${(sum / target.data.length).toFixed(5)}`);

// Identities travel between the two.
const saved = engine.loadIdentity(person.save());
const made = engine.loadIdentity(new Uint8Array(readFileSync(`${folder}/franck.safetensors`)));
for (const other of [saved, made]) {
  engine.setIdentity(other, {faces: 'all'});
  const again = {...target, data: new Uint8ClampedArray(original)};
  engine.swapPixels(again);
  let far = 0;
  again.data.forEach((v, i) => far = Math.max(far, Math.abs(v - target.data[i])));
  assert(far <= 2, `a saved identity makes another picture: ${far}`);
  other.free();
}

// What goes wrong is said.
refuses(() => engine.createIdentity([{data: new Uint8ClampedArray(4 * 64 * 64), width: 64, height: 64}]), 'no face found');
refuses(() => engine.createIdentity([{data: new Uint8ClampedArray(8), width: 64, height: 64}]), 'RGBA');
refuses(() => engine.loadIdentity(new Uint8Array(100)), 'identity');
refuses(() => engine.setIdentity(person, {faces: 'some'}), 'faces some');
refuses(() => engine.setIdentity(person, {strength: 2}), 'strength');
const tampered = files();
tampered.find((f) => f.name.endsWith('mfs-slim-224.safetensors')).bytes[5000] ^= 1;
const bad = await MobileFaceSwap.create({files: tampered, module});
refuses(() => bad.createIdentity([photo]), 'checksum');

// A film: how fast.
engine.setIdentity(person);
const film = readFileSync(`${folder}/film.rgba`), bytes = 4 * 640 * 480, stream = engine.stream(), times = [];
let swapped = 0;
for (let i = 0; i < film.length / bytes; ++i) {
  const frame = {data: new Uint8ClampedArray(film.subarray(i * bytes, (i + 1) * bytes)), width: 640, height: 480};
  const start = performance.now();
  swapped += stream.swap(frame, i / 25);
  times.push(performance.now() - start);
}
stream.free();
assert(swapped >= times.length - 2, `only ${swapped} of ${times.length} frames were swapped`);
const sorted = times.slice(10).sort((a, b) => a - b);
console.log(`film 640x480, one thread, Node ${process.version}: median ${sorted[sorted.length >> 1].toFixed(1)} ms a frame (${(1000 / sorted[sorted.length >> 1]).toFixed(0)} frames/s), fastest ${sorted[0].toFixed(1)} ms; loading and the person ${(ready / 1000).toFixed(2)} s; memory ${(engine.wasm.HEAPU8.length / 2 ** 20).toFixed(0)} MiB`);
console.log('library: passed');
