#include "compose/color_match.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mfs {
namespace {

constexpr float kLeastRatio = 0.25f, kMostRatio = 4, kLeastGain = 0.8f, kMostGain = 1.25f;
constexpr float kMostSlope = 0.6f;    // relative, from one side of the crop to the other
constexpr double kNoise = 1.5 / 255;  // standard deviation added to both sides: flat colours have no direction
constexpr double kLeastPixels = 40;   // weight below which statistics mean nothing
constexpr int kSmall = 64;            // pixels of a side from which a quarter of the pixels is plenty
// Standard deviation across the target's main colour axis as a share of its brightness: below the one, with its mean on that axis, it is black and white or sepia, above the other it is not.
constexpr double kOneColour = 0.004, kManyColours = 0.008;

using Matrix = std::array<double, 9>;

Matrix Multiply(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 3; ++k) c[i * 3 + j] += a[i * 3 + k] * b[k * 3 + j];
    }
  }
  return c;
}

// f(A) of a symmetric matrix by its eigenvalues (Jacobi).
template <typename F>
Matrix OfEigenvalues(Matrix a, F f) {
  Matrix v = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (int sweep = 0; sweep < 12; ++sweep) {
    for (int p = 0; p < 2; ++p) {
      for (int q = p + 1; q < 3; ++q) {
        if (std::fabs(a[p * 3 + q]) < 1e-18) continue;
        const double theta = (a[q * 3 + q] - a[p * 3 + p]) / (2 * a[p * 3 + q]);
        const double t = (theta >= 0 ? 1 : -1) / (std::fabs(theta) + std::sqrt(theta * theta + 1)), c = 1 / std::sqrt(t * t + 1), s = t * c;
        Matrix r = {1, 0, 0, 0, 1, 0, 0, 0, 1}, rt;
        r[p * 3 + p] = r[q * 3 + q] = c, r[p * 3 + q] = s, r[q * 3 + p] = -s;
        rt = r;
        std::swap(rt[p * 3 + q], rt[q * 3 + p]);
        a = Multiply(rt, Multiply(a, r));
        v = Multiply(v, r);
      }
    }
  }
  Matrix out{};
  for (int e = 0; e < 3; ++e) {
    const double value = f(a[e * 3 + e]);
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) out[i * 3 + j] += value * v[i * 3 + e] * v[j * 3 + e];
    }
  }
  return out;
}

}  // namespace

void UpdateColorMatch(const ImageF& raw, const ImageF& target, const ImageF& weight, float step, ColorMatch* match) {
  const int w = raw.width(), h = raw.height();
  // Weighted sums of raw (0-2), target (3-5), u (6), v (7), and their products.
  constexpr int kN = 8;
  std::array<double, kN> sum{};
  std::array<double, kN * kN> product{};
  double total = 0;
  const int stride = w < kSmall ? 1 : 2;
  for (int y = 0; y < h; y += stride) {
    std::array<float, kN> row_sum{};
    std::array<float, kN * kN> row_product{};
    float row_total = 0;
    const float* k = weight.row(0, y);
    for (int x = 0; x < w; x += stride) {
      if (!(k[x] > 0.01f)) continue;
      const std::array<float, kN> at = {
          raw.row(0, y)[x], raw.row(1, y)[x], raw.row(2, y)[x], target.row(0, y)[x], target.row(1, y)[x], target.row(2, y)[x], static_cast<float>(x) / w - 0.5f, static_cast<float>(y) / h - 0.5f};
      row_total += k[x];
      for (int i = 0; i < kN; ++i) {
        const float weighted = k[x] * at[i];
        row_sum[i] += weighted;
        for (int j = i; j < kN; ++j) row_product[i * kN + j] += weighted * at[j];
      }
    }
    total += row_total;
    for (int i = 0; i < kN; ++i) sum[i] += row_sum[i];
    for (int i = 0; i < kN * kN; ++i) product[i] += row_product[i];
  }
  if (total < kLeastPixels) return;
  const auto covariance = [&](int i, int j) { return product[std::min(i, j) * kN + std::max(i, j)] / total - sum[i] / total * (sum[j] / total); };
  std::array<double, 3> mean{}, ratio{};
  for (int i = 0; i < 3; ++i) {
    mean[i] = sum[i] / total;
    ratio[i] = std::clamp(sum[3 + i] / std::max(sum[i], 1e-6 * total), double{kLeastRatio}, double{kMostRatio});
  }
  Matrix from{}, to{};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) from[i * 3 + j] = ratio[i] * ratio[j] * covariance(i, j), to[i * 3 + j] = covariance(3 + i, 3 + j);
    from[i * 4] += kNoise * kNoise, to[i * 4] += kNoise * kNoise;
  }
  const auto root = [](double e) { return std::sqrt(std::max(e, 1e-12)); };
  const Matrix half = OfEigenvalues(from, root), inverse_half = OfEigenvalues(from, [&](double e) { return 1 / root(e); });
  Matrix gain = Multiply(inverse_half, Multiply(OfEigenvalues(Multiply(half, Multiply(to, half)), root), inverse_half));
  gain = OfEigenvalues(gain, [](double e) { return std::clamp(e, double{kLeastGain}, double{kMostGain}); });
  // A black and white film has one axis of colours: what the network adds across it, red lips, is left out however little it is.
  std::vector<double> spread;  // and the noise
  (void)OfEigenvalues(to, [&](double e) { return spread.emplace_back(e); });
  std::sort(spread.begin(), spread.end());
  const Matrix axis = OfEigenvalues(to, [&](double e) { return e == spread[2] ? 1 : 0; });
  double on_axis = 0, all = 1e-12, brightness = 1e-3;
  for (int i = 0; i < 3; ++i) {
    const double m = sum[3 + i] / total;
    all += m * m, brightness += m / 3;
    for (int j = 0; j < 3; ++j) on_axis += m * axis[i * 3 + j] * sum[3 + j] / total;
  }
  // Skin whose chroma was flattened by a codec has one axis, too, but not through black: cosine of about 0.97.
  const double coloured = std::clamp((0.995 - std::sqrt(on_axis / all)) / 0.007, 0.0, 1.0);
  const double across = std::max(coloured, std::clamp((root(spread[1] - kNoise * kNoise) / brightness - kOneColour) / (kManyColours - kOneColour), 0.0, 1.0));
  if (across < 1) gain = Multiply(OfEigenvalues(to, [&](double e) { return e == spread[2] ? 1 : across; }), gain);
  // What of the target's luma still follows u and v when the colours are matched, as a share of the luma.
  const double luma[3] = {0.299, 0.587, 0.114};
  double eu = 0, ev = 0, level = 1e-3;
  for (int i = 0; i < 3; ++i) {
    double matched = 0;
    for (int j = 0; j < 3; ++j) matched += luma[j] * gain[j * 3 + i] * ratio[i];
    eu += luma[i] * covariance(3 + i, 6) - matched * covariance(i, 6);
    ev += luma[i] * covariance(3 + i, 7) - matched * covariance(i, 7);
    level += luma[i] * ratio[i] * mean[i];
  }
  const double uu = covariance(6, 6) + 1e-4, vv = covariance(7, 7) + 1e-4, uv = covariance(6, 7), det = (uu * vv - uv * uv) * level;
  const float slope_x = std::clamp(static_cast<float>((eu * vv - ev * uv) / det), -kMostSlope, kMostSlope);
  const float slope_y = std::clamp(static_cast<float>((ev * uu - eu * uv) / det), -kMostSlope, kMostSlope);
  // The slopes must not change the mean of what was looked at.
  const double middle = 1 + slope_x * sum[6] / total + slope_y * sum[7] / total;
  const float a = match->started ? step : 1.0f;
  match->started = true;
  for (int i = 0; i < 9; ++i) match->gain[i] += a * (static_cast<float>(gain[i]) - match->gain[i]);
  for (int i = 0; i < 3; ++i) {
    match->pivot[i] = static_cast<float>(mean[i]);
    match->ratio[i] += a * (static_cast<float>(ratio[i] / middle) - match->ratio[i]);
  }
  match->slope_x += a * (slope_x - match->slope_x);
  match->slope_y += a * (slope_y - match->slope_y);
}

void ApplyColorMatch(const ColorMatch& m, ImageF* raw) {
  const int w = raw->width(), h = raw->height();
  std::array<float, 9> k;  // gain after ratio
  std::array<float, 3> offset;
  for (int i = 0; i < 3; ++i) {
    offset[i] = m.ratio[i] * m.pivot[i];
    for (int j = 0; j < 3; ++j) {
      k[i * 3 + j] = m.gain[i * 3 + j] * m.ratio[j];
      offset[i] -= k[i * 3 + j] * m.pivot[j];
    }
  }
  for (int y = 0; y < h; ++y) {
    float *r = raw->row(0, y), *g = raw->row(1, y), *b = raw->row(2, y);
    const float light_y = 1 + m.slope_y * (static_cast<float>(y) / h - 0.5f) - 0.5f * m.slope_x, per_x = m.slope_x / w;
    const auto clamp = [](float v) { return std::min(1.0f, std::max(0.0f, v)); };
    for (int x = 0; x < w; ++x) {
      const float light = light_y + per_x * x, red = r[x], green = g[x], blue = b[x];
      r[x] = clamp((k[0] * red + k[1] * green + k[2] * blue + offset[0]) * light);
      g[x] = clamp((k[3] * red + k[4] * green + k[5] * blue + offset[1]) * light);
      b[x] = clamp((k[6] * red + k[7] * green + k[8] * blue + offset[2]) * light);
    }
  }
}

}  // namespace mfs
