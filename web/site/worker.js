// The library in a thread of its own: answers the page's messages {id, call, ...} one after the other with {id, ...} or {id, error}.
import {MobileFaceSwap} from './mobilefaceswap.js';

let engine, person, stream, options = {};

const calls = {
  async load({base}) {
    engine = await MobileFaceSwap.create({base, onProgress: (bytes, total) => postMessage({progress: bytes / total})});
    return {version: engine.version};
  },
  // photos: ImageData of one person; or saved: the bytes of an identity file.
  person({photos, saved}) {
    const made = saved ? engine.loadIdentity(saved) : engine.createIdentity(photos);
    const warnings = engine.warnings.trim();  // of this call: the next one clears them
    engine.setIdentity(made, options);
    person?.free();
    person = made;
    return {warnings};
  },
  savePerson: () => ({bytes: person.save()}),
  options({options: wanted}) {
    options = wanted;
    if (person) engine.setIdentity(person, options);
    return {};
  },
  // Another camera or film begins.
  film() {
    stream?.free();
    stream = engine.stream();
    return {};
  },
  // seconds: undefined for a picture, in which every face is looked for.
  swap({frame, seconds}) {
    const begin = performance.now();
    const faces = seconds === undefined ? engine.swapPixels(frame) : stream.swap(frame, seconds);
    return {frame, faces, milliseconds: performance.now() - begin};
  },
};

let last = Promise.resolve();
onmessage = ({data: {id, call, ...rest}}) => {
  last = last.then(async () => {
    try {
      const answer = await calls[call](rest);
      postMessage({id, ...answer}, answer.frame ? [answer.frame.data.buffer] : []);
    } catch (error) {
      // The picture comes back unswapped: its memory is the page's.
      postMessage({id, error: error.message, frame: rest.frame}, rest.frame ? [rest.frame.data.buffer] : []);
    }
  });
};
