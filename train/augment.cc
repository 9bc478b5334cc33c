#include "augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "mesh_teacher.h"
#include "sharpness.h"
#include "simd.h"

namespace mfs::train {
namespace {

constexpr int kSide = kCropSize, kHalf = kCropSize / 2;

float Between(float least, float most, std::mt19937_64* rng) { return std::uniform_real_distribution<float>(least, most)(*rng); }

// A similarity about the crop's middle: place = a (x - m) - b (y - m) + m + tx, and so on.
struct Similarity {
  float a, b, tx, ty;
  static Similarity Random(float degrees, float scale, float shift, std::mt19937_64* rng) {
    const float angle = Between(-degrees, degrees, rng) * static_cast<float>(M_PI) / 180, s = 1 + Between(-scale, scale, rng);
    return {s * std::cos(angle), s * std::sin(angle), Between(-shift, shift, rng), Between(-shift, shift, rng)};
  }
  Similarity Inverse() const {
    const float n = a * a + b * b;
    return {a / n, -b / n, -(a * tx + b * ty) / n, -(a * ty - b * tx) / n};
  }
  void Apply(float middle, float x, float y, float* out_x, float* out_y) const {
    const float dx = x - middle, dy = y - middle;
    *out_x = a * dx - b * dy + middle + tx;
    *out_y = b * dx + a * dy + middle + ty;
  }
};

// Bilinear, borders repeated; calls put(pixel, channel, value) for interleaved channels.
template <int kChannels = 3, typename In, typename Put>
void Sample(const In* in, int side, const Similarity& from, const Put& put) {
  const float middle = (side - 1) / 2.0f;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      float sx, sy;
      from.Apply(middle, static_cast<float>(x), static_cast<float>(y), &sx, &sy);
      sx = std::clamp(sx, 0.0f, side - 1.001f), sy = std::clamp(sy, 0.0f, side - 1.001f);
      const int ix = static_cast<int>(sx), iy = static_cast<int>(sy);
      const float fx = sx - ix, fy = sy - iy;
      const In *p = in + kChannels * (iy * side + ix), *q = p + kChannels * side;
      for (int c = 0; c < kChannels; ++c) {
        const float top = p[c] + fx * (p[kChannels + c] - p[c]), bottom = q[c] + fx * (q[kChannels + c] - q[c]);
        put(y * side + x, c, top + fy * (bottom - top));
      }
    }
  }
}

// Catmull-Rom, borders repeated: a bilinear one takes 29 % of the variance of the Laplacian away (mean of ten crops), from what the student shall be as sharp as.
template <typename Put>
void SampleSharp(const uint8_t* in, int side, const Similarity& from, const Put& put) {
  const float middle = (side - 1) / 2.0f;
  const auto taps = [](float f, float* w) {
    w[0] = f * (-0.5f + f * (1 - 0.5f * f)), w[1] = 1 + f * f * (-2.5f + 1.5f * f), w[2] = f * (0.5f + f * (2 - 1.5f * f)), w[3] = f * f * (-0.5f + 0.5f * f);
  };
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      float sx, sy, wx[4], wy[4], sum[3] = {};
      from.Apply(middle, static_cast<float>(x), static_cast<float>(y), &sx, &sy);
      sx = std::clamp(sx, 0.0f, side - 1.001f), sy = std::clamp(sy, 0.0f, side - 1.001f);
      const int ix = static_cast<int>(sx), iy = static_cast<int>(sy);
      taps(sx - ix, wx), taps(sy - iy, wy);
      for (int j = 0; j < 4; ++j) {
        const uint8_t* row = in + 3 * side * std::clamp(iy + j - 1, 0, side - 1);
        for (int i = 0; i < 4; ++i) {
          const uint8_t* q = row + 3 * std::clamp(ix + i - 1, 0, side - 1);
          const float w = wx[i] * wy[j];
          for (int c = 0; c < 3; ++c) sum[c] += w * q[c];
        }
      }
      for (int c = 0; c < 3; ++c) put(y * side + x, c, std::clamp(sum[c], 0.0f, 255.0f));
    }
  }
}

// 256 values of one channel under a gamma and a gain.
std::array<float, 256> Curve(float gamma, float gain) {
  std::array<float, 256> curve;
  for (int i = 0; i < 256; ++i) curve[i] = std::min(1.0f, gain * std::pow(i / 255.0f, gamma));
  return curve;
}

// Means of 2 x 2 pixels under a curve for each channel.
void Halve(const FaceRecord& source, const std::array<float, 256>* curves, float* out) {
  for (int y = 0; y < kHalf; ++y) {
    for (int x = 0; x < kHalf; ++x) {
      for (int c = 0; c < 3; ++c) {
        const uint8_t* p = source.crop + 3 * (2 * y * kSide + 2 * x) + c;
        out[3 * (y * kHalf + x) + c] = 0.25f * (curves[c][p[0]] + curves[c][p[3]] + curves[c][p[3 * kSide]] + curves[c][p[3 * kSide + 3]]);
      }
    }
  }
}

MFS_CLONES void BlurRows(const float* in, int side, int row, const float* tap, int radius, float* out) {
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < row; ++x) out[y * row + x] = 0;
    for (int k = -radius; k <= radius; ++k) {
      const float* from = in + std::clamp(y + k, 0, side - 1) * row;
      for (int x = 0; x < row; ++x) out[y * row + x] += tap[std::abs(k)] * from[x];
    }
  }
}

void Blur(float sigma, std::vector<float>* image) {
  float tap[10], sum = 0;
  const int radius = std::min(9, static_cast<int>(std::ceil(2.5f * sigma)));
  for (int i = 0; i <= radius; ++i) tap[i] = std::exp(-0.5f * i * i / (sigma * sigma)), sum += i == 0 ? tap[i] : 2 * tap[i];
  for (int i = 0; i <= radius; ++i) tap[i] /= sum;
  std::vector<float> turned(image->size());
  for (int pass = 0; pass < 2; ++pass) {  // down, turned, down again, turned back
    std::vector<float> blurred(image->size());
    BlurRows(image->data(), kHalf, 3 * kHalf, tap, radius, blurred.data());
    for (int y = 0; y < kHalf; ++y) {
      for (int x = 0; x < kHalf; ++x) std::copy_n(&blurred[3 * (y * kHalf + x)], 3, &turned[3 * (x * kHalf + y)]);
    }
    std::swap(*image, turned);
  }
}

}  // namespace

void MoveFace(FaceRecord* face, FaceLabels* labels, std::mt19937_64* rng) {
  const Similarity to = Similarity::Random(4, 0.04f, 4, rng);
  const std::vector<uint8_t> crop(face->crop, face->crop + 3 * kSide * kSide);
  SampleSharp(crop.data(), kSide, to.Inverse(), [&](int pixel, int c, float v) { face->crop[3 * pixel + c] = static_cast<uint8_t>(v + 0.5f); });
  if (labels != nullptr) {
    for (std::vector<float>* plane : {&labels->visible, &labels->glasses}) {
      const std::vector<float> before = *plane;
      Sample<1>(before.data(), kSide, to.Inverse(), [&](int pixel, int, float v) { (*plane)[pixel] = v; });
    }
  }
  const float middle = (kSide - 1) / 2.0f, scale = std::hypot(to.a, to.b);
  for (int i = 0; i < kMeshPoints; ++i) {
    float* p = face->mesh + 3 * i;
    to.Apply(middle, p[0], p[1], &p[0], &p[1]);
    p[2] *= scale;
  }
  for (int i = 0; i < 68; ++i) {
    float* p = face->landmarks + 2 * i;
    to.Apply(middle, p[0], p[1], &p[0], &p[1]);
  }
}

void MirrorFace(FaceRecord* face, FaceLabels* labels) {
  for (int y = 0; y < kSide; ++y) {
    uint8_t* row = face->crop + 3 * kSide * y;
    for (int x = 0; x < kSide / 2; ++x) std::swap_ranges(row + 3 * x, row + 3 * x + 3, row + 3 * (kSide - 1 - x));
    if (labels == nullptr) continue;
    for (std::vector<float>* plane : {&labels->visible, &labels->glasses}) std::reverse(plane->begin() + y * kSide, plane->begin() + (y + 1) * kSide);
  }
  const std::vector<float> mesh(face->mesh, face->mesh + 3 * kMeshPoints), marks(face->landmarks, face->landmarks + 136);
  // The 68 landmarks in their order: jaw, brows, nose, eyes, mouth.
  static constexpr int kOtherLandmark[68] = {16, 15, 14, 13, 12, 11, 10, 9,  8,  7,  6,  5,  4,  3,  2,  1,  0,  26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28, 29, 30, 35, 34, 33,
                                             32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65};
  for (int i = 0; i < kMeshPoints; ++i) {
    const float* from = &mesh[3 * OtherSideOfMesh(i)];
    face->mesh[3 * i] = kSide - 1 - from[0], face->mesh[3 * i + 1] = from[1], face->mesh[3 * i + 2] = from[2];
  }
  for (int i = 0; i < 68; ++i) {
    const float* from = &marks[2 * kOtherLandmark[i]];
    face->landmarks[2 * i] = kSide - 1 - from[0], face->landmarks[2 * i + 1] = from[1];
  }
}

void TakeColours(FaceRecord* face) {
  for (int i = 0; i < 3 * kSide * kSide; i += 3) {
    uint8_t* c = face->crop + i;
    c[0] = c[1] = c[2] = static_cast<uint8_t>(std::lround(LumaOf(c)));
  }
}

void TakeColours(std::vector<float>* rgb) {
  for (size_t i = 0; i + 2 < rgb->size(); i += 3) {
    float* c = rgb->data() + i;
    c[0] = c[1] = c[2] = LumaOf(c);
  }
}

void RelightFace(FaceRecord* face, std::mt19937_64* rng) {
  const float gamma = std::exp(Between(std::log(0.65f), std::log(1.5f), rng));
  for (int c = 0; c < 3; ++c) {
    const std::array<float, 256> curve = Curve(gamma, Between(0.9f, 1.1f, rng));
    for (int i = c; i < 3 * kSide * kSide; i += 3) face->crop[i] = static_cast<uint8_t>(curve[face->crop[i]] * 255 + 0.5f);
  }
}

void LightFromTwoSides(FaceRecord* face, std::mt19937_64* rng) {
  constexpr int kReach = 2 * kSide;  // no pixel is farther from the middle
  const float angle = Between(-static_cast<float>(M_PI), static_cast<float>(M_PI), rng), x_part = std::cos(angle), y_part = std::sin(angle);
  const float place = Between(-40, 40, rng), width = std::exp(Between(std::log(12.0f), std::log(90.0f), rng));
  const float darker = std::log(Between(0.25f, 1, rng));
  std::array<std::array<float, 2 * kReach>, 3> gain;  // by the distance along the direction
  for (auto& colour : gain) {
    const float first = Between(-0.17f, 0.17f, rng), second = darker + Between(-0.17f, 0.17f, rng);
    for (int i = 0; i < 2 * kReach; ++i) {
      const float share = 0.5f + 0.5f * std::tanh((static_cast<float>(i - kReach) - place) / width);
      colour[i] = std::exp(first + share * (second - first));
    }
  }
  constexpr float kMiddle = (kSide - 1) / 2.0f;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const int at = static_cast<int>(x_part * (x - kMiddle) + y_part * (y - kMiddle)) + kReach;
      uint8_t* p = face->crop + 3 * (y * kSide + x);
      for (int c = 0; c < 3; ++c) p[c] = static_cast<uint8_t>(std::min(gain[c][at] * p[c] + 0.5f, 255.0f));
    }
  }
}

void HalveSource(const FaceRecord& source, float* out) {
  const std::array<float, 256> plain = Curve(1, 1), curves[3] = {plain, plain, plain};
  Halve(source, curves, out);
}

bool LightSource(const FaceRecord& source, const FaceRecord& target, float least, float* out) {
  constexpr float kGamma = 2.2f, kKnee = 0.7f;
  std::array<float, 256> linear;
  for (int i = 0; i < 256; ++i) linear[i] = std::pow(i / 255.0f, kGamma);
  // Cheeks, nose and mouth lie there in every aligned face, and no glasses.
  const auto mean = [&](const FaceRecord& face) {
    std::array<float, 3> sum{};
    for (int y = 130; y < 190; ++y) {
      for (int x = 72; x < 152; ++x) {
        for (int c = 0; c < 3; ++c) sum[c] += linear[face.crop[3 * (y * kSide + x) + c]];
      }
    }
    return sum;
  };
  const std::array<float, 3> from = mean(source), to = mean(target);
  float most = 0;
  for (int c = 0; c < 3; ++c) most = std::max(most, std::fabs(std::pow(from[c] / (60 * 80), 1 / kGamma) - std::pow(to[c] / (60 * 80), 1 / kGamma)));
  if (most < least) return false;
  std::array<float, 256> curves[3];
  for (int c = 0; c < 3; ++c) {
    const float gain = std::clamp((to[c] + 10) / (from[c] + 10), 0.015f, 15.0f);  // sums of 4,800 pixels
    for (int i = 0; i < 256; ++i) {
      const float v = gain * linear[i];
      curves[c][i] = std::pow(v < kKnee ? v : 1 - (1 - kKnee) * std::exp((kKnee - v) / (1 - kKnee)), 1 / kGamma);
    }
  }
  Halve(source, curves, out);
  return true;
}

void DegradeSource(const FaceRecord& source, std::mt19937_64* rng, float* out) {
  const float gamma = std::exp(Between(std::log(0.65f), std::log(1.5f), rng));
  std::array<float, 256> curves[3];
  for (auto& curve : curves) curve = Curve(gamma, Between(0.8f, 1.2f, rng));
  std::vector<float> image(3 * kHalf * kHalf);
  Halve(source, curves, image.data());
  const float saturation = Between(0, 1.3f, rng);
  for (size_t i = 0; i < image.size(); i += 3) {
    const float grey = LumaOf(&image[i]);
    for (int c = 0; c < 3; ++c) image[i + c] = grey + saturation * (image[i + c] - grey);
  }
  Blur(std::exp(Between(std::log(0.3f), std::log(3.5f), rng)), &image);
  const float noise = Between(0, 0.045f, rng);
  // A table of noise: a normal deviate for each of 37,632 values would cost as much as the blur.
  std::array<float, 1021> deviates;
  std::normal_distribution<float> normal(0, noise);
  for (float& d : deviates) d = normal(*rng);
  size_t next = (*rng)() % deviates.size();
  const Similarity from = Similarity::Random(3, 0.04f, 2, rng);
  Sample(image.data(), kHalf, from, [&](int pixel, int c, float v) {
    out[3 * pixel + c] = std::clamp(v + deviates[next], 0.0f, 1.0f);
    next = (next + 1) % deviates.size();
  });
}

}  // namespace mfs::train
