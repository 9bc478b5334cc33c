#include "compose/detail_match.h"

#include <algorithm>
#include <cmath>

#include "base/frame.h"

namespace mfs {
namespace {

constexpr float kLeastGain = 0.4f, kMostGain = 2.0f;
constexpr float kLeastLimit = 0.006f;  // of LimitDetail, luma 0..1
constexpr float kLimitPerSigma = 2.2f;
constexpr float kGrainLoss = 1.2f;          // what the two limits take from pure grain
constexpr float kActivityPerSigma = 0.67f;  // mean |detail| around a pixel, 0.8 sigma in pure grain, at 1.5 sigma half of it gives way
constexpr int kBins = 512;
constexpr float kBinsPerUnit = 2048;  // |detail| up to 0.25
constexpr int kLeastPixels = 60;
constexpr int kBlocks = 12, kLeastBlock = 8;  // in a row of the crop; pixels of its side
constexpr float kQuietBias = 1.12f;           // even in pure noise the medians of the quietest blocks are smaller than that of all

// 1 4 6 4 1 in both directions with taps `step` apart (a trous); borders are repeated. out may be in.
void Blur(const ImageF& in, int step, ImageF* scratch, ImageF* out) {
  const int w = in.width(), h = in.height();
  scratch->Reset(w, h, 1);
  out->Reset(w, h, 1);
  for (int y = 0; y < h; ++y) {
    const float *a = in.row(0, std::max(0, y - 2 * step)), *b = in.row(0, std::max(0, y - step)), *c = in.row(0, y), *d = in.row(0, std::min(h - 1, y + step)),
                *e = in.row(0, std::min(h - 1, y + 2 * step));
    float* o = scratch->row(0, y);
    for (int x = 0; x < w; ++x) o[x] = (a[x] + e[x]) * (1.0f / 16) + (b[x] + d[x]) * 0.25f + c[x] * 0.375f;
  }
  for (int y = 0; y < h; ++y) {
    const float* s = scratch->row(0, y);
    float* o = out->row(0, y);
    const auto at = [&](int x) { return s[std::clamp(x, 0, w - 1)]; };
    const int inner = std::max(0, w - 2 * step);
    for (int x = 0; x < std::min(2 * step, w); ++x) o[x] = (at(x - 2 * step) + at(x + 2 * step)) * (1.0f / 16) + (at(x - step) + at(x + step)) * 0.25f + s[x] * 0.375f;
    for (int x = 2 * step; x < inner; ++x) o[x] = (s[x - 2 * step] + s[x + 2 * step]) * (1.0f / 16) + (s[x - step] + s[x + step]) * 0.25f + s[x] * 0.375f;
    for (int x = std::max(inner, 2 * step); x < w; ++x) o[x] = (at(x - 2 * step) + at(x + 2 * step)) * (1.0f / 16) + (at(x - step) + at(x + step)) * 0.25f + s[x] * 0.375f;
  }
}

struct Spread {
  float median = 0, edge = 0;  // of |detail|: 50th percentile where least is going on, 95th of all
  int pixels = 0;
};

// The n-th smallest of a part of the bins, in units of |detail|.
float Percentile(const int* histogram, int n, double p) {
  double below = 0;
  for (int i = 0; i < kBins; ++i) {
    if (below + histogram[i] >= p * n) return static_cast<float>((i + (p * n - below) / std::max(1, histogram[i])) / kBinsPerUnit);
    below += histogram[i];
  }
  return kBins / kBinsPerUnit;
}

Spread Measure(const ImageF& detail, const ImageF& weight) {
  int histogram[kBins] = {};
  Spread s;
  const int w = detail.width(), h = detail.height(), side = std::max(kLeastBlock, w / kBlocks);
  std::array<float, (kBlocks + 1) * (kBlocks + 1)> medians;
  size_t blocks = 0;
  for (int y0 = 0; y0 < h; y0 += side) {
    for (int x0 = 0; x0 < w; x0 += side) {
      int own[kBins] = {}, n = 0;
      for (int y = y0; y < std::min(h, y0 + side); ++y) {
        const float *d = detail.row(0, y), *k = weight.row(0, y);
        for (int x = x0; x < std::min(w, x0 + side); ++x) {
          if (k[x] > 0.5f) ++own[std::min(kBins - 1, static_cast<int>(std::fabs(d[x]) * kBinsPerUnit))], ++n;
        }
      }
      if (n == 0) continue;
      for (int i = 0; i < kBins; ++i) histogram[i] += own[i];
      s.pixels += n;
      if (2 * n >= side * side && blocks < medians.size()) medians[blocks++] = Percentile(own, n, 0.5);
    }
  }
  s.edge = Percentile(histogram, s.pixels, 0.95);
  // Grain is everywhere; what only some blocks have is the old face. A small face has no quiet block: then its own median, as a bound.
  s.median = Percentile(histogram, s.pixels, 0.5);
  if (blocks > 0) {
    const auto quiet = medians.begin() + static_cast<ptrdiff_t>(blocks / 5);
    std::nth_element(medians.begin(), quiet, medians.begin() + static_cast<ptrdiff_t>(blocks));
    s.median = std::min(s.median, kQuietBias * *quiet);
  }
  return s;
}

}  // namespace

void LumaOf(const ImageF& rgb, const std::array<float, 3>& k, ImageF* luma) {
  luma->Reset(rgb.width(), rgb.height(), 1);
  const float *r = rgb.plane(0), *g = rgb.plane(1), *b = rgb.plane(2);
  float* o = luma->data();
  for (size_t i = 0; i < rgb.plane_size(); ++i) o[i] = k[0] * r[i] + k[1] * g[i] + k[2] * b[i];
}

void DetailMatcher::Run(const ImageF& target_luma, const ImageF& weight, const std::array<float, 3>& luma_weights, float step, DetailMatch* match, ImageF* raw) {
  // Bands of both: luma_[i] and target_[i] become detail i; what is left of the raw luma is not needed.
  LumaOf(*raw, luma_weights, &luma_[0]);
  ImageF low = target_luma;
  for (int band = 0; band < kDetailBands; ++band) {
    Blur(luma_[band], 1 << band, &scratch_, &luma_[band + 1]);
    Blur(low, 1 << band, &scratch_, &target_[band]);
    const size_t n = low.plane_size();
    float *r = luma_[band].data(), *t = target_[band].data(), *l = low.data();
    const float* next = luma_[band + 1].data();
    for (size_t i = 0; i < n; ++i) {
      r[i] -= next[i];
      const float blurred = t[i];
      t[i] = l[i] - blurred;
      l[i] = blurred;
    }
  }
  const float a = match->started ? step : 1.0f;
  for (int band = 0; band < kDetailBands; ++band) {
    const Spread of_raw = Measure(luma_[band], weight), of_target = Measure(target_[band], weight);
    if (of_target.pixels < kLeastPixels) break;
    constexpr float kSigma = 1 / 0.6745f, kLeast = 0.3f / 255;
    // Edges with the grain's share taken out, so that a noisy frame is not taken for a sharp one.
    const auto edges = [&](const Spread& s) { return std::max(kLeast, std::sqrt(std::max(0.0f, s.edge * s.edge - 3.84f * kSigma * kSigma * s.median * s.median * 0.5f))); };
    const float gain = std::clamp(edges(of_target) / edges(of_raw), kLeastGain, kMostGain);
    const float missing = of_target.median * of_target.median - gain * gain * of_raw.median * of_raw.median;
    const float grain = of_target.median > 0 ? kGrainLoss * std::sqrt(std::max(0.0f, missing)) / of_target.median : 0;
    match->gain[band] += a * (gain - match->gain[band]);
    match->grain[band] += a * (grain - match->grain[band]);
    match->limit[band] += a * (std::max(kLeastLimit, kLimitPerSigma * kSigma * of_target.median) - match->limit[band]);
    match->started = match->started || band == kDetailBands - 1;
  }
  if (!match->started) return;
  const size_t n = raw->plane_size();
  added_.Reset(raw->width(), raw->height(), 1);
  float* add = added_.data();
  std::fill(add, add + n, 0.0f);
  for (int band = 0; band < kDetailBands; ++band) {
    const float *r = luma_[band].data(), *t = target_[band].data(), gain = match->gain[band] - 1, grain = match->grain[band], inverse_limit = 1 / match->limit[band];
    // Texture that is stronger all around than the grain is a feature of the old face: it gives way there, and is not missed beside the new one's.
    activity_.Reset(raw->width(), raw->height(), 1);
    float* around = activity_.data();
    for (size_t i = 0; i < n; ++i) around[i] = std::fabs(t[i]);
    Blur(activity_, 1 << band, &scratch_, &activity_);
    const float inverse_grain = kLimitPerSigma * kActivityPerSigma * inverse_limit;
    for (size_t i = 0; i < n; ++i) {
      const float q = around[i] * inverse_grain, q2 = q * q;
      add[i] += gain * r[i] + grain * LimitDetail(t[i], inverse_limit) / (1 + q2 * q2);
    }
  }
  for (int c = 0; c < 3; ++c) {
    float* p = raw->plane(c);
    for (size_t i = 0; i < n; ++i) p[i] = std::min(1.0f, std::max(0.0f, p[i] + add[i]));
  }
}

}  // namespace mfs
