#include "mesh_teacher.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "simd.h"

namespace mfs::train {
namespace {

constexpr int kSide = kCropSize, kPixels = kSide * kSide;
constexpr int kQuarter = kSide / 4;
constexpr float kGamma = 2.2f;
constexpr float kNothing = std::numeric_limits<float>::infinity();

// Gaussian blur of `channels` interleaved channels, zeros outside; scratch has the size of data.
MFS_CLONES void Blur(float* data, int side, int channels, float sigma, float* scratch) {
  const int radius = static_cast<int>(std::ceil(2.5f * sigma));
  float tap[128];
  float sum = 0;
  for (int i = 0; i <= radius; ++i) tap[i] = std::exp(-0.5f * i * i / (sigma * sigma)), sum += i == 0 ? tap[i] : 2 * tap[i];
  for (int i = 0; i <= radius; ++i) tap[i] /= sum;
  const int row = side * channels;
  for (int y = 0; y < side; ++y) {  // down
    float* out = scratch + y * row;
    for (int x = 0; x < row; ++x) out[x] = 0;
    for (int k = -radius; k <= radius; ++k) {
      if (y + k < 0 || y + k >= side) continue;
      const float* in = data + (y + k) * row;
      const float w = tap[std::abs(k)];
      for (int x = 0; x < row; ++x) out[x] += w * in[x];
    }
  }
  for (int y = 0; y < side; ++y) {  // across
    const float* in = scratch + y * row;
    float* out = data + y * row;
    for (int x = 0; x < row; ++x) out[x] = 0;
    for (int k = -radius; k <= radius; ++k) {
      const int shift = k * channels, first = std::max(0, -shift), last = std::min(row, row - shift);
      const float w = tap[std::abs(k)];
      for (int x = first; x < last; ++x) out[x] += w * in[x + shift];
    }
  }
}

// 1 inside the polygon (even-odd rule at pixel centres), 0 outside.
template <size_t N>
void FillPolygon(const FaceRecord& r, const std::array<short, N>& outline, float value, float* image) {
  float x[N], y[N];
  for (size_t i = 0; i < N; ++i) x[i] = r.mesh[3 * outline[i]], y[i] = r.mesh[3 * outline[i] + 1];
  for (int row = 0; row < kSide; ++row) {
    float cut[N];
    int n = 0;
    for (size_t i = 0, j = N - 1; i < N; j = i++) {
      if ((y[i] <= row) != (y[j] <= row)) cut[n++] = x[i] + (row - y[i]) / (y[j] - y[i]) * (x[j] - x[i]);
    }
    std::sort(cut, cut + n);
    for (int k = 0; k + 1 < n; k += 2) {
      const int first = std::max(0, static_cast<int>(std::ceil(cut[k]))), last = std::min(kSide - 1, static_cast<int>(std::floor(cut[k + 1])));
      for (int px = first; px <= last; ++px) image[row * kSide + px] = value;
    }
  }
}

// Erosion of a 0/1 image by an ellipse (here a disc) of the given diameter.
void Erode(int diameter, const float* in, float* out) {
  const int radius = diameter / 2;
  std::vector<short> reach(kPixels);  // pixels to the next zero in the row
  for (int y = 0; y < kSide; ++y) {
    short run = 0;
    for (int x = 0; x < kSide; ++x) reach[y * kSide + x] = run = in[y * kSide + x] > 0 ? run + 1 : 0;
    run = 0;
    for (int x = kSide - 1; x >= 0; --x) {
      run = in[y * kSide + x] > 0 ? run + 1 : 0;
      reach[y * kSide + x] = std::min(reach[y * kSide + x], run);
    }
  }
  std::fill(out, out + kPixels, 1.0f);
  for (int dy = -radius; dy <= radius; ++dy) {
    const int half = static_cast<int>(std::lround(std::sqrt(static_cast<float>(radius * radius - dy * dy))));
    for (int y = 0; y < kSide; ++y) {
      const bool outside = y + dy < 0 || y + dy >= kSide;
      for (int x = 0; x < kSide; ++x) {
        if (outside || reach[(y + dy) * kSide + x] <= half) out[y * kSide + x] = 0;
      }
    }
  }
}

}  // namespace

MeshTeacher::MeshTeacher(const MeshTeacherOptions& options) : options_(options), to_linear_(256) {
  for (int i = 0; i < 256; ++i) to_linear_[i] = std::pow(i / 255.0f, kGamma);
  source_linear_.resize(3 * kPixels), target_linear_.resize(3 * kPixels), warped_.resize(3 * kPixels);
  depth_.resize(kPixels), mask_.resize(kPixels), edge_.resize(kPixels), scratch_.resize(3 * kPixels);
  small_.resize(7 * kQuarter * kQuarter);
}

void MeshTeacher::Rasterise(const FaceRecord& source, const FaceRecord& target) {
  std::fill(depth_.begin(), depth_.end(), kNothing);
  for (const auto& t : kMeshTriangulation) {
    const float *a = target.mesh + 3 * t[0], *b = target.mesh + 3 * t[1], *c = target.mesh + 3 * t[2];
    const float *sa = source.mesh + 3 * t[0], *sb = source.mesh + 3 * t[1], *sc = source.mesh + 3 * t[2];
    const float area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    if (std::fabs(area) < 1e-3f) continue;
    const int x0 = std::max(0, static_cast<int>(std::ceil(std::min({a[0], b[0], c[0]})))), x1 = std::min(kSide - 1, static_cast<int>(std::floor(std::max({a[0], b[0], c[0]}))));
    const int y0 = std::max(0, static_cast<int>(std::ceil(std::min({a[1], b[1], c[1]})))), y1 = std::min(kSide - 1, static_cast<int>(std::floor(std::max({a[1], b[1], c[1]}))));
    for (int y = y0; y <= y1; ++y) {
      for (int x = x0; x <= x1; ++x) {
        const float v = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area;
        const float w = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area;
        const float u = 1 - v - w;
        if (u < -1e-4f || v < -1e-4f || w < -1e-4f) continue;
        const float z = u * a[2] + v * b[2] + w * c[2];
        const int at = y * kSide + x;
        if (z >= depth_[at]) continue;  // the far cheek behind the nose
        depth_[at] = z;
        const float sx = std::clamp(u * sa[0] + v * sb[0] + w * sc[0], 0.0f, kSide - 1.001f), sy = std::clamp(u * sa[1] + v * sb[1] + w * sc[1], 0.0f, kSide - 1.001f);
        const int ix = static_cast<int>(sx), iy = static_cast<int>(sy);
        const float fx = sx - ix, fy = sy - iy;
        const float* p = &source_linear_[3 * (iy * kSide + ix)];
        for (int k = 0; k < 3; ++k) {
          const float top = p[k] + fx * (p[3 + k] - p[k]), bottom = p[3 * kSide + k] + fx * (p[3 * kSide + 3 + k] - p[3 * kSide + k]);
          warped_[3 * at + k] = top + fy * (bottom - top);
        }
      }
    }
  }
}

// out = W (blur(T) + .01) / (blur(W) + .01), blurs normalised over the mesh and made at a quarter of the size.
void MeshTeacher::CarryLight() {
  constexpr int n = kQuarter * kQuarter;
  std::fill(small_.begin(), small_.end(), 0.0f);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const int at = y * kSide + x;
      if (depth_[at] == kNothing) continue;
      float* cell = &small_[7 * (y / 4 * kQuarter + x / 4)];
      for (int k = 0; k < 3; ++k) cell[k] += target_linear_[3 * at + k], cell[3 + k] += warped_[3 * at + k];
      cell[6] += 1;
    }
  }
  Blur(small_.data(), kQuarter, 7, options_.light_sigma / 4, scratch_.data());
  for (int i = 0; i < n; ++i) {
    float* cell = &small_[7 * i];
    const float weight = std::max(cell[6], 1e-6f);
    for (int k = 0; k < 3; ++k) {
      const float t = cell[k] / weight, w = cell[3 + k] / weight;
      cell[k] = std::clamp((t + 0.01f) / (w + 0.01f), options_.ratio_min, options_.ratio_max);
      cell[3 + k] = w;
    }
  }
  for (int y = 0; y < kSide; ++y) {
    const float gy = std::clamp((y + 0.5f) / 4 - 0.5f, 0.0f, kQuarter - 1.001f);
    const int iy = static_cast<int>(gy);
    for (int x = 0; x < kSide; ++x) {
      const int at = y * kSide + x;
      if (depth_[at] == kNothing) continue;
      const float gx = std::clamp((x + 0.5f) / 4 - 0.5f, 0.0f, kQuarter - 1.001f);
      const int ix = static_cast<int>(gx);
      const float fx = gx - ix, fy = gy - iy;
      const float* cell = &small_[7 * (iy * kQuarter + ix)];
      const auto read = [&](int k) {
        const float top = cell[k] + fx * (cell[7 + k] - cell[k]), bottom = cell[7 * kQuarter + k] + fx * (cell[7 * kQuarter + 7 + k] - cell[7 * kQuarter + k]);
        return top + fy * (bottom - top);
      };
      float* p = &warped_[3 * at];
      const float ratio[3] = {read(0), read(1), read(2)}, blurred[3] = {read(3), read(4), read(5)};
      const auto luminance = [](const float* c) { return 0.2126f * c[0] + 0.7152f * c[1] + 0.0722f * c[2]; };
      // The ratio would amplify the source's own highlights and relief.
      const float relative = std::max(luminance(p) / std::max(luminance(blurred), 1e-4f), 1e-3f);
      float wanted = relative;
      if (wanted > options_.highlight_knee) wanted = options_.highlight_knee + options_.highlight_slope * (wanted - options_.highlight_knee);
      const float mean_ratio = luminance(ratio);
      if (mean_ratio > 1.05f) wanted = std::pow(wanted, std::max(0.5f, 1 - options_.relief * std::log(mean_ratio)));
      for (int k = 0; k < 3; ++k) p[k] *= ratio[k] * (wanted / relative);
    }
  }
}

void MeshTeacher::MakeAlpha(const FaceRecord& target, const float* visible, TeacherPicture* out) {
  std::fill(mask_.begin(), mask_.end(), 0.0f);
  FillPolygon(target, kMeshFaceOval, 1, mask_.data());
  out->background.resize(kPixels);
  for (int i = 0; i < kPixels; ++i) out->background[i] = 1 - mask_[i];
  if (visible != nullptr) {
    for (int i = 0; i < kPixels; ++i) {
      if (visible[i] < 0.5f) out->background[i] = 1;
      mask_[i] = visible[i] >= 0.5f ? mask_[i] : 0;
    }
  }
  Erode(options_.erosion, mask_.data(), edge_.data());
  Blur(edge_.data(), kSide, 1, options_.edge_sigma, scratch_.data());
  std::fill(mask_.begin(), mask_.end(), 0.0f);
  FillPolygon(target, kMeshRightEye, 1, mask_.data());
  FillPolygon(target, kMeshLeftEye, 1, mask_.data());
  FillPolygon(target, kMeshInnerLips, 1, mask_.data());
  Blur(mask_.data(), kSide, 1, options_.opening_sigma, scratch_.data());
  out->alpha.resize(kPixels);
  for (int i = 0; i < kPixels; ++i) out->alpha[i] = depth_[i] == kNothing ? 0 : std::clamp(edge_[i] - mask_[i], 0.0f, 1.0f);
}

void MeshTeacher::Run(const FaceRecord& source, const FaceRecord& target, const float* visible, TeacherPicture* out) {
  for (int i = 0; i < 3 * kPixels; ++i) source_linear_[i] = to_linear_[source.crop[i]], target_linear_[i] = to_linear_[target.crop[i]];
  Rasterise(source, target);
  CarryLight();
  MakeAlpha(target, visible, out);
  out->image.resize(3 * kPixels);
  for (int i = 0; i < kPixels; ++i) {
    const float a = out->alpha[i];
    for (int k = 0; k < 3; ++k) {
      const float t = target.crop[3 * i + k] / 255.0f;
      out->image[3 * i + k] = a == 0 ? t : t + a * (std::pow(std::clamp(warped_[3 * i + k], 0.0f, 1.0f), 1 / kGamma) - t);
    }
  }
}

}  // namespace mfs::train
