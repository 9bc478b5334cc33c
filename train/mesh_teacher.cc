#include "mesh_teacher.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "blur.h"
#include "sharpness.h"

namespace mfs::train {
namespace {

constexpr int kSide = kCropSize, kPixels = kSide * kSide;
constexpr int kQuarter = kSide / 4;
constexpr float kGamma = 2.2f;
constexpr float kLeast = 0.01f;  // added to both sides of a ratio of linear light
constexpr float kNothing = std::numeric_limits<float>::infinity();

// clang-format off
// The mesh point on the other side of the face; those of the middle are their own.
constexpr short kOtherSide[kMeshPoints] = {
    0, 1, 2, 248, 4, 5, 6, 249, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 250, 251, 252, 253, 254, 255, 256, 257, 258, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 270, 271, 272,
    273, 274, 275, 276, 277, 278, 279, 280, 281, 282, 283, 284, 285, 286, 287, 288, 289, 290, 291, 292, 293, 294, 295, 296, 297, 298, 299, 300, 301, 302, 303, 304, 305, 306, 307, 308, 309, 310,
    311, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321, 322, 323, 94, 324, 325, 326, 327, 328, 329, 330, 331, 332, 333, 334, 335, 336, 337, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347,
    348, 349, 350, 351, 352, 353, 354, 355, 356, 357, 358, 359, 360, 361, 362, 363, 364, 365, 366, 367, 368, 369, 370, 371, 372, 373, 374, 375, 376, 377, 378, 379, 151, 152, 380, 381, 382, 383,
    384, 385, 386, 387, 388, 389, 390, 164, 391, 392, 393, 168, 394, 395, 396, 397, 398, 399, 175, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    195, 419, 197, 420, 199, 200, 421, 422, 423, 424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 435, 436, 437, 438, 439, 440, 441, 442, 443, 444, 445, 446, 447, 448, 449, 450, 451, 452,
    453, 454, 455, 456, 457, 458, 459, 460, 461, 462, 463, 464, 465, 466, 467, 3, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46,
    47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 95,
    96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134,
    135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149, 150, 153, 154, 155, 156, 157, 158, 159, 160, 161, 162, 163, 165, 166, 167, 169, 170, 171, 172, 173, 174, 176, 177,
    178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194, 196, 198, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 215, 216, 217, 218, 219,
    220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 247,
};
// clang-format on
constexpr bool PairsUp(const short* other, int n) {
  for (int i = 0; i < n; ++i) {
    if (other[i] < 0 || other[i] >= n || other[other[i]] != i) return false;
  }
  return true;
}
static_assert(PairsUp(kOtherSide, kMeshPoints), "the other side of the other side is this side");
// Brow and eye, nose and lips: where a smooth piece of skin would show as a hole.
// (The bridge is plain skin: what covers it, glasses, would come through by the embedding if nothing were asked there.)
constexpr std::array<short, 15> kMeshNose = {174, 198, 209, 49, 64, 98, 97, 2, 326, 327, 294, 279, 429, 420, 399};
constexpr std::array<short, 20> kMeshRightEyeRegion = {70, 63, 105, 66, 107, 55, 193, 244, 233, 232, 231, 230, 229, 228, 31, 226, 35, 124, 46, 53};
constexpr std::array<short, 20> kMeshLips = {61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185};

// Of linear light (Rec. 709).
float Luminance(const float* c) { return 0.2126f * c[0] + 0.7152f * c[1] + 0.0722f * c[2]; }

// Mean of (2 radius + 1)^2 pixels, borders repeated.
void BoxBlur(int radius, const float* in, float* out) {
  std::vector<float> rows(kPixels);
  const float scale = 1.0f / static_cast<float>(2 * radius + 1);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      float sum = 0;
      for (int k = -radius; k <= radius; ++k) sum += in[y * kSide + std::clamp(x + k, 0, kSide - 1)];
      rows[y * kSide + x] = scale * sum;
    }
  }
  for (int y = 0; y < kSide; ++y) {
    std::fill_n(out + y * kSide, kSide, 0.0f);
    for (int k = -radius; k <= radius; ++k) {
      const float* in_row = &rows[std::clamp(y + k, 0, kSide - 1) * kSide];
      for (int x = 0; x < kSide; ++x) out[y * kSide + x] += scale * in_row[x];
    }
  }
}

// Bilinear at a place of a picture of interleaved channels; (x, y) lies inside.
template <int kChannels>
void Sample(const float* image, float x, float y, float* out) {
  const int ix = static_cast<int>(x), iy = static_cast<int>(y);
  const float fx = x - ix, fy = y - iy;
  const float* p = image + kChannels * (iy * kSide + ix);
  const float* q = p + kChannels * kSide;
  for (int k = 0; k < kChannels; ++k) {
    const float top = p[k] + fx * (p[kChannels + k] - p[k]), bottom = q[k] + fx * (q[kChannels + k] - q[k]);
    out[k] = top + fy * (bottom - top);
  }
}

// Reads a picture of a quarter of the size, of interleaved channels, at a pixel of the whole one: bilinear between the middles of its cells.
template <int kChannels>
class QuarterAt {
 public:
  QuarterAt(const float* cells, int pixel) {
    const float x = Place(pixel % kSide), y = Place(pixel / kSide);
    const int ix = static_cast<int>(x), iy = static_cast<int>(y);
    fx_ = x - ix, fy_ = y - iy;
    cell_ = cells + kChannels * (iy * kQuarter + ix);
  }
  float operator()(int channel) const {
    const float *p = cell_ + channel, *q = p + kChannels * kQuarter;
    const float top = p[0] + fx_ * (p[kChannels] - p[0]), bottom = q[0] + fx_ * (q[kChannels] - q[0]);
    return top + fy_ * (bottom - top);
  }

 private:
  static float Place(int v) { return std::clamp((v + 0.5f) / 4 - 0.5f, 0.0f, kQuarter - 1.001f); }
  const float* cell_;
  float fx_, fy_;
};
// Where that cell lies which holds a pixel.
int CellOf(int pixel) { return pixel / kSide / 4 * kQuarter + pixel % kSide / 4; }

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

// Around points of the mesh.
template <size_t N>
Rect BoxOf(const FaceRecord& r, const std::array<short, N>& points) {
  Rect box{kSide, kSide, 0, 0};
  for (int p : points) {
    const float x = r.mesh[3 * p], y = r.mesh[3 * p + 1];
    box.x0 = std::min(box.x0, x), box.x1 = std::max(box.x1, x), box.y0 = std::min(box.y0, y), box.y1 = std::max(box.y1, y);
  }
  return box;
}
// The person's right eye first, on the left of the picture.
std::array<Point, 2> EyeMiddles(const FaceRecord& r) {
  const Rect right = BoxOf(r, kMeshRightEye), left = BoxOf(r, kMeshLeftEye);
  return {Point{(right.x0 + right.x1) / 2, (right.y0 + right.y1) / 2}, Point{(left.x0 + left.x1) / 2, (left.y0 + left.y1) / 2}};
}

// 1 on eyes with lids and brows and on lips, 0 elsewhere.
void FillFeatures(const FaceRecord& r, float* image) {
  std::array<short, kMeshRightEyeRegion.size()> left;
  for (size_t i = 0; i < left.size(); ++i) left[i] = kOtherSide[kMeshRightEyeRegion[i]];
  std::fill(image, image + kPixels, 0.0f);
  FillPolygon(r, kMeshRightEyeRegion, 1, image);
  FillPolygon(r, left, 1, image);
  FillPolygon(r, kMeshLips, 1, image);
}

// Erosion of a 0/1 image by an ellipse (here a disc) of the given diameter. beyond: what lies outside the picture, 0 or 1.
void Erode(int diameter, const float* in, float* out, int beyond = 0) {
  const int radius = diameter / 2;
  const short start = beyond == 0 ? 0 : kSide;
  std::vector<short> reach(kPixels);  // pixels to the next zero in the row
  for (int y = 0; y < kSide; ++y) {
    short run = start;
    for (int x = 0; x < kSide; ++x) reach[y * kSide + x] = run = in[y * kSide + x] > 0 ? run + 1 : 0;
    run = start;
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
      if (outside && beyond != 0) continue;
      for (int x = 0; x < kSide; ++x) {
        if (outside || reach[(y + dy) * kSide + x] <= half) out[y * kSide + x] = 0;
      }
    }
  }
}

// 0 to 1: how far each pixel's brightness differs from that of the 7 x 7 pixels around it. Of a ring that holds a frame, the frame and not the old lid beside it.
std::vector<float> DetailOf(const FaceRecord& r) {
  constexpr float kSure = 0.06f * 255;
  const std::vector<float> luma = CropLuma(r.crop);
  std::vector<float> detail(kPixels);
  BoxBlur(3, luma.data(), detail.data());
  for (int i = 0; i < kPixels; ++i) detail[i] = std::min(std::fabs(luma[i] - detail[i]) / kSure, 1.0f);
  return detail;
}

// Zeros that the border does not reach become 1.
void FillHoles(float* image) {
  std::vector<int> next;
  std::vector<char> outside(kPixels, 0);
  const auto reach = [&](int x, int y) {
    if (x < 0 || y < 0 || x >= kSide || y >= kSide) return;
    const int i = y * kSide + x;
    if (image[i] > 0 || outside[i]) return;
    outside[i] = 1;
    next.push_back(i);
  };
  for (int k = 0; k < kSide; ++k) reach(k, 0), reach(k, kSide - 1), reach(0, k), reach(kSide - 1, k);
  while (!next.empty()) {
    const int x = next.back() % kSide, y = next.back() / kSide;
    next.pop_back();
    reach(x - 1, y), reach(x + 1, y), reach(x, y - 1), reach(x, y + 1);
  }
  for (int i = 0; i < kPixels; ++i) image[i] = outside[i] ? 0.0f : 1.0f;
}

}  // namespace

int OtherSideOfMesh(int point) { return kOtherSide[point]; }

MeshTeacher::MeshTeacher(const MeshTeacherOptions& options) : options_(options), to_linear_(256) {
  for (int i = 0; i < 256; ++i) to_linear_[i] = std::pow(i / 255.0f, kGamma);
  source_linear_.resize(3 * kPixels), target_linear_.resize(3 * kPixels), warped_.resize(3 * kPixels);
  seen_.resize(kPixels), known_.resize(kPixels);
  depth_.resize(kPixels), mask_.resize(kPixels), edge_.resize(kPixels), far_edge_.resize(kPixels), lens_.resize(kPixels), glasses_.resize(kPixels), scratch_.resize(3 * kPixels);
  small_.resize(7 * kQuarter * kQuarter);
}

void MeshTeacher::Rasterise(const FaceRecord& source, const FaceRecord& target, bool covered) {
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
        const auto place = [&](const float* pa, const float* pb, const float* pc, int axis) { return std::clamp(u * pa[axis] + v * pb[axis] + w * pc[axis], 0.0f, kSide - 1.001f); };
        const float sx = place(sa, sb, sc, 0), sy = place(sa, sb, sc, 1);
        float* out = &warped_[3 * at];
        Sample<3>(source_linear_.data(), sx, sy, out);
        if (!covered) continue;
        float seen, other_seen, other[3];
        Sample<1>(seen_.data(), sx, sy, &seen);
        known_[at] = seen;
        if (seen > 0.999f) continue;
        const float *oa = source.mesh + 3 * kOtherSide[t[0]], *ob = source.mesh + 3 * kOtherSide[t[1]], *oc = source.mesh + 3 * kOtherSide[t[2]];
        const float ox = place(oa, ob, oc, 0), oy = place(oa, ob, oc, 1);
        Sample<1>(seen_.data(), ox, oy, &other_seen);
        Sample<3>(source_linear_.data(), ox, oy, other);
        const float share = (1 - seen) * other_seen, sum = seen + share;
        known_[at] = sum;
        if (sum < 1e-3f) continue;
        for (int k = 0; k < 3; ++k) out[k] = (seen * out[k] + share * other[k]) / sum;
      }
    }
  }
}

// Skin that no side of the source shows: what lies around it, blurred.
void MeshTeacher::Fill() {
  bool any = false;
  std::vector<float> lights;
  for (int i = 0; i < kPixels; ++i) {
    if (depth_[i] == kNothing) continue;
    any |= known_[i] < 0.999f;
    if (known_[i] > 0.999f) lights.push_back(Luminance(&warped_[3 * i]));
  }
  if (!any) return;
  float median = 0;
  if (!lights.empty()) {
    std::nth_element(lights.begin(), lights.begin() + lights.size() / 2, lights.end());
    median = lights[lights.size() / 2];
  }
  std::fill(small_.begin(), small_.end(), 0.0f);
  for (int i = 0; i < kPixels; ++i) {
    if (depth_[i] == kNothing) continue;
    // Of skin that looks like skin: brows, and strands and shadow of a fringe, made a dark red band across the forehead.
    const float skin = known_[i] * std::clamp((Luminance(&warped_[3 * i]) / std::max(median, 1e-4f) - 0.45f) / 0.3f, 0.003f, 1.0f);
    float* cell = &small_[4 * CellOf(i)];
    for (int k = 0; k < 3; ++k) cell[k] += skin * warped_[3 * i + k];
    cell[3] += skin;
  }
  constexpr int n = 4 * kQuarter * kQuarter;
  std::vector<float> far(small_.begin(), small_.begin() + n);
  Blur(small_.data(), kQuarter, 4, options_.fill_sigma / 4, scratch_.data());
  Blur(far.data(), kQuarter, 4, options_.light_sigma / 4, scratch_.data());
  // The wider blur counts where the narrow one reaches nothing.
  for (int i = 0; i < n; ++i) small_[i] += 0.02f * far[i];
  for (int i = 0; i < kPixels; ++i) {
    if (depth_[i] == kNothing || known_[i] >= 0.999f) continue;
    const QuarterAt<4> skin(small_.data(), i);
    // Far from everything that is seen of the source, the target stays.
    for (int k = 0; k < 3; ++k) {
      const float around = skin(3) < 1e-4f ? target_linear_[3 * i + k] : skin(k) / skin(3);
      warped_[3 * i + k] = known_[i] * warped_[3 * i + k] + (1 - known_[i]) * around;
    }
  }
}

// out = W (blur(T) + .01) / (blur(W) + .01) where that darkens, blurs normalised over the mesh and made at a quarter of the size; else blur(T) with W's relief and hue around blur(W), compressed.
void MeshTeacher::CarryLight(const FaceRecord& target, const float* target_visible) {
  constexpr int n = kQuarter * kQuarter;
  // Their red is neither blotches nor light.
  std::fill(mask_.begin(), mask_.end(), 0.0f);
  FillPolygon(target, kMeshLips, 1, mask_.data());
  Blur(mask_.data(), kSide, 1, 1.5f, scratch_.data());
  std::fill(small_.begin(), small_.end(), 0.0f);
  for (int at = 0; at < kPixels; ++at) {
    if (depth_[at] == kNothing) continue;
    float* cell = &small_[7 * CellOf(at)];
    // The light is that on the skin: what covers it has colours of its own.
    const float weight = (target_visible == nullptr ? 1.0f : std::max(target_visible[at] * target_visible[at], 1e-3f)) * std::max(known_[at], 0.2f);
    for (int k = 0; k < 3; ++k) cell[k] += weight * target_linear_[3 * at + k], cell[3 + k] += weight * warped_[3 * at + k];
    cell[6] += weight;
  }
  Blur(small_.data(), kQuarter, 7, options_.light_sigma / 4, scratch_.data());
  for (int i = 0; i < n; ++i) {
    float* cell = &small_[7 * i];
    const float weight = std::max(cell[6], 1e-6f);
    for (int k = 0; k < 3; ++k) {
      const float t = cell[k] / weight, w = cell[3 + k] / weight;
      cell[k] = std::clamp((t + kLeast) / (w + kLeast), options_.ratio_min, options_.ratio_max);
      cell[3 + k] = w;
    }
  }
  for (int at = 0; at < kPixels; ++at) {
    if (depth_[at] == kNothing) continue;
    const QuarterAt<7> read(small_.data(), at);
    float* p = &warped_[3 * at];
    const float ratio[3] = {read(0), read(1), read(2)}, blurred[3] = {read(3), read(4), read(5)};
    // The ratio would amplify the source's own highlights and relief.
    const float around = std::max(Luminance(blurred), 1e-4f), relative = std::max(Luminance(p) / around, 1e-3f);
    float wanted = relative;
    if (wanted > options_.highlight_knee) wanted = options_.highlight_knee + options_.highlight_slope * (wanted - options_.highlight_knee);
    const float mean_ratio = Luminance(ratio);
    if (mean_ratio <= 1.05f) {
      // Skin of the blurred colour becomes the target's exactly, however little of a colour there is.
      for (int k = 0; k < 3; ++k) p[k] *= std::max((blurred[k] + kLeast) * ratio[k] - kLeast, 0.0f) / std::max(blurred[k], 0.004f) * (wanted / relative);
      continue;
    }
    // What shines on skin is added to its colour, whatever that is: on skin r times as bright it is an r-th of it.
    const float lips = mask_[at] * std::min(options_.lips_ratio / mean_ratio, 1.0f);
    wanted = wanted > 1 ? 1 + (wanted - 1) / mean_ratio : std::pow(wanted, lips + (1 - lips) * std::max(0.5f, 1 - options_.relief * std::log(mean_ratio)));
    constexpr float kNoise = 0.004f;
    const float plain = (Luminance(p) + kNoise) / (around + kNoise);
    for (int k = 0; k < 3; ++k) {
      const float deviation = std::max((p[k] + kNoise) / (blurred[k] + kNoise) / plain, 1e-2f);
      p[k] = std::max((blurred[k] + kLeast) * ratio[k] - kLeast, 0.0f) * wanted * std::pow(deviation, lips + (1 - lips) * std::pow(std::max(ratio[k], 1.0f), -options_.hue_relief));
    }
  }
}

// The light that the blur carries is that of the whole forehead; close to hair and what else covers the face, but for glasses, it is darker. There the skin gets little brighter than the target's own.
void MeshTeacher::DarkenBesideHair(const TeacherVisible& visible, const std::vector<float>& features) {
  constexpr float kBeside = 0.97f, kLeastSkin = 0.5f;  // share of the pixels; sum of weights of the 16 in a cell
  std::fill(small_.begin(), small_.end(), 0.0f);
  for (int i = 0; i < kPixels; ++i) {
    float* cell = &small_[3 * CellOf(i)];
    const float skin = visible.target[i] * visible.target[i] * (1 - features[i]);  // brows are dark by themselves
    cell[0] += std::max(visible.target[i], visible.target_glasses == nullptr ? 0 : visible.target_glasses[i]) / 16;
    cell[1] += skin, cell[2] += skin * Luminance(&target_linear_[3 * i]);
  }
  Blur(small_.data(), kQuarter, 3, 1, scratch_.data());
  for (int i = 0; i < kPixels; ++i) {
    if (depth_[i] == kNothing) continue;
    const QuarterAt<3> read(small_.data(), i);
    const float seen = read(0);
    if (seen >= kBeside || read(1) < kLeastSkin) continue;
    float* p = &warped_[3 * i];
    const float most = options_.beside_hair * read(2) / read(1) / std::max(Luminance(p), 1e-4f);
    if (most >= 1) continue;
    const float share = std::min(4 * (kBeside - seen), 1.0f);
    for (int k = 0; k < 3; ++k) p[k] *= 1 + share * (most - 1);
  }
}

// lens_: what is seen through clear glass, the inside of what the parser calls glasses, without frame and bridge; glasses_: those whole with 3 pixels around them. False: there is none, or the glass
// is dark or mirrors.
bool MeshTeacher::FindLenses(const FaceRecord& target, const TeacherVisible& visible) {
  constexpr int kFrame = 15, kUnsure = 7;                                    // pixels: nearly all frames are thinner than half of the first
  constexpr float kBridge = 0.12f;                                           // of the distance of the eyes, to either side of the middle
  constexpr float kDarkest = 0.5f, kSurelyClear = 0.75f, kBrightest = 1.6f;  // of the skin's luma: clear lenses with eyes and brows behind them are 0.8 to 1
  if (visible.target_glasses == nullptr || visible.target == nullptr) return false;
  for (int i = 0; i < kPixels; ++i) edge_[i] = visible.target_glasses[i] >= 0.5f ? 1.0f : 0.0f;
  // The parser often sees the eye itself through the glass: such holes are no frame.
  int eye = 0, eye_seen = 0;
  for (const auto* outline : {&kMeshRightEye, &kMeshLeftEye}) {
    const Rect around_eye = BoxOf(target, *outline);
    constexpr int kAround = 6;
    const int left = std::max(static_cast<int>(around_eye.x0) - kAround, 0), right = std::min(static_cast<int>(around_eye.x1) + kAround, kSide - 1);
    const int top = std::max(static_cast<int>(around_eye.y0) - kAround, 0), bottom = std::min(static_cast<int>(around_eye.y1) + kAround, kSide - 1);
    int box = 0, glasses = 0, seen = 0;
    for (int y = top; y <= bottom; ++y) {
      for (int x = left; x <= right; ++x) ++box, glasses += edge_[y * kSide + x] > 0, seen += visible.target[y * kSide + x] >= 0.3f;
    }
    if (glasses < 0.3f * static_cast<float>(box)) continue;
    eye += box, eye_seen += seen;
    for (int y = top; y <= bottom; ++y) std::fill(&edge_[y * kSide + left], &edge_[y * kSide + right] + 1, 1.0f);
  }
  FillHoles(edge_.data());
  Erode(kFrame, edge_.data(), lens_.data());
  // The label's rim is not sure to two pixels of the parser's.
  for (int i = 0; i < kPixels; ++i) scratch_[i] = 1 - edge_[i];
  Erode(kUnsure, scratch_.data(), glasses_.data(), 1);
  for (int i = 0; i < kPixels; ++i) glasses_[i] = 1 - glasses_[i];
  const std::array<Point, 2> middle = EyeMiddles(target);
  const Point across = middle[1] - middle[0], between = (middle[0] + middle[1]) * 0.5f;
  const float length2 = std::max(across.x * across.x + across.y * across.y, 1.0f);
  double inside = 0, skin = 0, inside_count = 0, skin_count = 0;
  for (int i = 0; i < kPixels; ++i) {
    const Point p{i % kSide - between.x, i / kSide - between.y};
    if (std::fabs(p.x * across.x + p.y * across.y) < kBridge * length2) lens_[i] = 0;
    const uint8_t* c = target.crop + 3 * i;
    const double luma = LumaOf(c);
    if (lens_[i] > 0) inside += luma, ++inside_count;
    if (visible.target[i] > 0.7f && mask_[i] > 0) skin += luma, ++skin_count;
  }
  if (inside_count == 0 || skin_count == 0) return false;
  const double ratio = inside / inside_count / std::max(skin / skin_count, 1.0);
  const bool eyes_seen = eye_seen > 0.05 * eye;
  return ratio > (eyes_seen ? kDarkest : kSurelyClear) && ratio < kBrightest;
}

// mask_: the face that is seen; edge_: its soft edge, which becomes narrower on the far side.
void MeshTeacher::SharpenFarEdge(const FaceRecord& target) {
  constexpr int kNoseTip = 4;
  constexpr float kTurned = 1.5f, kProfile = 2.7f;  // distances from the nose to the eyes along their axis: from the first ratio on, wholly from the second on (about 22 and 40 degrees)
  const std::array<Point, 2> eyes = EyeMiddles(target);
  const Point across = eyes[1] - eyes[0], nose{target.mesh[3 * kNoseTip], target.mesh[3 * kNoseTip + 1]};
  const float length = std::max(std::hypot(across.x, across.y), 1.0f);
  const auto along = [&](Point p) { return ((p.x - nose.x) * across.x + (p.y - nose.y) * across.y) / length; };
  float first = -along(eyes[0]), second = along(eyes[1]), side = 1;  // from the nose to each eye, and where the far one lies
  if (first < second) std::swap(first, second), side = -1;
  const float turned = std::clamp(std::log(std::max(first, 1.0f) / std::max(second, 1.0f) / kTurned) / std::log(kProfile / kTurned), 0.0f, 1.0f);
  if (turned == 0) return;
  Erode(options_.far_erosion, mask_.data(), far_edge_.data());
  Blur(far_edge_.data(), kSide, 1, options_.far_edge_sigma, scratch_.data());
  for (int i = 0; i < kPixels; ++i) {
    const Point p{static_cast<float>(i % kSide), static_cast<float>(i / kSide)};
    const float far = turned * std::clamp(0.5f + side * along(p) / 16, 0.0f, 1.0f);
    edge_[i] += far * (far_edge_[i] - edge_[i]);
  }
}

void MeshTeacher::MakeAlpha(const FaceRecord& target, const TeacherVisible& seen, TeacherPicture* out) {
  const float* visible = seen.target;
  std::fill(mask_.begin(), mask_.end(), 0.0f);
  FillPolygon(target, kMeshFaceOval, 1, mask_.data());
  // The far side of a turned face: the oval's line lies inside what is seen of it.
  for (int i = 0; i < kPixels; ++i) {
    if (depth_[i] != kNothing) mask_[i] = 1;
  }
  const bool lenses = FindLenses(target, seen);
  if (!lenses) std::fill(lens_.begin(), lens_.end(), 0.0f), std::fill(glasses_.begin(), glasses_.end(), 0.0f);
  out->background.resize(kPixels);
  for (int i = 0; i < kPixels; ++i) out->background[i] = 1 - mask_[i];
  out->occluder.assign(kPixels, 0.0f), out->frame.assign(kPixels, 0.0f);
  if (visible != nullptr) {
    const std::vector<float> detail = lenses ? DetailOf(target) : std::vector<float>();
    for (int i = 0; i < kPixels; ++i) {
      // The mask is too coarse for frames: closed there, it would close over the lenses, too.
      const bool inside = mask_[i] > 0, lens = inside && lens_[i] > 0, something = visible[i] < 0.5f && seen.target_glasses != nullptr && seen.target_glasses[i] < 0.5f;
      const bool frame = lenses && inside && !lens && glasses_[i] > 0 && !something;
      out->occluder[i] = inside && visible[i] < 0.3f && !lens && !frame ? 1.0f : 0.0f;
      out->background[i] = visible[i] < 0.5f && !lens && !frame ? 1.0f : 0.0f;
      out->frame[i] = frame ? detail[i] : 0.0f;
      glasses_[i] = lens || frame ? 1.0f : 0.0f;
      mask_[i] = visible[i] >= 0.5f || lens || frame ? mask_[i] : 0;
    }
  }
  // All background that a disc around a pixel of the face reaches.
  out->around.resize(kPixels);
  for (int i = 0; i < kPixels; ++i) scratch_[i] = mask_[i] > 0 ? 0.0f : 1.0f;
  Erode(25, scratch_.data(), out->around.data(), 1);
  for (int i = 0; i < kPixels; ++i) out->around[i] = out->background[i] > 0 && out->around[i] == 0 ? 1.0f : 0.0f;
  Erode(options_.erosion, mask_.data(), edge_.data());
  Blur(edge_.data(), kSide, 1, options_.edge_sigma, scratch_.data());
  SharpenFarEdge(target);
  if (lenses) Blur(glasses_.data(), kSide, 1, options_.opening_sigma, scratch_.data());
  std::fill(mask_.begin(), mask_.end(), 0.0f);
  FillPolygon(target, kMeshRightEye, 1, mask_.data());
  FillPolygon(target, kMeshLeftEye, 1, mask_.data());
  FillPolygon(target, kMeshInnerLips, 1, mask_.data());
  Blur(mask_.data(), kSide, 1, options_.opening_sigma, scratch_.data());
  out->alpha.resize(kPixels), out->open.resize(kPixels);
  for (int i = 0; i < kPixels; ++i) {
    const float shown = depth_[i] == kNothing ? 0 : std::clamp(edge_[i] - mask_[i], 0.0f, 1.0f);
    // Of glasses only the frame is asked for: beside it and behind the lens lie the old lids and brows.
    out->alpha[i] = shown * (1 - glasses_[i]);
    out->open[i] = 1 - shown * (1 - out->frame[i]);
  }
  mask_ = out->features;
  Blur(out->features.data(), kSide, 1, options_.feature_sigma, scratch_.data());
  if (seen.source == nullptr) return;
  FillPolygon(target, kMeshNose, 1, mask_.data());
  for (int i = 0; i < kPixels; ++i) mask_[i] *= 1 - known_[i];
  Blur(mask_.data(), kSide, 1, options_.feature_sigma, scratch_.data());
  for (int i = 0; i < kPixels; ++i) out->alpha[i] *= std::clamp(1 - 1.5f * mask_[i], 0.0f, 1.0f);
}

void MeshTeacher::Run(const FaceRecord& source, const FaceRecord& target, const TeacherVisible& visible, TeacherPicture* out) {
  for (int i = 0; i < 3 * kPixels; ++i) source_linear_[i] = to_linear_[source.crop[i]], target_linear_[i] = to_linear_[target.crop[i]];
  const bool covered = visible.source != nullptr;
  std::fill(known_.begin(), known_.end(), 1.0f);
  if (covered) {
    // Nothing is taken from the last pixels before what covers the skin: they hold its shadow and mixed colours.
    BoxBlur(3, visible.source, seen_.data());
    for (float& v : seen_) v = std::clamp(2.5f * v - 1.4f, 0.0f, 1.0f);
  }
  Rasterise(source, target, covered);
  if (covered) Fill();
  CarryLight(target, visible.target);
  out->features.resize(kPixels);
  FillFeatures(target, out->features.data());
  if (visible.target != nullptr) DarkenBesideHair(visible, out->features);
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
