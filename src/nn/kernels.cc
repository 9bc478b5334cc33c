// foreach_target.h comes before everything else.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "nn/kernels.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
// clang-format on

#include "nn/kernels.h"

#ifndef MFS_NN_KERNELS_ONCE
#define MFS_NN_KERNELS_ONCE
#include <algorithm>
#include <cstring>
#endif  // MFS_NN_KERNELS_ONCE

HWY_BEFORE_NAMESPACE();
namespace mfs {
namespace {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Whole vectors, and vectors of one channel block for what is left of the channels.
using Wide = hn::CappedTag<float, 16>;
using Narrow = hn::CappedTag<float, kChannelBlock>;
constexpr int kWide = static_cast<int>(hn::MaxLanes(Wide())), kNarrow = static_cast<int>(hn::MaxLanes(Narrow()));

// The tile of accumulators: kPixels x kBlock channels, as many as the registers hold beside a row of weights.
#if HWY_TARGET <= HWY_AVX3
constexpr int kPixels = 14, kBlock = 32;
#elif HWY_TARGET <= HWY_AVX2
constexpr int kPixels = 6, kBlock = 16;
#elif HWY_TARGET == HWY_NEON
constexpr int kPixels = 6, kBlock = 16;
#elif HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
constexpr int kPixels = 2, kBlock = 8;
#else
constexpr int kPixels = 6, kBlock = 8;
#endif

int BlockWidth(int out_pad, int from) {
  const int left = out_pad - from;
  if (left >= kBlock) return kBlock;
  if (kBlock > 24 && left >= 24) return 24;  // a whole vector and a half one side by side
  return left >= 16 && kBlock > 16 ? 16 : kChannelBlock;
}

template <class D>
HWY_INLINE hn::Vec<D> Activate(D d, hn::Vec<D> v, Activation kind, const float* HWY_RESTRICT slope) {
  switch (kind) {
    case Activation::kNone: return v;
    case Activation::kRelu: return hn::Max(v, hn::Zero(d));
    case Activation::kRelu6: return hn::Min(hn::Max(v, hn::Zero(d)), hn::Set(d, 6.0f));
    case Activation::kPrelu: return hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Mul(v, hn::LoadU(d, slope)), v);
  }
  return v;
}

// Both halves of a vector from and to vectors of one channel block; only levels whose vectors hold two blocks call them.
#if HWY_TARGET <= HWY_AVX3
[[maybe_unused]] HWY_INLINE hn::Vec<Wide> Twice(hn::Vec<Narrow> h) { return hn::Combine(Wide(), h, h); }
[[maybe_unused]] HWY_INLINE hn::Vec<Narrow> Upper(hn::Vec<Wide> v) { return hn::UpperHalf(Narrow(), v); }
#else
[[maybe_unused]] HWY_INLINE hn::Vec<Wide> Twice(hn::Vec<Narrow>) { return hn::Zero(Wide()); }
[[maybe_unused]] HWY_INLINE hn::Vec<Narrow> Upper(hn::Vec<Wide>) { return hn::Zero(Narrow()); }
#endif

// M pixels x N vectors, and with kHalf one channel block more, of one block of output channels. w runs over [segment][k][channel].
// A channel block is half a vector with AVX-512: two pixels share one there.
template <int M, int N, bool kHalf, class D>
HWY_INLINE void ConvTile(const ConvKernel& c, const float* const* HWY_RESTRICT segments, ptrdiff_t offset, const float* HWY_RESTRICT w, int channel, const float* HWY_RESTRICT residual,
                         float* HWY_RESTRICT out) {
  const D d;
  const Narrow half;
  using V = hn::Vec<D>;
  using H = hn::Vec<Narrow>;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D())), kStep = N * kLanes + (kHalf ? kNarrow : 0);
  constexpr int kPairs = kHalf ? M / 2 : 0;
  constexpr bool kSingle = kHalf && M % 2 == 1;  // the last pixel's
  V acc[M][N == 0 ? 1 : N], pair[kPairs == 0 ? 1 : kPairs];
  H single = hn::Zero(half);
  for (int n = 0; n < N; ++n) {
    const V b = hn::LoadU(d, c.epilogue.bias + channel + n * kLanes);
    for (int m = 0; m < M; ++m) acc[m][n] = b;
  }
  if constexpr (kHalf) {
    single = hn::LoadU(half, c.epilogue.bias + channel + N * kLanes);
    for (int p = 0; p < kPairs; ++p) pair[p] = Twice(single);
  }
  const auto first = hn::FirstN(d, kNarrow);
  const ptrdiff_t stride = c.a_stride;
  for (int s = 0; s < c.num_segments; ++s) {
    const float* HWY_RESTRICT a = segments[s] + offset;
    const float* const end = a + c.segment_length;
    for (; a != end; ++a) {
      V b[N == 0 ? 1 : N];
      for (int n = 0; n < N; ++n) b[n] = hn::LoadU(d, w + n * kLanes);
      if constexpr (!kHalf) {
        for (int m = 0; m < M; ++m) {
          const V x = hn::Set(d, a[m * stride]);
          for (int n = 0; n < N; ++n) acc[m][n] = hn::MulAdd(x, b[n], acc[m][n]);
        }
      } else {
        const H h = hn::LoadU(half, w + N * kLanes);
        const V both = Twice(h);
        for (int p = 0; p < kPairs; ++p) {
          const V x = hn::Set(d, a[2 * p * stride]), y = hn::Set(d, a[(2 * p + 1) * stride]);
          for (int n = 0; n < N; ++n) acc[2 * p][n] = hn::MulAdd(x, b[n], acc[2 * p][n]), acc[2 * p + 1][n] = hn::MulAdd(y, b[n], acc[2 * p + 1][n]);
          pair[p] = hn::MulAdd(hn::IfThenElse(first, x, y), both, pair[p]);
        }
        if constexpr (kSingle) {
          const V x = hn::Set(d, a[(M - 1) * stride]);
          for (int n = 0; n < N; ++n) acc[M - 1][n] = hn::MulAdd(x, b[n], acc[M - 1][n]);
          single = hn::MulAdd(hn::LowerHalf(half, x), h, single);
        }
      }
      w += kStep;
    }
  }
  const Epilogue& e = c.epilogue;
  const auto finish = [&](auto lanes, auto v, int m, int o, const auto& activate) HWY_ATTR {
    const float* add = residual == nullptr ? nullptr : residual + m * static_cast<ptrdiff_t>(c.residual_stride) + o;
    if (add != nullptr && !e.add_after) v = hn::Add(v, hn::LoadU(lanes, add));
    v = activate(lanes, v, o);
    if (add != nullptr && e.add_after) v = hn::Add(v, hn::LoadU(lanes, add));
    hn::StoreU(v, lanes, out + m * static_cast<ptrdiff_t>(c.out_stride) + o);
  };
  const auto store = [&](const auto& activate) HWY_ATTR {
    for (int n = 0; n < N; ++n) {
      for (int m = 0; m < M; ++m) finish(d, acc[m][n], m, channel + n * kLanes, activate);
    }
    if constexpr (kHalf) {
      for (int p = 0; p < kPairs; ++p) {
        finish(half, hn::LowerHalf(half, pair[p]), 2 * p, channel + N * kLanes, activate);
        finish(half, Upper(pair[p]), 2 * p + 1, channel + N * kLanes, activate);
      }
      if (kSingle) finish(half, single, M - 1, channel + N * kLanes, activate);
    }
  };
  switch (e.activation) {
    case Activation::kNone: store([](auto, auto v, int) HWY_ATTR { return v; }); break;
    case Activation::kRelu: store([](auto lanes, auto v, int) HWY_ATTR { return hn::Max(v, hn::Zero(lanes)); }); break;
    case Activation::kRelu6: store([](auto lanes, auto v, int) HWY_ATTR { return Activate(lanes, v, Activation::kRelu6, nullptr); }); break;
    case Activation::kPrelu: store([&](auto lanes, auto v, int o) HWY_ATTR { return Activate(lanes, v, Activation::kPrelu, e.slope + o); }); break;
  }
}

template <int M, int N, bool kHalf, class D>
HWY_NOINLINE void ConvTileCall(const ConvKernel& c, const ConvRow& row, int pixel, const float* w, int channel) {
  ConvTile<M, N, kHalf, D>(c, row.segments, pixel * static_cast<ptrdiff_t>(c.a_stride), w, channel,
                           row.residual == nullptr ? nullptr : row.residual + pixel * static_cast<ptrdiff_t>(c.residual_stride), row.out + pixel * static_cast<ptrdiff_t>(c.out_stride));
}

// `m` pixels from `pixel` on, m at most M.
template <int M, int N, bool kHalf, class D>
HWY_INLINE void ConvTileOf(int m, const ConvKernel& c, const ConvRow& row, int pixel, const float* w, int channel) {
  if constexpr (M == 1) {
    ConvTileCall<1, N, kHalf, D>(c, row, pixel, w, channel);
  } else {
    if (m == M) {
      ConvTileCall<M, N, kHalf, D>(c, row, pixel, w, channel);
    } else {
      ConvTileOf<M - 1, N, kHalf, D>(m, c, row, pixel, w, channel);
    }
  }
}

template <int N, bool kHalf, class D>
HWY_INLINE void ConvBlock(const ConvKernel& c, const ConvRow* rows, int num_rows, int pixels, const float* w, int channel) {
  // With pairs fewer registers go to a pixel.
  constexpr int kMost = kHalf ? 16 : kPixels;
  const int tiles = (pixels + kMost - 1) / kMost, each = pixels / tiles, larger = pixels % tiles;
  for (int r = 0; r < num_rows; ++r) {
    int pixel = 0;
    for (int t = 0; t < tiles; ++t) {
      const int m = each + (t < larger ? 1 : 0);
      ConvTileOf<kMost, N, kHalf, D>(m, c, rows[r], pixel, w, channel);
      pixel += m;
    }
  }
}

// One pixel: the weights are read once and there is nothing to share them with, so several blocks keep the multipliers busy.
template <int B>
HWY_NOINLINE void ConvPixel(const ConvKernel& c, const ConvRow& row, const float* w, int channel) {
  constexpr int N = kBlock / kWide;
  const Wide d;
  using V = hn::Vec<Wide>;
  V acc[B][N];
  const float* blocks[B];
  for (int b = 0; b < B; ++b) {
    blocks[b] = w + static_cast<size_t>(b) * c.num_segments * c.segment_length * kBlock;
    for (int n = 0; n < N; ++n) acc[b][n] = hn::LoadU(d, c.epilogue.bias + channel + b * kBlock + n * kWide);
  }
  ptrdiff_t at = 0;
  for (int s = 0; s < c.num_segments; ++s) {
    const float* HWY_RESTRICT a = row.segments[s];
    for (int k = 0; k < c.segment_length; ++k, at += kBlock) {
      const V x = hn::Set(d, a[k]);
      for (int b = 0; b < B; ++b) {
        for (int n = 0; n < N; ++n) acc[b][n] = hn::MulAdd(x, hn::LoadU(d, blocks[b] + at + n * kWide), acc[b][n]);
      }
    }
  }
  const Epilogue& e = c.epilogue;
  for (int b = 0; b < B; ++b) {
    for (int n = 0; n < N; ++n) {
      const int o = channel + b * kBlock + n * kWide;
      V v = acc[b][n];
      if (row.residual != nullptr && !e.add_after) v = hn::Add(v, hn::LoadU(d, row.residual + o));
      v = Activate(d, v, e.activation, e.slope == nullptr ? nullptr : e.slope + o);
      if (row.residual != nullptr && e.add_after) v = hn::Add(v, hn::LoadU(d, row.residual + o));
      hn::StoreU(v, d, row.out + o);
    }
  }
}

void ConvRows(const ConvKernel& c, const ConvRow* rows, int num_rows, int pixels) {
  const size_t depth = static_cast<size_t>(c.num_segments) * c.segment_length;
  const float* w = c.weight;
  int channel = 0;
  if (num_rows == 1 && pixels == 1) {
    for (; channel + 4 * kBlock <= c.out_pad; channel += 4 * kBlock, w += depth * 4 * kBlock) ConvPixel<4>(c, rows[0], w, channel);
  }
  while (channel < c.out_pad) {
    const int width = BlockWidth(c.out_pad, channel);
    constexpr int kWhole = kBlock > 16 ? 16 / kWide : kBlock / kWide;  // vectors of 16 channels; where those are a block, not used
    if (width == kBlock) {
      ConvBlock<kBlock / kWide, false, Wide>(c, rows, num_rows, pixels, w, channel);
    } else if (width == 24) {
      ConvBlock<kWhole, (kBlock > 24), Wide>(c, rows, num_rows, pixels, w, channel);
    } else if (width == 16) {
      ConvBlock<kWhole, false, Wide>(c, rows, num_rows, pixels, w, channel);
    } else if constexpr (kBlock > 24) {
      ConvBlock<0, true, Wide>(c, rows, num_rows, pixels, w, channel);
    } else {
      ConvBlock<kChannelBlock / kNarrow, false, Narrow>(c, rows, num_rows, pixels, w, channel);
    }
    channel += width;
    w += depth * width;
  }
}

// 3x3: the weights stay in registers and every input pixel is loaded once per row (stride 1).
template <int kStride, class D>
HWY_INLINE void Depthwise3x3(const DepthwiseKernel& p, const float* const* rows, int c, float* HWY_RESTRICT out, int pixels) {
  const D d;
  using V = hn::Vec<D>;
  const size_t pad = p.pad;
  V w[9];
  for (int t = 0; t < 9; ++t) w[t] = hn::LoadU(d, p.weight + t * pad + c);
  const V bias = hn::LoadU(d, p.epilogue.bias + c);
  const float* HWY_RESTRICT above = rows[0] + c;
  const float* HWY_RESTRICT here = rows[1] + c;
  const float* HWY_RESTRICT below = rows[2] + c;
  out += c;
  const Activation kind = p.epilogue.activation;
  const float* slopes = p.epilogue.slope == nullptr ? nullptr : p.epilogue.slope + c;
  const auto sweep = [&](const auto& activate) HWY_ATTR {
    V a0 = hn::LoadU(d, above), h0 = hn::LoadU(d, here), l0 = hn::LoadU(d, below);
    V a1 = a0, h1 = h0, l1 = l0;
    if (kStride == 1) a1 = hn::LoadU(d, above + pad), h1 = hn::LoadU(d, here + pad), l1 = hn::LoadU(d, below + pad);
    size_t next = kStride == 1 ? 2 * pad : pad;
    for (int x = 0; x < pixels; ++x) {
      if (kStride == 2) {
        a1 = hn::LoadU(d, above + next), h1 = hn::LoadU(d, here + next), l1 = hn::LoadU(d, below + next);
        next += pad;
      }
      const V a2 = hn::LoadU(d, above + next), h2 = hn::LoadU(d, here + next), l2 = hn::LoadU(d, below + next);
      next += pad;
      // One chain: the next pixels' chains fill the pauses, and a second one would cost an addition.
      V s = hn::MulAdd(a0, w[0], bias);
      s = hn::MulAdd(a1, w[1], s);
      s = hn::MulAdd(a2, w[2], s);
      s = hn::MulAdd(h0, w[3], s);
      s = hn::MulAdd(h1, w[4], s);
      s = hn::MulAdd(h2, w[5], s);
      s = hn::MulAdd(l0, w[6], s);
      s = hn::MulAdd(l1, w[7], s);
      s = hn::MulAdd(l2, w[8], s);
      hn::StoreU(activate(s), d, out + x * pad);
      if (kStride == 1) {
        a0 = a1, a1 = a2, h0 = h1, h1 = h2, l0 = l1, l1 = l2;
      } else {
        a0 = a2, h0 = h2, l0 = l2;
      }
    }
  };
  switch (kind) {
    case Activation::kNone: sweep([](V v) HWY_ATTR { return v; }); break;
    case Activation::kRelu: sweep([](V v) HWY_ATTR { return hn::Max(v, hn::Zero(D())); }); break;
    case Activation::kRelu6: sweep([](V v) HWY_ATTR { return Activate(D(), v, Activation::kRelu6, nullptr); }); break;
    case Activation::kPrelu: {
      const V slope = hn::LoadU(d, slopes);
      sweep([slope](V v) HWY_ATTR { return hn::IfThenElse(hn::Lt(v, hn::Zero(D())), hn::Mul(v, slope), v); });
      break;
    }
  }
}

template <class D>
HWY_INLINE void DepthwiseAny(const DepthwiseKernel& p, const float* const* rows, int c, float* HWY_RESTRICT out, int pixels) {
  const D d;
  using V = hn::Vec<D>;
  const size_t pad = p.pad;
  const float* slopes = p.epilogue.slope == nullptr ? nullptr : p.epilogue.slope + c;
  for (int x = 0; x < pixels; ++x) {
    V sum = hn::LoadU(d, p.epilogue.bias + c);
    const float* w = p.weight + c;
    for (int ky = 0; ky < p.kernel_h; ++ky) {
      const float* in = rows[ky] + static_cast<size_t>(x) * p.stride * pad + c;
      for (int kx = 0; kx < p.kernel_w; ++kx, w += pad, in += pad) sum = hn::MulAdd(hn::LoadU(d, in), hn::LoadU(d, w), sum);
    }
    hn::StoreU(Activate(d, sum, p.epilogue.activation, slopes), d, out + x * pad + c);
  }
}

template <class D>
HWY_INLINE void DepthwiseChannels(const DepthwiseKernel& p, const float* const* rows, int c, float* out, int pixels) {
  if (p.kernel_h == 3 && p.kernel_w == 3 && p.stride == 1) {
    Depthwise3x3<1, D>(p, rows, c, out, pixels);
  } else if (p.kernel_h == 3 && p.kernel_w == 3 && p.stride == 2) {
    Depthwise3x3<2, D>(p, rows, c, out, pixels);
  } else {
    DepthwiseAny<D>(p, rows, c, out, pixels);
  }
}

void DepthwiseRow(const DepthwiseKernel& p, const float* const* rows, float* out, int pixels) {
  int c = 0;
  for (; c + kWide <= p.pad; c += kWide) DepthwiseChannels<Wide>(p, rows, c, out, pixels);
  for (; c < p.pad; c += kNarrow) DepthwiseChannels<Narrow>(p, rows, c, out, pixels);
}

void MaxPoolRow(const float* const* rows, int kernel, int stride, int pad, int width, int in_pad, float* out, int pixels, int out_pad) {
  const Narrow d;
  for (int x = 0; x < pixels; ++x, out += out_pad) {
    const int left = std::max(0, x * stride - pad), right = std::min(width, x * stride - pad + kernel);
    int c = 0;
    for (; c < in_pad; c += kNarrow) {
      auto most = hn::Set(d, -3.4028235e38f);
      for (int ky = 0; ky < kernel; ++ky) {
        if (rows[ky] == nullptr) continue;
        for (int sx = left; sx < right; ++sx) most = hn::Max(most, hn::LoadU(d, rows[ky] + static_cast<size_t>(sx) * in_pad + c));
      }
      hn::StoreU(most, d, out + c);
    }
    for (; c < out_pad; c += kNarrow) hn::StoreU(hn::Zero(d), d, out + c);
  }
}

void AveragePoolRow(const float* const* rows, int kernel_h, int kernel_w, int stride, int in_pad, float* out, int pixels) {
  const Narrow d;
  const auto scale = hn::Set(d, 1.0f / static_cast<float>(kernel_h * kernel_w));
  for (int x = 0; x < pixels; ++x, out += in_pad) {
    for (int c = 0; c < in_pad; c += kNarrow) {
      auto sum = hn::Zero(d);
      for (int ky = 0; ky < kernel_h; ++ky) {
        const float* p = rows[ky] + static_cast<size_t>(x) * stride * in_pad + c;
        for (int kx = 0; kx < kernel_w; ++kx) sum = hn::Add(sum, hn::LoadU(d, p + static_cast<size_t>(kx) * in_pad));
      }
      hn::StoreU(hn::Mul(sum, scale), d, out + c);
    }
  }
}

void AddRow(const float* a, const float* b, const Epilogue& e, int pad, float* out, int pixels) {
  const Narrow d;
  for (int x = 0; x < pixels; ++x, a += pad, out += pad) {
    for (int c = 0; c < pad; c += kNarrow) {
      auto v = hn::LoadU(d, a + c);
      if (b != nullptr) v = hn::Add(v, hn::LoadU(d, b + c));
      hn::StoreU(Activate(d, v, e.activation, e.slope == nullptr ? nullptr : e.slope + c), d, out + c);
    }
    if (b != nullptr) b += pad;
  }
}

void UpsampleRow(const float* a, const float* b, float weight, int width, int pad, float* out, int out_stride) {
  const Narrow d;
  const auto fy = hn::Set(d, weight);
  const int doubled = 2 * width;
  for (int x = 0; x < doubled; ++x, out += out_stride) {
    // Output x lies at x (w-1)/(2w-1) of the input.
    const int numerator = x * (width - 1), denominator = doubled - 1;
    const int first = numerator / denominator, second = std::min(first + 1, width - 1);
    const auto fx = hn::Set(d, static_cast<float>(static_cast<double>(numerator - first * denominator) / denominator));
    const float *a0 = a + static_cast<size_t>(first) * pad, *a1 = a + static_cast<size_t>(second) * pad;
    const float *b0 = b + static_cast<size_t>(first) * pad, *b1 = b + static_cast<size_t>(second) * pad;
    for (int c = 0; c < pad; c += kNarrow) {
      const auto va = hn::LoadU(d, a0 + c), vb = hn::LoadU(d, b0 + c);
      const auto top = hn::MulAdd(hn::Sub(hn::LoadU(d, a1 + c), va), fx, va), bottom = hn::MulAdd(hn::Sub(hn::LoadU(d, b1 + c), vb), fx, vb);
      hn::StoreU(hn::MulAdd(hn::Sub(bottom, top), fy, top), d, out + c);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace
}  // namespace mfs
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "nn/dispatch.h"

namespace mfs {
namespace {

HWY_EXPORT(BlockWidth);
HWY_EXPORT(ConvRows);
HWY_EXPORT(DepthwiseRow);
HWY_EXPORT(MaxPoolRow);
HWY_EXPORT(AveragePoolRow);
HWY_EXPORT(AddRow);
HWY_EXPORT(UpsampleRow);

}  // namespace

Kernels KernelsFor(int64_t target) {
  [[maybe_unused]] const size_t i = DispatchIndex(target);
  return {MFS_DISPATCH_AT(BlockWidth, i),     MFS_DISPATCH_AT(ConvRows, i), MFS_DISPATCH_AT(DepthwiseRow, i), MFS_DISPATCH_AT(MaxPoolRow, i),
          MFS_DISPATCH_AT(AveragePoolRow, i), MFS_DISPATCH_AT(AddRow, i),   MFS_DISPATCH_AT(UpsampleRow, i)};
}

}  // namespace mfs
#endif  // HWY_ONCE
