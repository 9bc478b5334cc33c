// What the plan (idn_fast.cc) and its kernels share; idn_kernels.cc is compiled once for each instruction set. docs/engine.md tells why it is so.
#ifndef MFS_IDN_IDN_KERNELS_H_
#define MFS_IDN_IDN_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "idn/idn.h"

namespace mfs {

// Channels lie in blocks of 16 floats, [block][row][column][16], on every instruction set: one vector of AVX-512, two of AVX2, four of SSE or NEON.
inline constexpr int kBlock = 16;
inline int ChannelBlocks(int channels) { return (channels + kBlock - 1) / kBlock; }

// Planar rows: kRowPad zeros on the left, kRowSlack on the right, so that neither a 3x3 nor a whole vector needs a border case.
inline constexpr int kRowPad = 16, kRowSlack = 48;
inline int PlanarStride(int width) { return kRowPad + width + kRowSlack; }

// A map in blocks with a border of one zero pixel all around. data is pixel (0,0) of the first block.
struct BlockMap {
  float* data;
  size_t row, block;  // floats
  int side, blocks;
};

// Planes of floats with a border of zero rows; data is pixel (0,0) of the first plane.
struct PlaneMap {
  float* data;
  size_t row, plane;
};

// A packed separable block: depthwise [block][tap][16], pointwise [16 outputs][input][16].
struct PackedBlock {
  int in_blocks, out;  // out: channels, not padded
  const float *depthwise, *pointwise, *bias;
  float slope;  // of the LeakyReLU; 1: none
  // The matrix in 8 bits, null: not in use. [16 outputs][input / 4][16][4]; matrix = scale8[output] * value, sum8: scale8 times the sum of an output's values.
  const int8_t* pointwise8 = nullptr;
  const float *scale8 = nullptr, *sum8 = nullptr;
};

// Doubling a row of n pixels (align_corners): between the pixels m and m+1 lie the outputs 2m+1 = p*in[m] + q*in[m+1] and 2m+2 = r*in[m] + s*in[m+1].
// Intervals -1 and n-1 hold the first and the last output and a zero on their outer side, which is what the padding of a 3x3 wants there.
struct Interval {
  float p, q, r, s;
};

// Scratch of one thread.
struct IdnScratch {
  float* tile;  // depthwise results: TileFloats(size)
  float* wide;  // results of a tile that do not go into a map: kWideFloats
  float* e0;    // ring of 4 rows of the first encoder block: 2 x 4 x (size/2+2) x 16
  float* rows;  // planar rows: kScratchRows x PlanarStride(size)
  // The tile in 8 bits, [block][pixel][16], and for each pixel of it scale and least value; null where no block is in 8 bits.
  uint8_t* tile8 = nullptr;
  float *pixel_scale = nullptr, *pixel_least = nullptr;
};
inline constexpr int kTileFloats = 14 * 512;  // what a tile should hold: it stays in the first-level cache
// A strip may round up by two pixels of 512 channels; the encoder takes whole rows, 8 floats for each pixel of the target's.
inline int TileFloats(int size) { return kTileFloats + 2 * 512 > 8 * size ? kTileFloats + 2 * 512 : 8 * size; }
inline constexpr int kWideFloats = 8192;
inline constexpr int kTilePixels = kTileFloats / kBlock + 1024;
// The tail's: 4 x 8 of the upsampled head, 4 x 3 and 4 x 2 behind it, 8 x 3 of the fusion, 11 of the last step. The first blocks take fewer.
inline constexpr int kScratchRows = 32 + 12 + 8 + 24 + 11;

struct IdnHead {
  PackedBlock block;  // 1x1 32>8+4 without activation: the head's and the detail's, one vector together
  PlaneMap out;
};

struct IdnTail {
  int size;
  PlaneMap head0, fusion3;         // 8 planes each, half the size; head0 has 4 more, the detail's
  bool detail;                     // are those in use?
  const Interval* intervals;       // of half the size, intervals[0] is interval -1
  const float *p, *q, *r, *s;      // the same as arrays, interval m at [m+1]; zeros behind the last
  const float *w1, *b1, *w2, *b2;  // 3x3 8>3 and 3>3 as [in][tap][out]
  const float *dw, *pw, *pb;       // fusion block 4: [8][tap], [2][8], [2]
  const float *wf, *bf;            // 3x3 2>1 as [in][tap]
  IdnInput input;
  IdnOutput output;
};

// Rows are those of the result, [y0,y1).
struct IdnKernels {
  // The first two encoder blocks; the map between them exists as four rows.
  void (*encoder_start)(const PackedBlock& b0, const PackedBlock& b1, const IdnInput& input, int size, const BlockMap& out, int y0, int y1, const IdnScratch& s);
  // Depthwise 4x4 stride 2 + pointwise, outputs [o0,o1) (multiples of 32 or the end).
  void (*encoder)(const PackedBlock& b, const BlockMap& in, const BlockMap& out, int y0, int y1, int o0, int o1, const IdnScratch& s);
  // Upsampling x2 + depthwise 3x3 + pointwise of one or two maps side by side. Results go to `out`, or through `head` (when not null) as 12 planes, or as 8 planes to `planes`.
  void (*decoder)(const PackedBlock& b, const BlockMap* in, int maps, const Interval* intervals, const BlockMap* out, const IdnHead* head, const PlaneMap* planes, int y0, int y1, const IdnScratch& s);
  void (*tail)(const IdnTail& t, int y0, int y1, const IdnScratch& s);
  const char* name;
  bool has_bytes;  // can it multiply in 8 bits on this machine?
};

// target: Highway's bit of a level that this machine can run (cpu_level.h).
const IdnKernels& IdnKernelsFor(int64_t target);

}  // namespace mfs

#endif  // MFS_IDN_IDN_KERNELS_H_
