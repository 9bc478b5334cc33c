// What says of a saved file that it was made with a face swap, as the program's own files do.

const kNote = 'generated with a face-swapping tool (MobileFaceSwap)';
const kXmp = `<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
  `<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" ` +
  `xmp:CreatorTool="MobileFaceSwap" Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia">` +
  `<dc:description><rdf:Alt><rdf:li xml:lang="x-default">${kNote}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>`;

const utf8 = (text) => new TextEncoder().encode(text);
const join = (...parts) => {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) all.set(p, at), at += p.length;
  return all;
};
const big32 = (value) => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; ++k) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// PNG: an iTXt chunk with XMP behind the header (PNG specification 11.3.4.5, XMP part 3).
export function markPng(png) {
  const kHeaderEnd = 8 + 25;  // signature, IHDR
  const chunk = join(utf8('iTXt'), utf8('XML:com.adobe.xmp'), new Uint8Array(5), utf8(kXmp));
  return join(png.subarray(0, kHeaderEnd), big32(chunk.length - 4), chunk, big32(crc32(chunk)), png.subarray(kHeaderEnd));
}

// An element of Matroska (EBML, RFC 8794): id, length in 4 bytes, content.
const element = (id, content) => join(Uint8Array.from(id), big32(0x10000000 | content.length), content);
const kSegment = 0x18538067, kCluster = 0x1f43b675, kVoid = 0xec;

// The header of the element at `at`: its id, its content's begin and length (undefined: not said) and the bytes of the length's field.
function elementAt(bytes, at) {
  const width = (first) => Math.clz32(first) - 23;
  const idWidth = width(bytes[at]);
  let id = 0;
  for (let i = 0; i < idWidth; ++i) id = id * 256 + bytes[at + i];
  const field = at + idWidth, lengthWidth = width(bytes[field]);
  let length = bytes[field] & (0xff >> lengthWidth), open = length === 0xff >> lengthWidth;
  for (let i = 1; i < lengthWidth; ++i) {
    open &&= bytes[field + i] === 0xff;
    length = length * 256 + bytes[field + i];
  }
  return {id, field, lengthWidth, begin: field + lengthWidth, length: open ? undefined : length};
}

// WebM as MediaRecorder writes it: tags (Matroska specification, Tags). Where the segment's length is open they come before the first cluster; else at the end, where players find them by
// a second table of contents in the padding that Chromium leaves. What is built otherwise comes back as it is.
export function markWebm(webm) {
  const tag = (name, text) => element([0x67, 0xc8], join(element([0x45, 0xa3], utf8(name)), element([0x44, 0x87], utf8(text))));
  const tags = element([0x12, 0x54, 0xc3, 0x67], element([0x73, 0x73], join(element([0x63, 0xc0], new Uint8Array(0)), tag('COMMENT', kNote), tag('ENCODER', 'MobileFaceSwap'))));
  const header = elementAt(webm, 0), segment = elementAt(webm, header.begin + header.length);
  if (segment.id !== kSegment) return webm;
  let padding, at = segment.begin;
  for (; at < webm.length; ) {
    const e = elementAt(webm, at);
    if (e.id === kCluster) break;
    if (e.id === kVoid && e.length >= 32 && e.length <= 126) padding = {at, end: e.begin + e.length};
    if (e.length === undefined || !(e.begin + e.length > at)) return webm;
    at = e.begin + e.length;
  }
  if (segment.length === undefined) return join(webm.subarray(0, at), tags, webm.subarray(at));
  const end = segment.begin + segment.length;
  if (padding === undefined || segment.lengthWidth !== 8 || end !== webm.length) return webm;
  const marked = join(webm, tags), view = new DataView(marked.buffer);
  view.setBigUint64(segment.field, (1n << 56n) | BigInt(segment.length + tags.length));
  const seek = element([0x11, 0x4d, 0x9b, 0x74], element([0x4d, 0xbb], join(Uint8Array.of(0x53, 0xab, 0x84, 0x12, 0x54, 0xc3, 0x67, 0x53, 0xac, 0x84), big32(segment.length))));
  marked.set(seek, padding.at);
  const rest = padding.end - padding.at - seek.length;  // 2 bytes or more: id and length of what is left of the padding
  marked.set([kVoid, 0x80 | (rest - 2)], padding.at + seek.length);
  return marked;
}
