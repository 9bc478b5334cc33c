// The fast path: channels innermost (NHWC), one sweep of row tiles per block. A tile of depthwise outputs stays in the
// cache and goes straight through the pointwise GEMM; upsampled maps exist only as three rows at a time; the 224x224 tail
// is planar, vectors along x. docs/engine.md tells why.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "idn/idn_fast.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>

#include "idn/idn_fast.h"

#ifndef MFS_IDN_FAST_ONCE
#define MFS_IDN_FAST_ONCE

#include <algorithm>
#include <cstring>
#include <vector>

#include <hwy/aligned_allocator.h>

#include "base/flush_denormals.h"

namespace mfs {
namespace {

class Buffer {
 public:
  void Allocate(size_t n) {
    data_ = hwy::AllocateAligned<float>(n);
    std::fill(data_.get(), data_.get() + n, 0.0f);
  }
  float* get() const { return data_.get(); }

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
};

// A separable block, packed: depthwise as [tap][channel], pointwise as [16 outputs][input][lane].
struct Block {
  int in = 0, out = 0, in_pad = 0, out_pad = 0, taps = 0;
  bool leaky = true;
  Buffer depthwise, pointwise, bias;

  void Allocate(int in_channels, int out_channels, int kernel) {
    in = in_channels, out = out_channels, taps = kernel * kernel;
    in_pad = PadChannels(in), out_pad = PadChannels(out);
    depthwise.Allocate(static_cast<size_t>(taps) * in_pad);
    pointwise.Allocate(static_cast<size_t>(out_pad) * in_pad);
    bias.Allocate(out_pad);
  }
  void PackPointwise(const float* matrix, const float* biases) {
    for (int o = 0; o < out; ++o) {
      float* group = pointwise.get() + static_cast<size_t>(o / 16) * in * 16 + o % 16;
      for (int i = 0; i < in; ++i) group[static_cast<size_t>(i) * 16] = matrix[static_cast<size_t>(o) * in + i];
      bias.get()[o] = biases[o];
    }
  }
  void Pack(const SeparableWeights& w) {
    for (int c = 0; c < in; ++c) {
      for (int t = 0; t < taps; ++t) depthwise.get()[static_cast<size_t>(t) * in_pad + c] = w.depthwise[static_cast<size_t>(c) * taps + t];
    }
    PackPointwise(w.pointwise.data(), w.bias.data());
  }
};

// A map that is read as a range of channels of a block's input.
struct Source {
  const float* data;
  int channels;  // padded
};

// Interpolation position of an output row or column: source a and a+1 (clamped), weight of the second.
struct Position {
  int first, second;
  float weight;
};

struct Tail {
  int size, stride;            // stride of planar rows: size + 2*kRowPad
  const float* head0;          // 8 planes, size/2 x size/2, before LeakyReLU
  const int* column_first;     // size entries each
  const float* column_weight;
  const Position* rows;
  const float *w1, *b1, *w2, *b2, *wf, *bf;  // 3x8x9, 3x3x9, 1x2x9
  float* head1;                // 3 planes of (size+2) x stride, row 0 and the last are zero
  const float* fusion;         // 2 planes likewise
  const float* target;
  float *raw, *mask, *image;
};

}  // namespace
}  // namespace mfs
#endif  // MFS_IDN_FAST_ONCE

HWY_BEFORE_NAMESPACE();
namespace mfs {
namespace {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// Registers: 32 vectors allow 14 pixels x 32 channels; 16 vectors 6 x 16.
#if HWY_TARGET <= HWY_AVX3
constexpr int kPixels = 14, kGroups = 2, kVectors = 1;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kPixels = 6, kGroups = 1, kVectors = 2;
#elif HWY_TARGET == HWY_NEON
constexpr int kPixels = 6, kGroups = 1, kVectors = 4;
#elif HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
constexpr int kPixels = 2, kGroups = 1, kVectors = HWY_TARGET == HWY_SCALAR ? 16 : 4;
#else
constexpr int kPixels = 3, kGroups = 1, kVectors = 4;
#endif

template <int M, int G>
HWY_INLINE void MicroKernel(const float* HWY_RESTRICT tile, size_t tile_stride, const float* HWY_RESTRICT w, size_t group_stride,
                            const float* HWY_RESTRICT bias, int depth, bool leaky, float* HWY_RESTRICT out, size_t out_stride) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  constexpr int N = G * kVectors;
  V acc[M][N];
  for (int n = 0; n < N; ++n) {
    const V b = hn::Load(d, bias + n * lanes);
    for (int m = 0; m < M; ++m) acc[m][n] = b;
  }
  for (int k = 0; k < depth; ++k) {
    V b[N];
    for (int n = 0; n < N; ++n) b[n] = hn::Load(d, w + (n / kVectors) * group_stride + (n % kVectors) * lanes);
    for (int m = 0; m < M; ++m) {
      const V a = hn::Set(d, tile[m * tile_stride + k]);
      for (int n = 0; n < N; ++n) acc[m][n] = hn::MulAdd(a, b[n], acc[m][n]);
    }
    w += 16;
  }
  const V slope = hn::Set(d, leaky ? kLeakySlope : 1.0f);
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) {
      hn::Store(hn::Max(acc[m][n], hn::Mul(acc[m][n], slope)), d, out + m * out_stride + n * lanes);
    }
  }
}

template <int M>
HWY_INLINE void MicroRows(const Block& b, const float* tile, float* out) {
  const size_t group_stride = static_cast<size_t>(b.in) * 16;
  const int groups = b.out_pad / 16;
  int g = 0;
  if (kGroups == 2) {
    for (; g + 2 <= groups; g += 2) {
      MicroKernel<M, kGroups>(tile, b.in_pad, b.pointwise.get() + g * group_stride, group_stride, b.bias.get() + g * 16, b.in, b.leaky,
                              out + g * 16, b.out_pad);
    }
  }
  for (; g < groups; ++g) {
    MicroKernel<M, 1>(tile, b.in_pad, b.pointwise.get() + g * group_stride, group_stride, b.bias.get() + g * 16, b.in, b.leaky, out + g * 16,
                      b.out_pad);
  }
}

// out (pixels x out_pad) = activation(tile (pixels x in_pad) * pointwise + bias).
HWY_NOINLINE void Pointwise(const Block& b, const float* tile, int pixels, float* out) {
  int p = 0;
  for (; p + kPixels <= pixels; p += kPixels) MicroRows<kPixels>(b, tile + static_cast<size_t>(p) * b.in_pad, out + static_cast<size_t>(p) * b.out_pad);
  if (kPixels > 7) {
    for (; p + 7 <= pixels; p += 7) MicroRows<kPixels / 2>(b, tile + static_cast<size_t>(p) * b.in_pad, out + static_cast<size_t>(p) * b.out_pad);
  }
  for (; p + 2 <= pixels; p += 2) MicroRows<2>(b, tile + static_cast<size_t>(p) * b.in_pad, out + static_cast<size_t>(p) * b.out_pad);
  for (; p < pixels; ++p) MicroRows<1>(b, tile + static_cast<size_t>(p) * b.in_pad, out + static_cast<size_t>(p) * b.out_pad);
}

// How many rows of a map make a tile: enough pixels for the micro-kernel, few enough for the cache.
HWY_INLINE int TileRows(int width) { return width >= 28 ? 1 : (28 + width - 1) / width; }

// Depthwise 4x4 stride 2 pad 1 + pointwise, output rows [y0,y1).
HWY_NOINLINE void EncoderRows(const Block& b, const float* in, int in_side, float* out, int y0, int y1, float* tile) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int side = in_side / 2, c_pad = b.in_pad;
  const size_t in_row = static_cast<size_t>(in_side) * c_pad;
  const int step = TileRows(side);
  for (int ty = y0; ty < y1; ty += step) {
    const int rows = std::min(step, y1 - ty);
    for (int r = 0; r < rows; ++r) {
      const int y = ty + r;
      float* tile_row = tile + static_cast<size_t>(r) * side * c_pad;
      const int ky0 = y == 0 ? 1 : 0, ky1 = y == side - 1 ? 3 : 4;
      for (int c = 0; c < c_pad; c += lanes) {
        V w[16];
        for (int t = 0; t < 16; ++t) w[t] = hn::Load(d, b.depthwise.get() + static_cast<size_t>(t) * c_pad + c);
        for (int x = 0; x < side; ++x) {
          V sum = hn::Zero(d);
          const float* p = in + (static_cast<ptrdiff_t>(2 * y) - 1) * static_cast<ptrdiff_t>(in_row) + (2 * x - 1) * static_cast<ptrdiff_t>(c_pad) + c;
          if (ky0 == 0 && ky1 == 4 && x > 0 && x < side - 1) {
            for (int ky = 0; ky < 4; ++ky) {
              const float* q = p + ky * in_row;
              for (int kx = 0; kx < 4; ++kx) sum = hn::MulAdd(hn::Load(d, q + kx * c_pad), w[ky * 4 + kx], sum);
            }
          } else {
            const int kx0 = x == 0 ? 1 : 0, kx1 = x == side - 1 ? 3 : 4;
            for (int ky = ky0; ky < ky1; ++ky) {
              for (int kx = kx0; kx < kx1; ++kx) sum = hn::MulAdd(hn::Load(d, p + ky * static_cast<ptrdiff_t>(in_row) + kx * c_pad), w[ky * 4 + kx], sum);
            }
          }
          hn::Store(sum, d, tile_row + static_cast<size_t>(x) * c_pad + c);
        }
      }
    }
    Pointwise(b, tile, rows * side, out + static_cast<size_t>(ty) * side * b.out_pad);
  }
}

// The first block reads the planar target: x = 2t-1, three channels, vectors along x. rows: 3*4 padded rows of scratch.
HWY_NOINLINE void FirstRows(const Block& b, const float* target, int size, float* out, int y0, int y1, float* tile, float* rows) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int side = size / 2;
  const int stride = size + 4 * kRowPad;
  const size_t plane = static_cast<size_t>(size) * size;
  for (int y = y0; y < y1; ++y) {
    for (int c = 0; c < 3; ++c) {
      for (int ky = 0; ky < 4; ++ky) {
        float* row = rows + (c * 4 + ky) * stride;  // row[x+1] is the target's x
        const int sy = 2 * y + ky - 1;
        if (sy < 0 || sy >= size) {
          std::memset(row, 0, sizeof(float) * stride);
        } else {
          row[0] = 0;
          const float* t = target + c * plane + static_cast<size_t>(sy) * size;
          for (int x = 0; x < size; ++x) row[x + 1] = 2 * t[x] - 1;
          row[size + 1] = 0;
        }
      }
      for (int x = 0; x < side; x += lanes) {
        V sum = hn::Zero(d);
        for (int ky = 0; ky < 4; ++ky) {
          const float* p = rows + (c * 4 + ky) * stride + 2 * x;
          const float* w = b.depthwise.get() + static_cast<size_t>(ky) * 4 * b.in_pad + c;
          V even, odd;
          hn::LoadInterleaved2(d, p, even, odd);
          sum = hn::MulAdd(even, hn::Set(d, w[0]), sum);
          sum = hn::MulAdd(odd, hn::Set(d, w[b.in_pad]), sum);
          hn::LoadInterleaved2(d, p + 2, even, odd);
          sum = hn::MulAdd(even, hn::Set(d, w[2 * b.in_pad]), sum);
          sum = hn::MulAdd(odd, hn::Set(d, w[3 * b.in_pad]), sum);
        }
        HWY_ALIGN float lane[16];
        hn::Store(sum, d, lane);
        for (int i = 0; i < lanes && x + i < side; ++i) tile[static_cast<size_t>(x + i) * b.in_pad + c] = lane[i];
      }
    }
    Pointwise(b, tile, side, out + static_cast<size_t>(y) * side * b.out_pad);
  }
}

// One row of the twice upsampled map (align_corners), with a zero pixel on either side; zeros outside the map.
HWY_INLINE void UpsampledRow(const Source& s, int in_side, const Position* positions, int y, float* blended, float* row, int c_pad, int offset) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int side = 2 * in_side;
  if (y < 0 || y >= side) {
    for (int x = 1; x <= side; ++x) std::memset(row + static_cast<size_t>(x) * c_pad + offset, 0, sizeof(float) * s.channels);
    return;
  }
  const Position& py = positions[y];
  const size_t n = static_cast<size_t>(in_side) * s.channels;
  const float* a = s.data + py.first * n;
  const float* b = s.data + py.second * n;
  const V fy = hn::Set(d, py.weight);
  for (size_t i = 0; i < n; i += lanes) {
    const V va = hn::Load(d, a + i);
    hn::Store(hn::MulAdd(hn::Sub(hn::Load(d, b + i), va), fy, va), d, blended + i);
  }
  for (int x = 0; x < side; ++x) {
    const Position& px = positions[x];
    const V fx = hn::Set(d, px.weight);
    const float* p = blended + static_cast<size_t>(px.first) * s.channels;
    const float* q = blended + static_cast<size_t>(px.second) * s.channels;
    float* o = row + static_cast<size_t>(x + 1) * c_pad + offset;
    for (int c = 0; c < s.channels; c += lanes) {
      const V vp = hn::Load(d, p + c);
      hn::Store(hn::MulAdd(hn::Sub(hn::Load(d, q + c), vp), fx, vp), d, o + c);
    }
  }
}

// Upsampling x2 + depthwise 3x3 + pointwise, output rows [y0,y1) of a 2*in_side map.
HWY_NOINLINE void DecoderRows(const Block& b, const Source* sources, int num_sources, int in_side, const Position* positions, float* out,
                              int y0, int y1, float* tile, float* ring, float* blended) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int side = 2 * in_side, c_pad = b.in_pad;
  const size_t ring_row = static_cast<size_t>(side + 2) * c_pad;
  const auto slot = [&](int y) { return ring + static_cast<size_t>((y + 3) % 3) * ring_row; };
  for (int i = 0; i < 3; ++i) {
    std::memset(ring + i * ring_row, 0, sizeof(float) * c_pad);
    std::memset(ring + (i + 1) * ring_row - c_pad, 0, sizeof(float) * c_pad);
  }
  const auto fill = [&](int y) {
    int offset = 0;
    for (int i = 0; i < num_sources; ++i) {
      UpsampledRow(sources[i], in_side, positions, y, blended, slot(y), c_pad, offset);
      offset += sources[i].channels;
    }
  };
  fill(y0 - 1);
  fill(y0);
  const int step = TileRows(side);
  for (int ty = y0; ty < y1; ty += step) {
    const int rows = std::min(step, y1 - ty);
    for (int r = 0; r < rows; ++r) {
      const int y = ty + r;
      fill(y + 1);
      const float *above = slot(y - 1), *here = slot(y), *below = slot(y + 1);
      float* tile_row = tile + static_cast<size_t>(r) * side * c_pad;
      for (int c = 0; c < c_pad; c += lanes) {
        V w[9];
        for (int t = 0; t < 9; ++t) w[t] = hn::Load(d, b.depthwise.get() + static_cast<size_t>(t) * c_pad + c);
        V a0 = hn::Zero(d), h0 = a0, l0 = a0;
        V a1 = hn::Load(d, above + c_pad + c), h1 = hn::Load(d, here + c_pad + c), l1 = hn::Load(d, below + c_pad + c);
        for (int x = 0; x < side; ++x) {
          const size_t next = static_cast<size_t>(x + 2) * c_pad + c;
          const V a2 = hn::Load(d, above + next), h2 = hn::Load(d, here + next), l2 = hn::Load(d, below + next);
          V s = hn::Mul(a0, w[0]), t = hn::Mul(h0, w[3]);
          s = hn::MulAdd(a1, w[1], s), t = hn::MulAdd(h1, w[4], t);
          s = hn::MulAdd(a2, w[2], s), t = hn::MulAdd(h2, w[5], t);
          s = hn::MulAdd(l0, w[6], s), t = hn::MulAdd(l1, w[7], t);
          s = hn::MulAdd(l2, w[8], s);
          hn::Store(hn::Add(s, t), d, tile_row + static_cast<size_t>(x) * c_pad + c);
          a0 = a1, a1 = a2, h0 = h1, h1 = h2, l0 = l1, l1 = l2;
        }
      }
    }
    Pointwise(b, tile, rows * side, out + static_cast<size_t>(ty) * side * b.out_pad);
  }
}

// Head: upsample the 8 planes, LeakyReLU, 3x3 8>3, LeakyReLU. ring: 3 x 8 padded rows.
HWY_NOINLINE void HeadRows(const Tail& t, int y0, int y1, float* ring, float* blended) {
  const D d;
  const hn::RebindToSigned<D> di;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int half = t.size / 2;
  const size_t half_plane = static_cast<size_t>(half) * half;
  const V slope = hn::Set(d, kLeakySlope);
  std::memset(ring, 0, sizeof(float) * 24 * t.stride);
  const auto slot = [&](int y, int c) { return ring + static_cast<size_t>(((y + 3) % 3) * 8 + c) * t.stride + kRowPad; };
  const auto fill = [&](int y) {
    for (int c = 0; c < 8; ++c) {
      float* row = slot(y, c);
      if (y < 0 || y >= t.size) {
        std::memset(row, 0, sizeof(float) * t.size);
        continue;
      }
      const Position& p = t.rows[y];
      const float* a = t.head0 + c * half_plane + static_cast<size_t>(p.first) * half;
      const float* b = t.head0 + c * half_plane + static_cast<size_t>(p.second) * half;
      for (int x = 0; x < half; ++x) blended[x] = a[x] + p.weight * (b[x] - a[x]);
      blended[half] = blended[half - 1];
      for (int x = 0; x < t.size; x += lanes) {
        const auto index = hn::LoadU(di, t.column_first + x);
        const V u = hn::GatherIndex(d, blended, index), v = hn::GatherIndex(d, blended + 1, index);
        const V s = hn::MulAdd(hn::Sub(v, u), hn::LoadU(d, t.column_weight + x), u);
        hn::StoreU(hn::Max(s, hn::Mul(s, slope)), d, row + x);
      }
    }
  };
  fill(y0 - 1);
  fill(y0);
  for (int y = y0; y < y1; ++y) {
    fill(y + 1);
    for (int x = 0; x < t.size; x += lanes) {
      V s0 = hn::Set(d, t.b1[0]), s1 = hn::Set(d, t.b1[1]), s2 = hn::Set(d, t.b1[2]);
      for (int c = 0; c < 8; ++c) {
        for (int ky = 0; ky < 3; ++ky) {
          const float* p = slot(y + ky - 1, c) + x - 1;
          const float* w = t.w1 + c * 9 + ky * 3;
          for (int kx = 0; kx < 3; ++kx) {
            const V v = hn::LoadU(d, p + kx);
            s0 = hn::MulAdd(v, hn::Set(d, w[kx]), s0);
            s1 = hn::MulAdd(v, hn::Set(d, w[72 + kx]), s1);
            s2 = hn::MulAdd(v, hn::Set(d, w[144 + kx]), s2);
          }
        }
      }
      const size_t plane = static_cast<size_t>(t.size + 2) * t.stride;
      float* o = t.head1 + static_cast<size_t>(y + 1) * t.stride + kRowPad + x;
      hn::StoreU(hn::Max(s0, hn::Mul(s0, slope)), d, o);
      hn::StoreU(hn::Max(s1, hn::Mul(s1, slope)), d, o + plane);
      hn::StoreU(hn::Max(s2, hn::Mul(s2, slope)), d, o + 2 * plane);
    }
  }
}

// 3x3 3>3 and tanh, 3x3 2>1 and sigmoid, fusion with the target: everything of a pixel in one sweep.
HWY_NOINLINE void FinalRows(const Tail& t, int y0, int y1) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const size_t padded = static_cast<size_t>(t.size + 2) * t.stride, plane = static_cast<size_t>(t.size) * t.size;
  const V one = hn::Set(d, 1.0f);
  for (int y = y0; y < y1; ++y) {
    for (int x = 0; x < t.size; x += lanes) {
      V s[3] = {hn::Set(d, t.b2[0]), hn::Set(d, t.b2[1]), hn::Set(d, t.b2[2])};
      for (int c = 0; c < 3; ++c) {
        for (int ky = 0; ky < 3; ++ky) {
          const float* p = t.head1 + c * padded + static_cast<size_t>(y + ky) * t.stride + kRowPad + x - 1;
          for (int kx = 0; kx < 3; ++kx) {
            const V v = hn::LoadU(d, p + kx);
            for (int o = 0; o < 3; ++o) s[o] = hn::MulAdd(v, hn::Set(d, t.w2[o * 27 + c * 9 + ky * 3 + kx]), s[o]);
          }
        }
      }
      V m = hn::Set(d, t.bf[0]);
      for (int c = 0; c < 2; ++c) {
        for (int ky = 0; ky < 3; ++ky) {
          const float* p = t.fusion + c * padded + static_cast<size_t>(y + ky) * t.stride + kRowPad + x - 1;
          for (int kx = 0; kx < 3; ++kx) m = hn::MulAdd(hn::LoadU(d, p + kx), hn::Set(d, t.wf[c * 9 + ky * 3 + kx]), m);
        }
      }
      // sigmoid(m), and (1 + tanh(s)) / 2 = sigmoid(2 s).
      const V mask = hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(m))));
      const size_t at = static_cast<size_t>(y) * t.size + x;
      hn::StoreU(mask, d, t.mask + at);
      for (int o = 0; o < 3; ++o) {
        const V r = hn::Div(one, hn::Add(one, hn::Exp(d, hn::Mul(s[o], hn::Set(d, -2.0f)))));
        if (t.raw != nullptr) hn::StoreU(r, d, t.raw + o * plane + at);
        if (t.image != nullptr) {
          const V original = hn::LoadU(d, t.target + o * plane + at);
          hn::StoreU(hn::MulAdd(hn::Sub(r, original), mask, original), d, t.image + o * plane + at);
        }
      }
    }
  }
}

int64_t Target() { return HWY_TARGET; }

}  // namespace HWY_NAMESPACE
}  // namespace
}  // namespace mfs
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mfs {
namespace {

HWY_EXPORT(Pointwise);
HWY_EXPORT(EncoderRows);
HWY_EXPORT(FirstRows);
HWY_EXPORT(DecoderRows);
HWY_EXPORT(HeadRows);
HWY_EXPORT(FinalRows);
HWY_EXPORT(Target);

// Positions of a twice upsampled axis, align_corners: output i lies at i*(n-1)/(2n-1).
std::vector<Position> UpsamplePositions(int n) {
  std::vector<Position> p(2 * n);
  for (int i = 0; i < 2 * n; ++i) {
    const int numerator = i * (n - 1), denominator = 2 * n - 1;
    const int first = std::min(numerator / denominator, n - 1);
    p[i] = {first, std::min(first + 1, n - 1), static_cast<float>(double(numerator - first * denominator) / denominator)};
  }
  return p;
}

// The level is this object's own choice, not the process's as in HWY_DYNAMIC_DISPATCH.
#if (HWY_TARGETS & (HWY_TARGETS - 1)) == 0
#define MFS_DISPATCH(function) HWY_STATIC_DISPATCH(function)
size_t DispatchIndex(int64_t) { return 0; }
#else
#define MFS_DISPATCH(function) (*(HWY_DISPATCH_TABLE(function)[level_]))
size_t DispatchIndex(int64_t target) {
  hwy::ChosenTarget chosen;
  chosen.Update(target);
  return chosen.GetIndex();
}
#endif

class IdnFast : public Idn {
 public:
  IdnFast(const IdnWeights& weights, const IdnOptions& options, int64_t target) : level_(DispatchIndex(target)), size_(options.size), pool_(options.threads) {
    for (int i = 0; i < 5; ++i) encoder_[i].Allocate(kEncoderChannels[i], kEncoderChannels[i + 1], 4);
    for (int i = 0; i < 4; ++i) decoder_[i].Allocate(kDecoderIn[i], kDecoderOut[i], 3);
    head0_.Allocate(32, 8, 1);
    head0_.leaky = false;  // LeakyReLU comes behind the upsampling, with which the 1x1 commutes exactly
    for (int i = 0; i < 5; ++i) fusion_[i].Allocate(kFusionChannels[i], kFusionChannels[i + 1], 3);
    for (int i = 0; i < 5; ++i) e_[i].Allocate(Pixels(size_ >> (i + 1)) * encoder_[i].out_pad);
    for (int i = 0; i < 4; ++i) d_[i].Allocate(Pixels(size_ >> (4 - i)) * decoder_[i].out_pad);
    for (int i = 0; i < 4; ++i) f_[i].Allocate(Pixels(size_ >> (4 - i)) * fusion_[i].out_pad);
    stride_ = size_ + 2 * kRowPad;
    head0_planes_.Allocate(8 * Pixels(size_ / 2));
    head1_planes_.Allocate(3 * static_cast<size_t>(size_ + 2) * stride_);
    fusion_planes_.Allocate(2 * static_cast<size_t>(size_ + 2) * stride_);
    for (int i = 0; i < 5; ++i) positions_[i] = UpsamplePositions(size_ >> (5 - i));
    column_first_.assign(size_ + 16, 0);
    column_weight_.assign(size_ + 16, 0);
    for (int x = 0; x < size_; ++x) {
      column_first_[x] = positions_[4][x].first;
      column_weight_[x] = positions_[4][x].weight;
    }
    scratch_.resize(pool_.threads());
    for (Scratch& s : scratch_) {
      // The largest users: decoder block 0 (16 rows of 512 channels) and the rows of the 224 maps.
      s.tile.Allocate(static_cast<size_t>(std::max(size_, 64) + 32) * 512);
      s.ring.Allocate(3 * static_cast<size_t>(size_ + 2) * 512 / 2 + 24 * static_cast<size_t>(stride_));
      s.blended.Allocate(static_cast<size_t>(size_ + 32) * 512 / 4 + 4096);
      s.rows.Allocate(16 * static_cast<size_t>(size_ + 4 * kRowPad));
      s.out.Allocate(static_cast<size_t>(kFusionRows) * (size_ + 32) * 16);
    }
    Pack(weights);
  }

  Status SetIdentity(const IdnWeights& weights) override {
    MFS_RETURN_IF_ERROR(ValidateIdnWeights(weights));
    Pack(weights);
    return Status::Ok();
  }

  Status Run(const float* target, float* raw, float* mask, float* image) override {
    if (target == nullptr || mask == nullptr) return InvalidArgument("the IDN needs a target and a place for the mask");
    ForRows(size_ / 2, [&](Scratch& s, int y0, int y1) {
      MFS_DISPATCH(FirstRows)(encoder_[0], target, size_, e_[0].get(), y0, y1, s.tile.get(), s.rows.get());
    });
    for (int i = 1; i < 5; ++i) {
      ForRows(size_ >> (i + 1), [&](Scratch& s, int y0, int y1) {
        MFS_DISPATCH(EncoderRows)(encoder_[i], e_[i - 1].get(), size_ >> i, e_[i].get(), y0, y1, s.tile.get());
      });
    }
    for (int i = 0; i < 4; ++i) {
      Source sources[2] = {{i == 0 ? e_[4].get() : d_[i - 1].get(), i == 0 ? 512 : decoder_[i - 1].out_pad},
                           {i == 0 ? nullptr : e_[4 - i].get(), i == 0 ? 0 : encoder_[4 - i].out_pad}};
      const int side = size_ >> (5 - i);
      ForRows(2 * side, [&](Scratch& s, int y0, int y1) {
        MFS_DISPATCH(DecoderRows)(decoder_[i], sources, i == 0 ? 1 : 2, side, positions_[i].data(), d_[i].get(), y0, y1, s.tile.get(),
                                          s.ring.get(), s.blended.get());
      });
    }
    for (int i = 0; i < 5; ++i) {
      const Source source{i == 0 ? e_[4].get() : f_[i - 1].get(), i == 0 ? 512 : fusion_[i - 1].out_pad};
      const int side = size_ >> (5 - i);
      ForRows(2 * side, [&](Scratch& s, int y0, int y1) {
        if (i < 4) {
          MFS_DISPATCH(DecoderRows)(fusion_[i], &source, 1, side, positions_[i].data(), f_[i].get(), y0, y1, s.tile.get(), s.ring.get(),
                                            s.blended.get());
          return;
        }
        // The last block's two channels go into planes, some rows at a time.
        const size_t row = static_cast<size_t>(size_) * 16;
        for (int y = y0; y < y1; y += kFusionRows) {
          const int end = std::min(y + kFusionRows, y1);
          MFS_DISPATCH(DecoderRows)(fusion_[4], &source, 1, side, positions_[4].data(), s.out.get() - y * static_cast<ptrdiff_t>(row), y,
                                            end, s.tile.get(), s.ring.get(), s.blended.get());
          for (int c = 0; c < 2; ++c) {
            for (int r = y; r < end; ++r) {
              float* o = fusion_planes_.get() + (c * static_cast<size_t>(size_ + 2) + r + 1) * stride_ + kRowPad;
              const float* in = s.out.get() + (r - y) * row + c;
              for (int x = 0; x < size_; ++x) o[x] = in[x * 16];
            }
          }
        }
      });
    }
    const int half = size_ / 2;
    ForRows(half, [&](Scratch& s, int y0, int y1) {
      for (int y = y0; y < y1; ++y) {
        MFS_DISPATCH(Pointwise)(head0_, d_[3].get() + static_cast<size_t>(y) * half * 32, half, s.out.get());
        for (int c = 0; c < 8; ++c) {
          float* o = head0_planes_.get() + c * Pixels(half) + static_cast<size_t>(y) * half;
          for (int x = 0; x < half; ++x) o[x] = s.out.get()[x * 16 + c];
        }
      }
    });
    const Tail tail{size_, stride_, head0_planes_.get(), column_first_.data(), column_weight_.data(), positions_[4].data(),
                    tail_weights_[0].data(), tail_weights_[1].data(), tail_weights_[2].data(), tail_weights_[3].data(),
                    tail_weights_[4].data(), tail_weights_[5].data(), head1_planes_.get(), fusion_planes_.get(), target, raw, mask, image};
    ForRows(size_, [&](Scratch& s, int y0, int y1) { MFS_DISPATCH(HeadRows)(tail, y0, y1, s.ring.get(), s.blended.get()); });
    ForRows(size_, [&](Scratch&, int y0, int y1) { MFS_DISPATCH(FinalRows)(tail, y0, y1); });
    return Status::Ok();
  }

  const char* name() const override { return hwy::TargetName(MFS_DISPATCH(Target)()); }

 private:
  static constexpr int kFusionRows = 16;
  struct Scratch {
    Buffer tile, ring, blended, rows, out;
  };

  static size_t Pixels(int side) { return static_cast<size_t>(side) * side; }

  template <typename Task>
  void ForRows(int rows, const Task& task) {
    const int chunks = std::min(pool_.threads(), rows);
    pool_.Run(chunks, [&](int i) {
      ScopedFlushDenormals flush;
      task(scratch_[i], rows * i / chunks, rows * (i + 1) / chunks);
    });
  }

  void Pack(const IdnWeights& w) {
    for (int i = 0; i < 5; ++i) encoder_[i].Pack(w.encoder[i]);
    for (int i = 0; i < 4; ++i) decoder_[i].Pack(w.decoder[i]);
    for (int i = 0; i < 5; ++i) fusion_[i].Pack(w.fusion[i]);
    head0_.PackPointwise(w.head[0].weight.data(), w.head[0].bias.data());
    tail_weights_[0] = w.head[1].weight, tail_weights_[1] = w.head[1].bias;
    tail_weights_[2] = w.head[2].weight, tail_weights_[3] = w.head[2].bias;
    tail_weights_[4] = w.fusion_out.weight, tail_weights_[5] = w.fusion_out.bias;
  }

  size_t level_;  // index into the tables of kernels
  int size_, stride_ = 0;
  ThreadPool pool_;
  Block encoder_[5], decoder_[4], fusion_[5], head0_;
  Buffer e_[5], d_[4], f_[4], head0_planes_, head1_planes_, fusion_planes_;
  std::vector<Position> positions_[5];
  std::vector<int> column_first_;
  std::vector<float> column_weight_;
  std::vector<float> tail_weights_[6];
  std::vector<Scratch> scratch_;
};

}  // namespace

std::unique_ptr<Idn> CreateIdnFast(const IdnWeights& weights, const IdnOptions& options, int64_t target) {
  return std::make_unique<IdnFast>(weights, options, target);
}

}  // namespace mfs
#endif  // HWY_ONCE
