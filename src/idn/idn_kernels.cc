// foreach_target.h comes before everything else.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "idn/idn_kernels.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include "idn/idn_kernels.h"

#include <algorithm>
#include <cstring>

#include "nn/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace mfs {
namespace {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kBlock>;
using V = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
static_assert(HWY_HAVE_SCALABLE == 0, "accumulators are arrays of vectors");

// Accumulators of the matrix product: kPixels x kVectors, as many as registers allow.
#if HWY_TARGET <= HWY_AVX3
constexpr int kPixels = 14, kVectors = 2;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kPixels = 6, kVectors = 2;
#elif HWY_TARGET == HWY_NEON
constexpr int kPixels = 6, kVectors = 4;
#elif HWY_TARGET == HWY_WASM
constexpr int kPixels = 4, kVectors = 2;
#elif HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
constexpr int kPixels = 2, kVectors = 4;
#else
constexpr int kPixels = 2, kVectors = 4;
#endif
// Vectors of the planar 3x3 convolutions to three outputs: 3 x kConvVectors accumulators.
#if HWY_TARGET <= HWY_AVX3
constexpr int kConvVectors = 7;
#elif HWY_TARGET == HWY_NEON
constexpr int kConvVectors = 4;
#else
constexpr int kConvVectors = 3;
#endif

// Keeps a loaded vector in a register: GCC folds the load into every multiply-add that uses it, and so loads it three times. With 16 registers folding is faster.
HWY_INLINE V InRegister(V v) {
#if HWY_TARGET <= HWY_AVX3 && defined(__GNUC__)
  asm("" : "+v"(v.raw));
#endif
  return v;
}

HWY_INLINE V Leaky(V v, V slope) { return hn::Max(v, hn::Mul(v, slope)); }

// M pixels x N vectors. offsets: where each pixel's outputs go, floats from `out`. group: floats between 16 outputs of w.
template <int M, int N>
HWY_NOINLINE void Micro(const float* HWY_RESTRICT tile, size_t tile_block, int blocks, const float* HWY_RESTRICT w, size_t group, const float* HWY_RESTRICT bias, float slope, float* HWY_RESTRICT out,
                        size_t out_block, const int* HWY_RESTRICT offsets) {
  const D d;
  V acc[M][N];
  for (int n = 0; n < N; ++n) {
    const V b = hn::Load(d, bias + n * kLanes);
    for (int m = 0; m < M; ++m) acc[m][n] = b;
  }
  for (int block = 0; block < blocks; ++block, tile += tile_block) {
    const float* HWY_RESTRICT t = tile;
#if defined(__clang__)
#pragma clang loop unroll(disable)
#else
#pragma GCC unroll 1
#endif
    for (int k = 0; k < kBlock; ++k, ++t, w += kBlock) {
      V b[N];
      for (int n = 0; n < N; ++n) b[n] = hn::Load(d, w + (n * kLanes / kBlock) * group + n * kLanes % kBlock);
      for (int m = 0; m < M; ++m) {
        const V a = hn::Set(d, t[m * kBlock]);
        for (int n = 0; n < N; ++n) acc[m][n] = hn::MulAdd(a, b[n], acc[m][n]);
      }
    }
  }
  const V s = hn::Set(d, slope);
  for (int m = 0; m < M; ++m) {
    float* o = out + offsets[m];
    for (int n = 0; n < N; ++n) hn::StoreU(Leaky(acc[m][n], s), d, o + (n * kLanes / kBlock) * out_block + n * kLanes % kBlock);
  }
}

struct Product {
  const float* tile;  // [block][pixel][16]
  int pixels, blocks;
  const float *w, *bias;
  float slope;
  float* out;
  size_t out_block;
  const int* offsets;
};

template <int M, int N>
HWY_INLINE int Step(const Product& a, int p, int o) {
  const size_t group = static_cast<size_t>(a.blocks) * kBlock * kBlock;
  Micro<M, N>(a.tile + p * kBlock, static_cast<size_t>(a.pixels) * kBlock, a.blocks, a.w + o / kBlock * group + o % kBlock, group, a.bias + o, a.slope, a.out + o / kBlock * a.out_block + o % kBlock,
              a.out_block, a.offsets + p);
  return M;
}

template <int N>
HWY_INLINE void Panel(const Product& a, int o) {
  int p = 0;
  while (p < a.pixels) {
    const int rest = a.pixels - p;
    if (rest >= kPixels && !(kPixels == 6 && rest == 8)) {
      p += Step<kPixels, N>(a, p, o);
      continue;
    }
    if constexpr (kPixels > 7) {
      if (rest >= 7) {
        p += Step<7, N>(a, p, o);
        continue;
      }
    }
    if constexpr (kPixels > 4) {
      if (rest >= 4) {
        p += Step<4, N>(a, p, o);
        continue;
      }
    }
    if constexpr (kPixels > 2) {
      if (rest >= 2) {
        p += Step<2, N>(a, p, o);
        continue;
      }
    }
    p += Step<1, N>(a, p, o);
  }
}

// Outputs [o0,o1) of out = activation(tile * w + bias).
HWY_INLINE void Multiply(const Product& a, int o0, int o1) {
  int o = o0;
  for (; o + kVectors * kLanes <= o1; o += kVectors * kLanes) Panel<kVectors>(a, o);
  constexpr int kSmall = kLanes >= 8 ? 1 : kLanes == 4 ? 2 : kVectors;
  for (; o < o1; o += kSmall * kLanes) Panel<kSmall>(a, o);
}

// ---- The matrix product in 8 bits (docs/engine.md) ----

#undef MFS_IDN_BYTES
#if HWY_TARGET <= HWY_AVX3 && defined(__GNUC__)
#define MFS_IDN_BYTES 1
#elif HWY_TARGET == HWY_SCALAR
#define MFS_IDN_BYTES 2  // the reference of the other one
#else
#define MFS_IDN_BYTES 0
#endif

bool HasBytes() {
#if MFS_IDN_BYTES == 1
  return __builtin_cpu_supports("avx512vnni");
#else
  return MFS_IDN_BYTES != 0;
#endif
}

#if MFS_IDN_BYTES
// The tile's floats as bytes, value = least + scale * byte, with a scale for every `segment` pixels (one row of the map, so that the result does not
// depend on how rows are shared out).
HWY_NOINLINE void ToBytes8(const Product& a, int segment, const IdnScratch& s) {
  const D d;
  [[maybe_unused]] const hn::Rebind<uint8_t, D> part;
  const size_t tile_block = static_cast<size_t>(a.pixels) * kBlock;
  for (int p = 0; p < a.pixels; p += segment) {
    const int n = std::min(segment, a.pixels - p) * kBlock;
    V low = hn::Load(d, a.tile + p * kBlock), high = low;
    for (int block = 0; block < a.blocks; ++block) {
      const float* t = a.tile + block * tile_block + p * kBlock;
      for (int i = 0; i < n; i += kLanes) {
        const V v = hn::Load(d, t + i);
        low = hn::Min(low, v), high = hn::Max(high, v);
      }
    }
    const float least = hn::GetLane(hn::MinOfLanes(d, low)), most = hn::GetLane(hn::MaxOfLanes(d, high));
    const float scale = (most - least) * (1.0f / 255), inverse = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < n / kBlock; ++i) s.pixel_scale[p + i] = scale, s.pixel_least[p + i] = least;
    const V l = hn::Set(d, least), f = hn::Set(d, inverse);
    for (int block = 0; block < a.blocks; ++block) {
      const float* t = a.tile + block * tile_block + p * kBlock;
      uint8_t* o = s.tile8 + block * tile_block + p * kBlock;
      for (int i = 0; i < n; i += kLanes) {
        const V v = hn::Mul(hn::Sub(hn::Load(d, t + i), l), f);
#if MFS_IDN_BYTES == 1  // Highway's way to bytes saturates twice, which values of 0 to 255 need not
        _mm_store_si128(reinterpret_cast<__m128i*>(o + i), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v.raw)));
#else
        hn::StoreU(hn::DemoteTo(part, hn::NearestInt(v)), part, o + i);
#endif
      }
    }
  }
}

#if MFS_IDN_BYTES == 1
// M pixels x 32 outputs. The instruction by hand: GCC 12 moves and spills the sums around its intrinsic, and Highway 1.0 has no word for it.
template <int M>
HWY_NOINLINE void Micro8(const Product& a, const PackedBlock& b, const IdnScratch& s, int p, int o) {
  const D d;
  const size_t tile_block = static_cast<size_t>(a.pixels) * kBlock, group = static_cast<size_t>(a.blocks) * kBlock * kBlock;
  const uint8_t* HWY_RESTRICT tile = s.tile8 + p * kBlock;
  const int8_t* HWY_RESTRICT w = b.pointwise8 + o / kBlock * group;
  __m512i acc[M][2];
#pragma GCC unroll 14
  for (int m = 0; m < M; ++m) acc[m][0] = acc[m][1] = _mm512_setzero_si512();
  for (int block = 0; block < a.blocks; ++block, tile += tile_block) {
#pragma GCC unroll 1
    for (int k = 0; k < kBlock; k += 4, w += 4 * kBlock) {
      const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + group);
#pragma GCC unroll 14
      for (int m = 0; m < M; ++m) {
        const __m512i v = _mm512_broadcastd_epi32(_mm_loadu_si32(tile + m * kBlock + k));
        asm("vpdpbusd %2,%1,%0" : "+v"(acc[m][0]) : "v"(v), "v"(w0));
        asm("vpdpbusd %2,%1,%0" : "+v"(acc[m][1]) : "v"(v), "v"(w1));
      }
    }
  }
  const V slope = hn::Set(d, a.slope);
#pragma GCC unroll 2  // a sum with a running index would lie in memory
  for (int n = 0; n < 2; ++n) {
    const int at = o + n * kBlock;
    const V scale = hn::Load(d, b.scale8 + at), sum = hn::Load(d, b.sum8 + at), bias = hn::Load(d, a.bias + at);
    float* out = a.out + at / kBlock * a.out_block;
#pragma GCC unroll 14
    for (int m = 0; m < M; ++m) {
      const V shift = hn::MulAdd(sum, hn::Set(d, s.pixel_least[p + m]), bias);
      const V v = hn::MulAdd(V{_mm512_cvtepi32_ps(acc[m][n])}, hn::Mul(scale, hn::Set(d, s.pixel_scale[p + m])), shift);
      hn::StoreU(Leaky(v, slope), d, out + a.offsets[p + m]);
    }
  }
}

HWY_INLINE void Panel8(const Product& a, const PackedBlock& b, const IdnScratch& s, int o) {
  int p = 0;
  for (; p + 14 <= a.pixels; p += 14) Micro8<14>(a, b, s, p, o);
  for (; p + 7 <= a.pixels; p += 7) Micro8<7>(a, b, s, p, o);
  for (; p + 2 <= a.pixels; p += 2) Micro8<2>(a, b, s, p, o);
  for (; p < a.pixels; ++p) Micro8<1>(a, b, s, p, o);
}
#else
void Panel8(const Product& a, const PackedBlock& b, const IdnScratch& s, int o) {
  const size_t tile_block = static_cast<size_t>(a.pixels) * kBlock, group = static_cast<size_t>(a.blocks) * kBlock * kBlock;
  for (int p = 0; p < a.pixels; ++p) {
    for (int c = o; c < o + 2 * kBlock; ++c) {
      const int8_t* w = b.pointwise8 + c / kBlock * group + c % kBlock * 4;
      int32_t acc = 0;
      for (int i = 0; i < a.blocks * kBlock; ++i) acc += s.tile8[i / kBlock * tile_block + p * kBlock + i % kBlock] * w[static_cast<size_t>(i / 4) * 4 * kBlock + i % 4];
      const float v = static_cast<float>(acc) * (b.scale8[c] * s.pixel_scale[p]) + (b.sum8[c] * s.pixel_least[p] + a.bias[c]);
      a.out[c / kBlock * a.out_block + a.offsets[p] + c % kBlock] = std::max(v, v * a.slope);
    }
  }
}
#endif
#endif  // MFS_IDN_BYTES

// A dynamic block's product, in 8 bits when it is packed so.
HWY_INLINE void MultiplyBlock(const PackedBlock& b, const Product& a, int segment, const IdnScratch& s, int o0, int o1) {
#if MFS_IDN_BYTES
  if (b.pointwise8 != nullptr) {
    ToBytes8(a, segment, s);
    for (int o = o0; o < o1; o += 2 * kBlock) Panel8(a, b, s, o);
    return;
  }
#else
  (void)b, (void)segment, (void)s;
#endif
  Multiply(a, o0, o1);
}

// One row of depthwise 4x4 stride 2. rows: the four input rows of the first block, at column -1. tile: pixel stride 16, tile_block floats between blocks.
HWY_INLINE void Stride2Row(const PackedBlock& b, const float* const* rows, size_t in_block, int width, float* tile, size_t tile_block) {
  const D d;
  for (int block = 0; block < b.in_blocks; ++block) {
    for (int c = 0; c < kBlock; c += kLanes) {
      const size_t at = block * in_block + c;
      const float *r0 = rows[0] + at, *r1 = rows[1] + at, *r2 = rows[2] + at, *r3 = rows[3] + at;
      const float* k = b.depthwise + static_cast<size_t>(block) * 16 * kBlock + c;
      V w[16];
      for (int i = 0; i < 16; ++i) w[i] = hn::Load(d, k + i * kBlock);
      float* o = tile + block * tile_block + c;
      for (int x = 0; x < width; ++x, r0 += 2 * kBlock, r1 += 2 * kBlock, r2 += 2 * kBlock, r3 += 2 * kBlock, o += kBlock) {
        V s = hn::Mul(hn::Load(d, r0), w[0]), t = hn::Mul(hn::Load(d, r1), w[4]);
        V u = hn::Mul(hn::Load(d, r2), w[8]), v = hn::Mul(hn::Load(d, r3), w[12]);
        for (int i = 1; i < 4; ++i) {
          s = hn::MulAdd(hn::Load(d, r0 + i * kBlock), w[i], s);
          t = hn::MulAdd(hn::Load(d, r1 + i * kBlock), w[4 + i], t);
          u = hn::MulAdd(hn::Load(d, r2 + i * kBlock), w[8 + i], u);
          v = hn::MulAdd(hn::Load(d, r3 + i * kBlock), w[12 + i], v);
        }
        hn::Store(hn::Add(hn::Add(s, t), hn::Add(u, v)), d, o);
      }
    }
  }
}

HWY_NOINLINE void Encoder(const PackedBlock& b, const BlockMap& in, const BlockMap& out, int y0, int y1, int o0, int o1, const IdnScratch& s) {
  const int side = out.side;
  const int step = std::max(1, kTileFloats / (b.in_blocks * kBlock * side));
  int offsets[kTilePixels];
  for (int ty = y0; ty < y1; ty += step) {
    const int rows = std::min(step, y1 - ty);
    const size_t tile_block = static_cast<size_t>(rows) * side * kBlock;
    for (int r = 0; r < rows; ++r) {
      const float* in_rows[4];
      for (int i = 0; i < 4; ++i) in_rows[i] = in.data + (2 * (ty + r) - 1 + i) * static_cast<ptrdiff_t>(in.row) - kBlock;
      Stride2Row(b, in_rows, in.block, side, s.tile + static_cast<size_t>(r) * side * kBlock, tile_block);
      for (int x = 0; x < side; ++x) offsets[r * side + x] = static_cast<int>((ty + r) * out.row) + x * kBlock;
    }
    MultiplyBlock(b, {s.tile, rows * side, b.in_blocks, b.pointwise, b.bias, b.slope, out.data, out.block, offsets}, side, s, o0, o1);
  }
}

// ---------------------------------------------------------------------------------------------------------------- the target

using D8 = hn::CappedTag<uint8_t, 16>;
constexpr int kLanes8 = static_cast<int>(hn::MaxLanes(D8()));

// Row y of the target as three rows in [0,1]; rows of floats are handed through, bytes are converted into `scratch` (three rows, `stride` apart).
HWY_INLINE void TargetRow(const IdnInput& input, int size, int y, float* scratch, int stride, const float* rows[3]) {
  if (input.planes != nullptr) {
    for (int c = 0; c < 3; ++c) rows[c] = input.planes + (static_cast<size_t>(c) * size + y) * size;
    return;
  }
  const D d;
  const D8 d8;
  const hn::Rebind<uint8_t, D> part;
  const hn::RebindToSigned<D> di;
  const V scale = hn::Set(d, 1.0f / 255);
  float* planes[3] = {scratch, scratch + stride, scratch + 2 * stride};
  for (int c = 0; c < 3; ++c) rows[c] = planes[c];
  if (input.bgr) std::swap(planes[0], planes[2]);
  const uint8_t* p = input.pixels + y * input.stride;
  HWY_ALIGN uint8_t bytes[3][16];
  for (int x = 0; x < size; x += kLanes8) {
    hn::Vec<D8> v0, v1, v2;
    hn::LoadInterleaved3(d8, p + 3 * x, v0, v1, v2);
    hn::Store(v0, d8, bytes[0]);
    hn::Store(v1, d8, bytes[1]);
    hn::Store(v2, d8, bytes[2]);
    for (int c = 0; c < 3; ++c) {
      for (int i = 0; i < kLanes8; i += kLanes) hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::PromoteTo(di, hn::Load(part, bytes[c] + i))), scale), d, planes[c] + x + i);
    }
  }
}

// Row of values in [0,1] to bytes.
HWY_INLINE void ToBytes(const float* in, uint8_t* out) {
  const D d;
  const hn::Rebind<uint8_t, D> part;
  const V top = hn::Set(d, 255.0f), zero = hn::Zero(d);
  for (int i = 0; i < kLanes8; i += kLanes) {
    hn::StoreU(hn::DemoteTo(part, hn::NearestInt(hn::Min(hn::Max(hn::Mul(hn::LoadU(d, in + i), top), zero), top))), part, out + i);
  }
}

HWY_NOINLINE void EncoderStart(const PackedBlock& b0, const PackedBlock& b1, const IdnInput& input, int size, const BlockMap& out, int y0, int y1, const IdnScratch& s) {
  const D d;
  const int half = size / 2, side = size / 4, stride = PlanarStride(size);
  const size_t e0_row = static_cast<size_t>(half + 2) * kBlock, e0_block = 4 * e0_row;
  const V slope = hn::Set(d, b0.slope), two = hn::Set(d, 2.0f), one = hn::Set(d, 1.0f);
  // Rows of the target in a ring of four, x = 2t-1. What lies around the rows of all rings is zero; the tail of the network uses the same memory, and of weights
  // that overflow it leaves NaN beside its rows.
  float* const x_rows = s.rows;
  for (int i = 0; i < 12; ++i) x_rows[i * stride + kRowPad - 1] = x_rows[i * stride + kRowPad + size] = 0;
  float* const dw_rows = s.rows + 12 * stride + kRowPad;
  float* const bytes = s.rows + 15 * stride + kRowPad;
  const auto x_row = [&](int y, int c) { return x_rows + (((y + 4) & 3) * 3 + c) * stride + kRowPad; };
  int next_x = 4 * y0 - 3;  // the first row that is not in the ring
  const auto e0 = [&](int y) { return s.e0 + ((y + 4) & 3) * e0_row + kBlock; };
  const auto fill = [&](int y) HWY_ATTR {  // row y of e0
    if (y < 0 || y >= half) {
      for (int block = 0; block < 2; ++block) std::memset(e0(y) + block * e0_block, 0, sizeof(float) * half * kBlock);
      return;
    }
    for (next_x = std::max(next_x, 2 * y - 1); next_x <= 2 * y + 2; ++next_x) {
      if (next_x < 0 || next_x >= size) {
        for (int c = 0; c < 3; ++c) std::memset(x_row(next_x, c), 0, sizeof(float) * size);
        continue;
      }
      const float* rows[3];
      TargetRow(input, size, next_x, bytes, stride, rows);
      for (int c = 0; c < 3; ++c) {
        float* o = x_row(next_x, c);
        for (int x = 0; x < size; x += kLanes) hn::StoreU(hn::MulSub(hn::LoadU(d, rows[c] + x), two, one), d, o + x);
      }
    }
    for (int c = 0; c < 3; ++c) {
      for (int x = 0; x < half; x += kLanes) {
        V sum = hn::Zero(d), other = sum;
        for (int ky = 0; ky < 4; ++ky) {
          const float* p = x_row(2 * y - 1 + ky, c) + 2 * x - 1;
          const float* w = b0.depthwise + ky * 4 * kBlock + c;
          V even, odd;
          hn::LoadInterleaved2(d, p, even, odd);
          sum = hn::MulAdd(even, hn::Set(d, w[0]), sum);
          other = hn::MulAdd(odd, hn::Set(d, w[kBlock]), other);
          hn::LoadInterleaved2(d, p + 2, even, odd);
          sum = hn::MulAdd(even, hn::Set(d, w[2 * kBlock]), sum);
          other = hn::MulAdd(odd, hn::Set(d, w[3 * kBlock]), other);
        }
        hn::StoreU(hn::Add(sum, other), d, dw_rows + c * stride + x);
      }
    }
    for (int block = 0; block < 2; ++block) {
      for (int c = 0; c < kBlock; c += kLanes) {
        const float* w = b0.pointwise + block * kBlock * kBlock + c;
        const V w0 = hn::Load(d, w), w1 = hn::Load(d, w + kBlock), w2 = hn::Load(d, w + 2 * kBlock), bias = hn::Load(d, b0.bias + block * kBlock + c);
        float* o = e0(y) + block * e0_block + c;
        for (int x = 0; x < half; ++x, o += kBlock) {
          V v = hn::MulAdd(hn::Set(d, dw_rows[x]), w0, bias);
          v = hn::MulAdd(hn::Set(d, dw_rows[stride + x]), w1, v);
          v = hn::MulAdd(hn::Set(d, dw_rows[2 * stride + x]), w2, v);
          hn::Store(Leaky(v, slope), d, o);
        }
      }
    }
  };
  fill(2 * y0 - 1);
  fill(2 * y0);
  int offsets[256];
  for (int x = 0; x < side; ++x) offsets[x] = x * kBlock;
  for (int y = y0; y < y1; ++y) {
    fill(2 * y + 1);
    fill(2 * y + 2);
    const float* rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = e0(2 * y - 1 + i) - kBlock;
    const size_t tile_block = static_cast<size_t>(side) * kBlock;
    Stride2Row(b1, rows, e0_block, side, s.tile, tile_block);
    MultiplyBlock(b1, {s.tile, side, b1.in_blocks, b1.pointwise, b1.bias, b1.slope, out.data + y * out.row, out.block, offsets}, side, s, 0, b1.out);
  }
}

// ---------------------------------------------------------------------------------------------------------------- decoder

// Rows of a 3x3 behind the doubling, as rows of the small map: output row y = 2m or 2m+1 needs just the rows m-1, m, m+1. folded[j*3+kx].
// prev and cur are the intervals m-1 and m.
template <typename T, typename Load>
HWY_INLINE void FoldRows(bool odd, const Interval& prev, const Interval& cur, const Load& set, const T* w, T* folded) {
  for (int x = 0; x < 3; ++x) {
    if (odd) {
      folded[x] = hn::Mul(set(prev.r), w[x]);
      folded[3 + x] = hn::MulAdd(set(cur.r), w[6 + x], hn::MulAdd(set(cur.p), w[3 + x], hn::Mul(set(prev.s), w[x])));
      folded[6 + x] = hn::MulAdd(set(cur.s), w[6 + x], hn::Mul(set(cur.q), w[3 + x]));
    } else {
      folded[x] = hn::MulAdd(set(prev.r), w[3 + x], hn::Mul(set(prev.p), w[x]));
      folded[3 + x] = hn::MulAdd(set(cur.p), w[6 + x], hn::MulAdd(set(prev.s), w[3 + x], hn::Mul(set(prev.q), w[x])));
      folded[6 + x] = hn::Mul(set(cur.q), w[6 + x]);
    }
  }
}

// Output row y, columns [2*m0, 2*m1), of doubling + depthwise 3x3 on one vector of channels: the vertical half of the interpolation is in the weights of
// three rows of the small map, the horizontal one happens in registers. in: the map's (0,0); o: pixel stride 16.
HWY_INLINE void UpsampledStrip(const float* in, size_t row, const float* weights, const Interval* intervals, int y, int m0, int m1, float* o) {
  const D d;
  const auto set = [d](float v) HWY_ATTR { return hn::Set(d, v); };
  V raw[9], w[9];
  for (int i = 0; i < 9; ++i) raw[i] = hn::Load(d, weights + i * kBlock);
  const int my = y >> 1;
  FoldRows(y & 1, intervals[my], intervals[my + 1], set, raw, w);
  const float* r1 = in + my * static_cast<ptrdiff_t>(row) + (m0 - 1) * kBlock;
  const float *r0 = r1 - row, *r2 = r1 + row;
  V a0, b0, c0, a1, b1, c1, a2, b2, c2;
  const auto column = [&](V* left, V* middle, V* right) HWY_ATTR {
    const V u0 = hn::Load(d, r0), u1 = hn::Load(d, r1), u2 = hn::Load(d, r2);
    *left = hn::MulAdd(u2, w[6], hn::MulAdd(u1, w[3], hn::Mul(u0, w[0])));
    *middle = hn::MulAdd(u2, w[7], hn::MulAdd(u1, w[4], hn::Mul(u0, w[1])));
    *right = hn::MulAdd(u2, w[8], hn::MulAdd(u1, w[5], hn::Mul(u0, w[2])));
    r0 += kBlock, r1 += kBlock, r2 += kBlock;
  };
  column(&a0, &a1, &a2);
  column(&b0, &b1, &b2);
  const Interval* i = intervals + m0;
  for (int m = m0; m < m1; ++m, ++i, o += 2 * kBlock) {
    column(&c0, &c1, &c2);
    const Interval &prev = i[0], &cur = i[1];
    V even = hn::Mul(a0, set(prev.p)), odd = hn::Mul(a0, set(prev.r));
    V even1 = hn::Mul(a1, set(prev.r)), odd1 = hn::Mul(b1, set(cur.p));
    even = hn::MulAdd(b0, set(prev.q), even), odd = hn::MulAdd(b0, set(prev.s), odd);
    even1 = hn::MulAdd(b1, set(prev.s), even1), odd1 = hn::MulAdd(c1, set(cur.q), odd1);
    even = hn::MulAdd(b2, set(cur.p), even), odd = hn::MulAdd(b2, set(cur.r), odd);
    even1 = hn::MulAdd(c2, set(cur.q), even1), odd1 = hn::MulAdd(c2, set(cur.s), odd1);
    hn::Store(hn::Add(even, even1), d, o);
    hn::Store(hn::Add(odd, odd1), d, o + kBlock);
    a0 = b0, b0 = c0, a1 = b1, b1 = c1, b2 = c2;
  }
}

// `pixels` rows of 16 floats, one behind the other: the first 12 into planes.
HWY_INLINE void ToTwelvePlanes(const float* in, int pixels, float* out, size_t plane) {
  [[maybe_unused]] const D d;
  int x = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; x + kLanes <= pixels; x += kLanes) {
    V v[4][4];  // of every fourth vector's worth of pixels: lane l holds channel 4 (l % 4) + k
    for (int q = 0; q < 4; ++q) hn::LoadInterleaved4(d, in + 16 * x + 4 * q * kLanes, v[q][0], v[q][1], v[q][2], v[q][3]);
    for (int k = 0; k < 4; ++k) {
      const V even0 = hn::ConcatEven(d, v[1][k], v[0][k]), even1 = hn::ConcatEven(d, v[3][k], v[2][k]);
      const V odd0 = hn::ConcatOdd(d, v[1][k], v[0][k]), odd1 = hn::ConcatOdd(d, v[3][k], v[2][k]);
      hn::StoreU(hn::ConcatEven(d, even1, even0), d, out + k * plane + x);
      hn::StoreU(hn::ConcatEven(d, odd1, odd0), d, out + (k + 4) * plane + x);
      hn::StoreU(hn::ConcatOdd(d, even1, even0), d, out + (k + 8) * plane + x);
    }
  }
#endif
  for (; x < pixels; ++x) {
    for (int c = 0; c < 12; ++c) out[c * plane + x] = in[16 * x + c];
  }
}

// `pixels` rows of 8 floats, one behind the other, into 8 planes.
HWY_INLINE void ToPlanes(const float* in, int pixels, float* out, size_t plane) {
  [[maybe_unused]] const D d;
  int x = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; x + kLanes <= pixels; x += kLanes) {
    V a[4], b[4];
    hn::LoadInterleaved4(d, in + 8 * x, a[0], a[1], a[2], a[3]);
    hn::LoadInterleaved4(d, in + 8 * x + 4 * kLanes, b[0], b[1], b[2], b[3]);
    for (int c = 0; c < 4; ++c) {
      hn::StoreU(hn::ConcatEven(d, b[c], a[c]), d, out + c * plane + x);
      hn::StoreU(hn::ConcatOdd(d, b[c], a[c]), d, out + (c + 4) * plane + x);
    }
  }
#endif
  for (; x < pixels; ++x) {
    for (int c = 0; c < 8; ++c) out[c * plane + x] = in[8 * x + c];
  }
}

HWY_NOINLINE void Decoder(const PackedBlock& b, const BlockMap* in, int maps, const Interval* intervals, const BlockMap* out, const IdnHead* head, const PlaneMap* planes, int y0, int y1,
                          const IdnScratch& s) {
  const int low = in[0].side, channels = b.in_blocks * kBlock;
  // Strips of equal width with about kTileFloats of depthwise results; several rows when a row is short.
  const int strips = (2 * low * channels + kTileFloats - 1) / kTileFloats;
  const int width = (low + strips - 1) / strips;
  const int step = strips > 1 ? 1 : std::max(1, kTileFloats / (2 * low * channels));
  int offsets[kTilePixels];
  for (int ty = y0; ty < y1; ty += step) {
    const int rows = std::min(step, y1 - ty);
    for (int m0 = 0; m0 < low; m0 += width) {
      const int m1 = std::min(m0 + width, low), columns = 2 * (m1 - m0), pixels = rows * columns;
      const size_t tile_block = static_cast<size_t>(pixels) * kBlock;
      float* tile = s.tile;
      for (int i = 0, block = 0; i < maps; ++i) {
        for (int k = 0; k < in[i].blocks; ++k, ++block, tile += tile_block) {
          for (int r = 0; r < rows; ++r) {
            for (int c = 0; c < kBlock; c += kLanes) {
              UpsampledStrip(in[i].data + k * in[i].block + c, in[i].row, b.depthwise + static_cast<size_t>(block) * 9 * kBlock + c, intervals, ty + r, m0, m1, tile + r * columns * kBlock + c);
            }
          }
        }
      }
      Product product{s.tile, pixels, b.in_blocks, b.pointwise, b.bias, b.slope, nullptr, 0, offsets};
      if (out != nullptr) {
        for (int r = 0; r < rows; ++r) {
          for (int x = 0; x < columns; ++x) offsets[r * columns + x] = static_cast<int>((ty + r) * out->row) + (2 * m0 + x) * kBlock;
        }
        product.out = out->data, product.out_block = out->block;
        MultiplyBlock(b, product, columns, s, 0, b.out);
        continue;
      }
      if (head != nullptr) {
        for (int x = 0; x < pixels; ++x) offsets[x] = x * kBlock;
        product.out = s.wide, product.out_block = tile_block;
        MultiplyBlock(b, product, columns, s, 0, b.out);
        product = {s.wide, pixels, head->block.in_blocks, head->block.pointwise, head->block.bias, head->block.slope, s.wide + head->block.in_blocks * tile_block, 0, offsets};
      } else {
        product.out = s.wide;
      }
      if (head != nullptr) {
        Multiply(product, 0, head->block.out);
        for (int r = 0; r < rows; ++r) ToTwelvePlanes(product.out + r * columns * kBlock, columns, head->out.data + (ty + r) * head->out.row + 2 * m0, head->out.plane);
        continue;
      }
      // A vector of 16 covers the next pixel's eight, which is written behind it.
      for (int x = 0; x < pixels; ++x) offsets[x] = x * 8;
      Multiply(product, 0, 8);
      for (int r = 0; r < rows; ++r) ToPlanes(s.wide + r * columns * 8, columns, planes->data + (ty + r) * planes->row + 2 * m0, planes->plane);
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------- tail

template <int X>
HWY_INLINE void ConvTo3(const float* const* rows, int in, const float* w, const float* bias, float slope, float* const* out, int x) {
  const D d;
  V s0[X], s1[X], s2[X];
  for (int i = 0; i < X; ++i) s0[i] = hn::Set(d, bias[0]), s1[i] = hn::Set(d, bias[1]), s2[i] = hn::Set(d, bias[2]);
  for (int r = 0; r < in * 3; ++r, w += 9) {
    const float* p = rows[r] + x - 1;
    for (int kx = 0; kx < 3; ++kx) {
      const V w0 = hn::Set(d, w[3 * kx]), w1 = hn::Set(d, w[3 * kx + 1]), w2 = hn::Set(d, w[3 * kx + 2]);
      for (int i = 0; i < X; ++i) {
        const V v = InRegister(hn::LoadU(d, p + i * kLanes + kx));
        s0[i] = hn::MulAdd(v, w0, s0[i]);
        s1[i] = hn::MulAdd(v, w1, s1[i]);
        s2[i] = hn::MulAdd(v, w2, s2[i]);
      }
    }
  }
  const V sl = hn::Set(d, slope);
  for (int i = 0; i < X; ++i) {
    hn::StoreU(Leaky(s0[i], sl), d, out[0] + x + i * kLanes);
    hn::StoreU(Leaky(s1[i], sl), d, out[1] + x + i * kLanes);
    hn::StoreU(Leaky(s2[i], sl), d, out[2] + x + i * kLanes);
  }
}

// 3x3 to three channels on planar rows: rows[in*3] at column 0, w as [in][tap][out].
HWY_NOINLINE void ConvRowTo3(const float* const* rows, int in, const float* w, const float* bias, float slope, float* const* out, int width) {
  int x = 0;
  for (; x + kConvVectors * kLanes <= width; x += kConvVectors * kLanes) ConvTo3<kConvVectors>(rows, in, w, bias, slope, out, x);
  for (; x + 2 * kLanes <= width; x += 2 * kLanes) ConvTo3<2>(rows, in, w, bias, slope, out, x);
  for (; x < width; x += kLanes) ConvTo3<1>(rows, in, w, bias, slope, out, x);
}

// Row y of the doubled head, with LeakyReLU: 8 planar rows, zeros outside.
HWY_NOINLINE void HeadRow(const IdnTail& t, int y, float* out, int stride) {
  const D d;
  const int half = t.size / 2;
  const int m = (y + 1) / 2 - 1;  // y = 2m+1 or 2m+2
  const Interval& v = t.intervals[m + 1];
  const V wa = hn::Set(d, y & 1 ? v.p : v.r), wb = hn::Set(d, y & 1 ? v.q : v.s), slope = hn::Set(d, kLeakySlope);
  for (int c = 0; c < 8; ++c) {
    const float* a = t.head0.data + c * t.head0.plane + m * static_cast<ptrdiff_t>(t.head0.row) - 1;
    const float* b = a + t.head0.row;
    float* o = out + c * stride + kRowPad - 1;
    for (int x = 0; x <= half; x += kLanes) {
      const V lo = hn::MulAdd(hn::LoadU(d, b + x), wb, hn::Mul(hn::LoadU(d, a + x), wa));
      const V hi = hn::MulAdd(hn::LoadU(d, b + x + 1), wb, hn::Mul(hn::LoadU(d, a + x + 1), wa));
      const V first = hn::MulAdd(hi, hn::LoadU(d, t.q + x), hn::Mul(lo, hn::LoadU(d, t.p + x)));
      const V second = hn::MulAdd(hi, hn::LoadU(d, t.s + x), hn::Mul(lo, hn::LoadU(d, t.r + x)));
      hn::StoreInterleaved2(Leaky(first, slope), Leaky(second, slope), d, o + 2 * x);
    }
  }
}

// Row y behind the last fusion block (doubling, depthwise 3x3, 1x1 8>2, LeakyReLU): 2 planar rows. v: 24 rows of scratch with zeros around.
HWY_NOINLINE void FusionRow(const IdnTail& t, int y, float* v, int stride, float* const* out) {
  const D d;
  const auto set = [d](float v) HWY_ATTR { return hn::Set(d, v); };
  const int half = t.size / 2, m = y >> 1;
  const V slope = hn::Set(d, kLeakySlope);
  for (int c = 0; c < 8; ++c) {
    V raw[9], w[9];
    for (int i = 0; i < 9; ++i) raw[i] = hn::Set(d, t.dw[c * 9 + i]);
    FoldRows(y & 1, t.intervals[m], t.intervals[m + 1], set, raw, w);
    const float* r1 = t.fusion3.data + c * t.fusion3.plane + m * static_cast<ptrdiff_t>(t.fusion3.row);
    const float *r0 = r1 - t.fusion3.row, *r2 = r1 + t.fusion3.row;
    float* o = v + c * 3 * stride + kRowPad;
    for (int x = 0; x < half; x += kLanes) {
      const V u0 = hn::LoadU(d, r0 + x), u1 = hn::LoadU(d, r1 + x), u2 = hn::LoadU(d, r2 + x);
      for (int k = 0; k < 3; ++k) hn::StoreU(hn::MulAdd(u2, w[6 + k], hn::MulAdd(u1, w[3 + k], hn::Mul(u0, w[k]))), d, o + k * stride + x);
    }
  }
  for (int x = 0; x < half; x += kLanes) {
    const V p0 = hn::LoadU(d, t.p + x), q0 = hn::LoadU(d, t.q + x), r0 = hn::LoadU(d, t.r + x), s0 = hn::LoadU(d, t.s + x);
    const V p1 = hn::LoadU(d, t.p + x + 1), q1 = hn::LoadU(d, t.q + x + 1), r1 = hn::LoadU(d, t.r + x + 1), s1 = hn::LoadU(d, t.s + x + 1);
    V e0 = hn::Set(d, t.pb[0]), o0 = e0, e1 = hn::Set(d, t.pb[1]), o1 = e1;
    for (int c = 0; c < 8; ++c) {
      const float *v0 = v + c * 3 * stride + kRowPad + x, *v1 = v0 + stride, *v2 = v1 + stride;
      const V a0 = hn::LoadU(d, v0 - 1), b0 = hn::LoadU(d, v0), a1 = hn::LoadU(d, v1 - 1), b1 = hn::LoadU(d, v1), c1 = hn::LoadU(d, v1 + 1);
      const V b2 = hn::LoadU(d, v2), c2 = hn::LoadU(d, v2 + 1);
      const V even = hn::Add(hn::MulAdd(b2, p1, hn::MulAdd(b0, q0, hn::Mul(a0, p0))), hn::MulAdd(c2, q1, hn::MulAdd(b1, s0, hn::Mul(a1, r0))));
      const V odd = hn::Add(hn::MulAdd(b2, r1, hn::MulAdd(b0, s0, hn::Mul(a0, r0))), hn::MulAdd(c2, s1, hn::MulAdd(c1, q1, hn::Mul(b1, p1))));
      const V w0 = hn::Set(d, t.pw[c]), w1 = hn::Set(d, t.pw[8 + c]);
      e0 = hn::MulAdd(even, w0, e0), o0 = hn::MulAdd(odd, w0, o0);
      e1 = hn::MulAdd(even, w1, e1), o1 = hn::MulAdd(odd, w1, o1);
    }
    hn::StoreInterleaved2(Leaky(e0, slope), Leaky(o0, slope), d, out[0] + 2 * x);
    hn::StoreInterleaved2(Leaky(e1, slope), Leaky(o1, slope), d, out[1] + 2 * x);
  }
}

// Row y of the detail: two planes of half the size next to each other.
HWY_NOINLINE void DetailRow(const IdnTail& t, int y, float* out) {
  const D d;
  const float* even = t.head0.data + (8 + 2 * (y & 1)) * t.head0.plane + static_cast<size_t>(y >> 1) * t.head0.row;
  const float* odd = even + t.head0.plane;
  for (int x = 0; x < t.size / 2; x += kLanes) hn::StoreInterleaved2(hn::LoadU(d, even + x), hn::LoadU(d, odd + x), d, out + 2 * x);
}

// The mask's 3x3, tanh, sigmoid and the fusion with the target. painted: three rows before the tanh; fusion: [2*3] rows at column 0.
HWY_NOINLINE void LastRow(const IdnTail& t, int y, float* const* painted, const float* const* fusion, float* scratch, int stride) {
  const D d;
  const V one = hn::Set(d, 1.0f), top = hn::Set(d, 20.0f);  // e^20: far enough, and the product of four such sums is still a float
  const size_t plane = static_cast<size_t>(t.size) * t.size, row = static_cast<size_t>(y) * t.size;
  const IdnOutput& out = t.output;
  float* image[3];
  for (int c = 0; c < 3; ++c) image[c] = out.image != nullptr ? out.image + c * plane + row : scratch + c * stride;
  float* mask = out.mask != nullptr ? out.mask + row : scratch + 3 * stride;
  const bool mix = out.image != nullptr || out.pixels != nullptr;
  const float* target[3] = {};
  if (mix) TargetRow(t.input, t.size, y, scratch + 4 * stride, stride, target);
  float* detail = nullptr;
  if (t.detail) DetailRow(t, y, detail = scratch + 7 * stride);
  for (int x = 0; x < t.size; x += kLanes) {
    V m = hn::Set(d, t.bf[0]), n = hn::Zero(d);
    for (int r = 0; r < 3; ++r) {
      for (int kx = 0; kx < 3; ++kx) {
        m = hn::MulAdd(hn::LoadU(d, fusion[r] + x + kx - 1), hn::Set(d, t.wf[r * 3 + kx]), m);
        n = hn::MulAdd(hn::LoadU(d, fusion[3 + r] + x + kx - 1), hn::Set(d, t.wf[9 + r * 3 + kx]), n);
      }
    }
    // sigmoid(m), and (1 + tanh(s)) / 2 = sigmoid(2 s): four quotients by one division.
    const V em = hn::Add(one, hn::Exp(d, hn::Min(hn::Neg(hn::Add(m, n)), top)));
    V e[3];
    const V added = detail != nullptr ? hn::LoadU(d, detail + x) : hn::Zero(d);
    for (int c = 0; c < 3; ++c) e[c] = hn::Add(one, hn::Exp(d, hn::Min(hn::Mul(hn::Add(hn::LoadU(d, painted[c] + x), added), hn::Set(d, -2.0f)), top)));
    const V left = hn::Mul(e[0], e[1]), right = hn::Mul(e[2], em), inverse = hn::Div(one, hn::Mul(left, right));
    const V to_left = hn::Mul(inverse, right), to_right = hn::Mul(inverse, left);
    const V r[3] = {hn::Mul(to_left, e[1]), hn::Mul(to_left, e[0]), hn::Mul(to_right, em)};
    const V k = hn::Mul(to_right, e[2]);
    hn::StoreU(k, d, mask + x);
    for (int c = 0; c < 3; ++c) {
      if (out.raw != nullptr) hn::StoreU(r[c], d, out.raw + c * plane + row + x);
      if (mix) {
        const V original = hn::LoadU(d, target[c] + x);
        hn::StoreU(hn::MulAdd(hn::Sub(r[c], original), k, original), d, image[c] + x);
      }
    }
  }
  if (out.pixels != nullptr) {
    const D8 d8;
    HWY_ALIGN uint8_t bytes[3][16];
    uint8_t* p = out.pixels + y * out.stride;
    for (int x = 0; x < t.size; x += kLanes8) {
      for (int c = 0; c < 3; ++c) ToBytes(image[out.bgr ? 2 - c : c] + x, bytes[c]);
      hn::StoreInterleaved3(hn::Load(d8, bytes[0]), hn::Load(d8, bytes[1]), hn::Load(d8, bytes[2]), d8, p + 3 * x);
    }
  }
  if (out.mask_pixels != nullptr) {
    for (int x = 0; x < t.size; x += kLanes8) ToBytes(mask + x, out.mask_pixels + y * out.mask_stride + x);
  }
}

HWY_NOINLINE void Tail(const IdnTail& t, int y0, int y1, const IdnScratch& s) {
  const int stride = PlanarStride(t.size);
  float* const up = s.rows;                       // ring of 4 x 8 rows
  float* const h1 = up + 32 * stride;             // ring of 4 x 3
  float* const fu = h1 + 12 * stride;             // ring of 4 x 2
  float* const v = fu + 8 * stride;               // 24
  float* const last = v + 24 * stride + kRowPad;  // 3 + 8
  const auto slot = [](int y) { return (y + 4) & 3; };
  const auto fill_up = [&](int y) {
    float* o = up + slot(y) * 8 * stride;
    if (y < 0 || y >= t.size) {
      std::memset(o, 0, sizeof(float) * 8 * stride);
    } else {
      HeadRow(t, y, o, stride);
    }
  };
  const auto fill = [&](int y) {  // row y of the head's first 3x3 and of the last fusion block
    float* h = h1 + slot(y) * 3 * stride;
    float* f = fu + slot(y) * 2 * stride;
    if (y < 0 || y >= t.size) {
      std::memset(h, 0, sizeof(float) * 3 * stride);
      std::memset(f, 0, sizeof(float) * 2 * stride);
      return;
    }
    fill_up(y + 1);
    const float* rows[24];
    for (int c = 0; c < 8; ++c) {
      for (int k = 0; k < 3; ++k) rows[c * 3 + k] = up + (slot(y - 1 + k) * 8 + c) * stride + kRowPad;
    }
    float* const head_out[3] = {h + kRowPad, h + stride + kRowPad, h + 2 * stride + kRowPad};
    ConvRowTo3(rows, 8, t.w1, t.b1, kLeakySlope, head_out, t.size);
    float* const fusion_out[2] = {f + kRowPad, f + stride + kRowPad};
    FusionRow(t, y, v, stride, fusion_out);
  };
  fill_up(y0 - 2);
  fill_up(y0 - 1);
  if (y0 == 0) fill_up(0);
  fill(y0 - 1);
  fill(y0);
  for (int y = y0; y < y1; ++y) {
    fill(y + 1);
    const float *head_rows[9], *fusion_rows[6];
    for (int k = 0; k < 3; ++k) {
      for (int c = 0; c < 3; ++c) head_rows[c * 3 + k] = h1 + (slot(y - 1 + k) * 3 + c) * stride + kRowPad;
      for (int c = 0; c < 2; ++c) fusion_rows[c * 3 + k] = fu + (slot(y - 1 + k) * 2 + c) * stride + kRowPad;
    }
    float* const painted[3] = {last, last + stride, last + 2 * stride};
    ConvRowTo3(head_rows, 3, t.w2, t.b2, 1.0f, painted, t.size);
    LastRow(t, y, painted, fusion_rows, last + 3 * stride, stride);
  }
}

const IdnKernels* Kernels() {
  static const IdnKernels kernels{EncoderStart, Encoder, Decoder, Tail, hwy::TargetName(HWY_TARGET), HasBytes()};
  return &kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace
}  // namespace mfs
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mfs {
namespace {
HWY_EXPORT(Kernels);
}  // namespace

const IdnKernels& IdnKernelsFor(int64_t target) { return *MFS_DISPATCH_AT(Kernels, DispatchIndex(target))(); }

}  // namespace mfs
#endif  // HWY_ONCE
