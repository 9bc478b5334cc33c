// foreach_target.h comes before everything else.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "base/warp_kernels.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
// clang-format on

#include "base/warp_kernels.h"

#ifndef MFS_BASE_WARP_KERNELS_ONCE
#define MFS_BASE_WARP_KERNELS_ONCE
#include <algorithm>
#include <cmath>
#include <cstring>

namespace mfs {
namespace {

constexpr float kLeastWeight = 1.0f / 1024;  // below it no 8-bit sample moves and the edge of the feather ends
constexpr int kChunk = 128;                  // pixels whose samples stay in the nearest cache

// Polynomials of the Catmull-Rom weights of the taps -1, 0, 1, 2: kCubic[power][tap].
constexpr float kCubic[4][4] = {{0, 1, 0, 0}, {-0.5f, 0, 0.5f, 0}, {1, -2.5f, 2, -0.5f}, {-0.5f, 1.5f, -1.5f, 0.5f}};

inline float CubicWeight(int tap, float t) { return kCubic[0][tap] + t * (kCubic[1][tap] + t * (kCubic[2][tap] + t * kCubic[3][tap])); }

}  // namespace
}  // namespace mfs
#endif  // MFS_BASE_WARP_KERNELS_ONCE

HWY_BEFORE_NAMESPACE();
namespace mfs {
namespace {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One row of four taps of four channels lies in 16 neighbouring floats.
using D = hn::CappedTag<float, 16>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));

#if HWY_TARGET != HWY_SCALAR
// Of the 4 channels that follow each other in v.
template <class Tag>
HWY_INLINE void StoreSum(Tag d, hn::Vec<Tag> v, float* HWY_RESTRICT out) {
  if constexpr (hn::MaxLanes(Tag()) == 4) {
    hn::StoreU(v, d, out);
  } else {
    const hn::Half<Tag> half;
    StoreSum(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), out);
  }
}
#endif

// At most kChunk samples.
void SampleChunk(const SampleGrid& grid, float x, float y, float step_x, float step_y, int n, float* HWY_RESTRICT out) {
#if HWY_TARGET == HWY_SCALAR
  SampleRowReference(grid, x, y, step_x, step_y, n, out);
#else
  const D d;
  using V = hn::Vec<D>;
  // Where each sample lies and its weights down the rows, many samples at a time.
  HWY_ALIGN int32_t places[kChunk];
  HWY_ALIGN float fractions[kChunk], down[4][kChunk];
  {
    const hn::RebindToSigned<D> di;
    const V zero = hn::Set(d, -1.0f), max_x = hn::Set(d, static_cast<float>(grid.width())), max_y = hn::Set(d, static_cast<float>(grid.height())), two = hn::Set(d, 2.0f);
    const auto floor = [&](V v) { return hn::Sub(hn::ConvertTo(di, hn::Add(v, two)), hn::Set(di, 2)); };
    const auto stride = hn::Set(di, static_cast<int32_t>(grid.stride()));
    for (int i = 0; i < n; i += kLanes) {
      const V at = hn::Iota(d, static_cast<float>(i));
      const V px = hn::Min(hn::Max(hn::MulAdd(at, hn::Set(d, step_x), hn::Set(d, x)), zero), max_x), py = hn::Min(hn::Max(hn::MulAdd(at, hn::Set(d, step_y), hn::Set(d, y)), zero), max_y);
      const auto ix = floor(px), iy = floor(py);
      hn::Store(hn::Add(hn::Mul(iy, stride), hn::ShiftLeft<2>(ix)), di, places + i);
      hn::Store(hn::Sub(px, hn::ConvertTo(d, ix)), d, fractions + i);
      const V t = hn::Sub(py, hn::ConvertTo(d, iy));
      for (int tap = 0; tap < 4; ++tap) {
        const V w = hn::MulAdd(t, hn::MulAdd(t, hn::Set(d, kCubic[3][tap]), hn::Set(d, kCubic[2][tap])), hn::Set(d, kCubic[1][tap]));
        hn::Store(hn::MulAdd(t, w, hn::Set(d, kCubic[0][tap])), d, down[tap] + i);
      }
    }
  }
  constexpr int kVectors = 16 / kLanes;
  HWY_ALIGN float expanded[4][16];
  for (int power = 0; power < 4; ++power) {
    for (int i = 0; i < 16; ++i) expanded[power][i] = kCubic[power][i / 4];
  }
  V cubic[4][kVectors];
  for (int power = 0; power < 4; ++power) {
    for (int k = 0; k < kVectors; ++k) cubic[power][k] = hn::Load(d, expanded[power] + k * kLanes);
  }
  const ptrdiff_t stride = grid.stride();
  const float* const origin = grid.row(-1) - 4;
  for (int i = 0; i < n; ++i) {
    const float* HWY_RESTRICT p = origin + places[i];
    const V t = hn::Set(d, fractions[i]), w0 = hn::Set(d, down[0][i]), w1 = hn::Set(d, down[1][i]), w2 = hn::Set(d, down[2][i]), w3 = hn::Set(d, down[3][i]);
    V total = hn::Zero(d);
    for (int k = 0; k < kVectors; ++k) {
      const float* HWY_RESTRICT q = p + k * kLanes;
      const V upper = hn::MulAdd(w1, hn::LoadU(d, q + stride), hn::Mul(w0, hn::LoadU(d, q)));
      const V lower = hn::MulAdd(w3, hn::LoadU(d, q + 3 * stride), hn::Mul(w2, hn::LoadU(d, q + 2 * stride)));
      const V w = hn::MulAdd(t, hn::MulAdd(t, hn::MulAdd(t, cubic[3][k], cubic[2][k]), cubic[1][k]), cubic[0][k]);
      total = hn::MulAdd(w, hn::Add(upper, lower), total);
    }
    StoreSum(d, total, out + 4 * i);
  }
#endif
}

void Sample(const SampleGrid& grid, float x, float y, float step_x, float step_y, int n, float* HWY_RESTRICT out) {
  for (int i = 0; i < n; i += kChunk) {
    SampleChunk(grid, x + static_cast<float>(i) * step_x, y + static_cast<float>(i) * step_y, step_x, step_y, std::min(kChunk, n - i), out + 4 * i);
  }
}

// Samples of a row as floats and back; a weight of zero keeps the bits.
template <typename T>
void LoadRow(const uint8_t* HWY_RESTRICT from, int step, int shift, int n, float* HWY_RESTRICT out) {
  if (step == sizeof(T)) {
    const T* HWY_RESTRICT p = reinterpret_cast<const T*>(from);
    for (int i = 0; i < n; ++i) out[i] = static_cast<float>(p[i] >> shift);
  } else {
    for (int i = 0; i < n; ++i) out[i] = static_cast<float>(*reinterpret_cast<const T*>(from + static_cast<ptrdiff_t>(i) * step) >> shift);
  }
}
template <typename T>
void StoreRow(const float* HWY_RESTRICT values, const float* HWY_RESTRICT weights, int step, int shift, int n, uint8_t* HWY_RESTRICT to) {
  if (step == sizeof(T)) {
    T* HWY_RESTRICT p = reinterpret_cast<T*>(to);
    for (int i = 0; i < n; ++i) p[i] = weights[i] > 0 ? static_cast<T>(static_cast<int>(values[i] + 0.5f) << shift) : p[i];
  } else {
    for (int i = 0; i < n; ++i) {
      if (weights[i] > 0) *reinterpret_cast<T*>(to + static_cast<ptrdiff_t>(i) * step) = static_cast<T>(static_cast<int>(values[i] + 0.5f) << shift);
    }
  }
}

template <typename T>
void BlendChunk(const PlaneBlend& b, int first, int row, int n, float x, float y, float step_x, float step_y) {
  const D d;
  using V = hn::Vec<D>;
  HWY_ALIGN float samples[4 * kChunk], lumas[4 * kChunk], old[3][kChunk], weights[kChunk];
  // The last vector may reach beyond n: what it works on there is never stored.
  const int whole = std::min(kChunk, (n + kLanes - 1) / kLanes * kLanes);
  SampleChunk(*b.grid, x, y, step_x, step_y, n, samples);
  std::fill(samples + 4 * n, samples + 4 * whole, 0.0f);
  if (b.luma_grid != nullptr) {
    SampleChunk(*b.luma_grid, x, y, step_x, step_y, n, lumas);
    std::fill(lumas + 4 * n, lumas + 4 * whole, 0.0f);
  }
  uint8_t* place[3];
  for (int c = 0; c < b.components; ++c) {
    const FrameComponent& k = b.component[c];
    place[c] = k.data + row * k.stride + static_cast<ptrdiff_t>(first) * k.step;
    LoadRow<T>(place[c], k.step, b.sample_shift, n, old[c]);
    std::fill(old[c] + n, old[c] + whole, 0.0f);
  }
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f), peak = hn::Set(d, b.peak), least = hn::Set(d, kLeastWeight);
  for (int i = 0; i < whole; i += kLanes) {
    V v[3], a;
    hn::LoadInterleaved4(d, samples + 4 * i, v[0], v[1], v[2], a);
    a = hn::Min(hn::Max(a, zero), one);
    a = hn::IfThenElseZero(hn::Ge(a, least), a);
    if (b.keeps_detail) {
      V luma = v[1], have = hn::Load(d, old[0] + i);
      if (b.luma_grid != nullptr) {
        V unused1, unused2, unused3;
        hn::LoadInterleaved4(d, lumas + 4 * i, luma, unused1, unused2, unused3);
      }
      if (b.components == 3) {
        have = hn::Mul(have, hn::Set(d, b.luma_weights[0]));
        for (int c = 1; c < 3; ++c) have = hn::MulAdd(hn::Load(d, old[c] + i), hn::Set(d, b.luma_weights[c]), have);
      }
      const V difference = hn::Sub(have, luma), q = hn::Mul(difference, hn::Set(d, b.inverse_limit)), q2 = hn::Mul(q, q);
      const V kept = hn::Mul(hn::Set(d, b.amount), hn::Div(difference, hn::MulAdd(q2, q2, one)));
      v[0] = hn::Add(v[0], kept);
      if (b.detail_in_all) v[1] = hn::Add(v[1], kept), v[2] = hn::Add(v[2], kept);
    }
    hn::Store(a, d, weights + i);
    for (int c = 0; c < b.components; ++c) {
      const V before = hn::Load(d, old[c] + i);
      hn::Store(hn::Min(hn::Max(hn::MulAdd(a, hn::Sub(hn::Min(hn::Max(v[c], zero), peak), before), before), zero), peak), d, old[c] + i);
    }
  }
  for (int c = 0; c < b.components; ++c) StoreRow<T>(old[c], weights, b.component[c].step, b.sample_shift, n, place[c]);
}

void Blend(const PlaneBlend& b, int first, int row, int n, float x, float y, float step_x, float step_y) {
  for (int i = 0; i < n; i += kChunk) {
    const int here = std::min(kChunk, n - i);
    const float xi = x + static_cast<float>(i) * step_x, yi = y + static_cast<float>(i) * step_y;
    if (b.wide) {
      BlendChunk<uint16_t>(b, first + i, row, here, xi, yi, step_x, step_y);
    } else {
      BlendChunk<uint8_t>(b, first + i, row, here, xi, yi, step_x, step_y);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace
}  // namespace mfs
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mfs {
namespace {

HWY_EXPORT(Sample);
HWY_EXPORT(Blend);

template <typename T>
void BlendOne(const PlaneBlend& b, int x, int row, const float* v, const float* luma) {
  T* place[3];
  float have = 0, old[3], value[3];
  for (int c = 0; c < b.components; ++c) {
    place[c] = reinterpret_cast<T*>(b.component[c].data + row * b.component[c].stride + static_cast<ptrdiff_t>(x) * b.component[c].step);
    old[c] = static_cast<float>(*place[c] >> b.sample_shift);
    value[c] = v[c];
    have += (b.components == 1 ? 1 : b.luma_weights[c]) * old[c];
  }
  const float a = std::clamp(v[3], 0.0f, 1.0f);
  if (a < kLeastWeight) return;
  const float kept = b.keeps_detail ? b.amount * LimitDetail(have - (luma != nullptr ? luma[0] : v[1]), b.inverse_limit) : 0;
  for (int c = 0; c < b.components; ++c) {
    if (c == 0 || b.detail_in_all) value[c] += kept;
    const float mixed = std::clamp(old[c] + a * (std::clamp(value[c], 0.0f, b.peak) - old[c]), 0.0f, b.peak);
    *place[c] = static_cast<T>(static_cast<int>(mixed + 0.5f) << b.sample_shift);
  }
}

}  // namespace

void SampleGrid::RepeatBorder() {
  for (int y = 0; y < height_; ++y) {
    float *first = row(y), *last = first + 4 * (width_ - 1);
    for (int i = 1; i <= kPad; ++i) {
      std::copy(first, first + 4, first - 4 * i);
      std::copy(last, last + 4, last + 4 * i);
    }
  }
  const auto whole = [&](int y) { return row(y) - 4 * kPad; };
  for (int i = 1; i <= kPad; ++i) {
    std::copy(whole(0), whole(0) + stride_, whole(-i));
    std::copy(whole(height_ - 1), whole(height_ - 1) + stride_, whole(height_ - 1 + i));
  }
}

void SampleRow(const SampleGrid& grid, float x, float y, float step_x, float step_y, int n, float* out) { HWY_DYNAMIC_DISPATCH(Sample)(grid, x, y, step_x, step_y, n, out); }

void SampleRowReference(const SampleGrid& grid, float x, float y, float step_x, float step_y, int n, float* out) {
  for (int i = 0; i < n; ++i) {
    const float px = std::clamp(x + static_cast<float>(i) * step_x, -1.0f, static_cast<float>(grid.width()));
    const float py = std::clamp(y + static_cast<float>(i) * step_y, -1.0f, static_cast<float>(grid.height()));
    const int ix = static_cast<int>(std::floor(px)), iy = static_cast<int>(std::floor(py));
    for (int c = 0; c < 4; ++c) {
      float sum = 0;
      for (int j = 0; j < 4; ++j) {
        for (int k = 0; k < 4; ++k) sum += CubicWeight(j, py - static_cast<float>(iy)) * CubicWeight(k, px - static_cast<float>(ix)) * grid.row(iy - 1 + j)[4 * (ix - 1 + k) + c];
      }
      out[4 * i + c] = sum;
    }
  }
}

void BlendRow(const PlaneBlend& blend, int first, int row, int n, float x, float y, float step_x, float step_y) { HWY_DYNAMIC_DISPATCH(Blend)(blend, first, row, n, x, y, step_x, step_y); }

void BlendRowReference(const PlaneBlend& blend, int first, int row, int n, float x, float y, float step_x, float step_y) {
  for (int i = 0; i < n; ++i) {
    float v[4], luma[4];
    const float xi = x + static_cast<float>(i) * step_x, yi = y + static_cast<float>(i) * step_y;
    SampleRowReference(*blend.grid, xi, yi, 0, 0, 1, v);
    if (blend.luma_grid != nullptr) SampleRowReference(*blend.luma_grid, xi, yi, 0, 0, 1, luma);
    const float* l = blend.luma_grid != nullptr ? luma : nullptr;
    if (blend.wide) {
      BlendOne<uint16_t>(blend, first + i, row, v, l);
    } else {
      BlendOne<uint8_t>(blend, first + i, row, v, l);
    }
  }
}

}  // namespace mfs
#endif  // HWY_ONCE
