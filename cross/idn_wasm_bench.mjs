// The IDN at 224 in WebAssembly: ours against ONNX Runtime Web (wasm, SIMD, one thread), in turn; outputs are compared first.
// node idn_wasm_bench.mjs BUILD_FOLDER ORT_WEB_FOLDER
import {createRequire} from 'node:module';
import {readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';
import {resolve} from 'node:path';

const [build, web] = process.argv.slice(2).map((p) => resolve(p));
const size = 224, plane = size * size;
const ours = await createRequire(import.meta.url)(`${build}/idn_wasm.js`)();
const ort = await import(pathToFileURL(`${web}/ort.wasm.min.mjs`));
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = readFileSync(`${web}/ort-wasm-simd-threaded.wasm`);

const length = ours._idn_onnx(size), start = ours._idn_onnx_data();
const model = ours.HEAPU8.slice(start, start + length);
if (ours._idn_create(size) !== 0) throw new Error('idn_create failed');
const session = await ort.InferenceSession.create(model, {graphOptimizationLevel: 'all'});
const target = Float32Array.from({length: 3 * plane}, (_, i) => (i * 7919 % 1000) / 1000);
const pointer = ours._malloc(4 * 7 * plane), mask = pointer + 12 * plane, image = mask + 4 * plane;
const runOurs = () => {
  ours.HEAPF32.set(target, pointer / 4);
  if (ours._idn_run(pointer, mask, image) !== 0) throw new Error('idn_run failed');
};
const runOrt = () => session.run({target: new ort.Tensor('float32', target, [1, 3, size, size])});

runOurs();
const expected = (await runOrt()).image.data;
let worst = 0;
for (let i = 0; i < 3 * plane; ++i) worst = Math.max(worst, Math.abs(expected[i] - ours.HEAPF32[image / 4 + i]));
if (!(worst < 1e-3)) throw new Error(`the engines disagree by ${worst}`);
const times = {ours: [], ort: []};
for (let round = 0; round < 20; ++round) {
  for (const [name, run] of [['ours', runOurs], ['ort', runOrt]]) {
    await run();
    const begin = performance.now();
    await run();
    times[name].push(performance.now() - begin);
  }
}
const median = (v) => v.sort((a, b) => a - b)[v.length >> 1];
const [a, b] = [median(times.ours), median(times.ort)];
console.log(`IDN 224 in Node ${process.version}, medians of 20 in turn, largest difference ${worst.toExponential(1)}`);
console.log(`mfs wasm simd128: ${a.toFixed(1)} ms (min ${times.ours[0].toFixed(1)}); onnxruntime-web ${ort.env.versions?.web ?? ''}: ${b.toFixed(1)} ms (min ${times.ort[0].toFixed(1)}); ratio ${(b / a).toFixed(2)}`);
