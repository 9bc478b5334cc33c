#include "base/frame.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "base/warp_kernels.h"

namespace mfs {
namespace {

// Four floats side by side; GCC and clang map it to one SIMD register on every target.
typedef float V4 __attribute__((vector_size(16), may_alias));

V4 Splat(float x) { return V4{x, x, x, x}; }

V4* Pixels(SampleGrid* grid, int y) { return reinterpret_cast<V4*>(grid->row(y)); }

// Weights of one output sample of a 1-D resampling: inputs [first, first+count).
struct Taps {
  int first = 0, count = 0, weights = 0;  // weights: offset into Resampler::weights
};
struct Resampler {
  std::vector<Taps> taps;
  std::vector<float> weights;
};

// Output sample i covers the input interval [start + i*factor, start + (i+1)*factor), in units where input sample j covers
// [j, j+1). factor >= 1: area average; below: linear interpolation. Inputs are clamped to [0, limit).
Resampler MakeResampler(int outputs, double start, double factor, int limit) {
  Resampler r;
  r.taps.resize(outputs);
  for (int i = 0; i < outputs; ++i) {
    const double lo = start + i * factor, hi = lo + factor;
    Taps& t = r.taps[i];
    t.weights = static_cast<int>(r.weights.size());
    if (factor > 1.0 + 1e-6) {
      const int first = std::clamp(static_cast<int>(std::floor(lo + 1e-9)), 0, limit - 1);
      const int last = std::clamp(static_cast<int>(std::ceil(hi - 1e-9)) - 1, first, limit - 1);
      t.first = first;
      t.count = last - first + 1;
      double sum = 0;
      for (int j = first; j <= last; ++j) {
        const double w = std::max(0.0, std::min<double>(hi, j + 1) - std::max<double>(lo, j));
        r.weights.push_back(static_cast<float>(w));
        sum += w;
      }
      if (sum < 1e-9) {  // wholly outside: repeat the border
        r.weights[t.weights] = 1;
        for (int k = 1; k < t.count; ++k) r.weights[t.weights + k] = 0;
      } else {
        for (int k = 0; k < t.count; ++k) r.weights[t.weights + k] = static_cast<float>(r.weights[t.weights + k] / sum);
      }
    } else {
      const double position = (lo + hi) / 2 - 0.5;
      const double floor_position = std::floor(position + 1e-9);
      const float f = static_cast<float>(std::max(0.0, position - floor_position));
      const int a = std::clamp(static_cast<int>(floor_position), 0, limit - 1);
      const int b = std::clamp(static_cast<int>(floor_position) + 1, 0, limit - 1);
      t.first = a;
      t.count = b - a + 1;
      if (t.count == 2 && f > 1e-6f) {
        r.weights.push_back(1 - f);
        r.weights.push_back(f);
      } else {
        t.count = 1;
        r.weights.push_back(1);
      }
    }
  }
  return r;
}

// Sum of rows times weights, for `samples` neighbours in memory.
template <typename T>
void AccumulateRows(const uint8_t* first_row, ptrdiff_t stride, const float* weights, int rows, size_t samples, float* out) {
  const T* p = reinterpret_cast<const T*>(first_row);
  const float w0 = weights[0];
  for (size_t i = 0; i < samples; ++i) out[i] = w0 * static_cast<float>(p[i]);
  for (int r = 1; r < rows; ++r) {
    p = reinterpret_cast<const T*>(first_row + r * stride);
    const float w = weights[r];
    for (size_t i = 0; i < samples; ++i) out[i] += w * static_cast<float>(p[i]);
  }
}

// Numbers that turn stored samples into [0,1] RGB and back.
struct ColorCoding {
  float kr, kg, kb;
  float sample_scale;  // significant value of one step of the stored sample (sample_shift)
  float luma_offset, luma_range, chroma_offset, chroma_range, peak;
  explicit ColorCoding(const FrameView& f) {
    kr = f.kr, kb = f.kb, kg = 1 - kr - kb;
    sample_scale = 1.0f / static_cast<float>(1 << f.sample_shift);
    peak = static_cast<float>((1 << f.bits) - 1);
    const float unit = static_cast<float>(1 << f.bits) / 256.0f;
    chroma_offset = 128 * unit;
    if (f.model != ColorModel::kYuv || f.full_range) {
      luma_offset = 0, luma_range = peak, chroma_range = peak;
    } else {
      luma_offset = 16 * unit, luma_range = 219 * unit, chroma_range = 224 * unit;
    }
  }
};

void YuvToRgb(const ColorCoding& k, V4* pixels, size_t n) {
  const float rv = 2 * (1 - k.kr), bu = 2 * (1 - k.kb);
  const float gv = -rv * k.kr / k.kg, gu = -bu * k.kb / k.kg;
  const float ys = 1 / k.luma_range, cs = 1 / k.chroma_range;
  for (size_t i = 0; i < n; ++i) {
    const float y = (pixels[i][0] - k.luma_offset) * ys;
    const float u = (pixels[i][1] - k.chroma_offset) * cs, v = (pixels[i][2] - k.chroma_offset) * cs;
    pixels[i] = V4{y + rv * v, y + gu * u + gv * v, y + bu * u, 0};
  }
}

// Fills grid (outputs_x x outputs_y) with RGB of the stored box that starts at (x0,y0), one grid pixel per factor_x x
// factor_y stored pixels.
template <typename T>
void ReadRegion(const FrameView& f, int x0, int y0, double factor_x, double factor_y, SampleGrid* grid) {
  const ColorCoding k(f);
  const int n = f.num_components();
  // Interleaved components share their rows: the vertical pass is done once for all of them.
  bool interleaved = n == 3;
  const uint8_t* base = f.component[0].data;
  for (int c = 1; c < n; ++c) base = std::min<const uint8_t*>(base, f.component[c].data);
  for (int c = 0; c < n && interleaved; ++c) {
    interleaved = f.component[c].stride == f.component[0].stride && f.component[c].step == f.component[0].step && f.component[c].shift_x == 0 && f.component[c].shift_y == 0 &&
                  f.component[c].step > int{sizeof(T)} && f.component[c].data - base < f.component[c].step;
  }
  std::vector<float> line;
  for (int c = 0; c < n; ++c) {
    const FrameComponent& comp = f.component[c];
    const int w = (f.stored_width + (1 << comp.shift_x) - 1) >> comp.shift_x;
    const int h = (f.stored_height + (1 << comp.shift_y) - 1) >> comp.shift_y;
    const double sx = 1.0 / (1 << comp.shift_x), sy = 1.0 / (1 << comp.shift_y);
    // MPEG-2 and H.264 place chroma samples on the left luma column of their pair: half a luma pixel left of the middle.
    const double siting = comp.shift_x == 1 ? 0.25 : 0.0;
    const Resampler rx = MakeResampler(grid->width(), x0 * sx + siting, factor_x * sx, w);
    const Resampler ry = MakeResampler(grid->height(), y0 * sy, factor_y * sy, h);
    int first = w, last = 0;
    for (const Taps& t : rx.taps) {
      first = std::min(first, t.first);
      last = std::max(last, t.first + t.count);
    }
    const int step = comp.step / static_cast<int>(sizeof(T));
    const size_t samples = static_cast<size_t>(last - first - 1) * step + (interleaved ? step : 1);
    line.resize(samples);
    const int lanes = interleaved ? 3 : 1;
    for (int y = 0; y < grid->height(); ++y) {
      const Taps& ty = ry.taps[y];
      const uint8_t* row = (interleaved ? base : comp.data) + ty.first * comp.stride + first * static_cast<ptrdiff_t>(comp.step);
      // The last pixel of an interleaved row may be shorter than the step (three bytes of four): never read past it.
      size_t readable = samples;
      if (interleaved) {
        ptrdiff_t tail = 0;
        for (int q = 0; q < 3; ++q) tail = std::max(tail, (f.component[q].data - base) / static_cast<ptrdiff_t>(sizeof(T)));
        readable = samples - step + tail + 1;
      }
      AccumulateRows<T>(row, comp.stride, &ry.weights[ty.weights], ty.count, readable, line.data());
      V4* out = Pixels(grid, y);
      for (int lane = 0; lane < lanes; ++lane) {
        const int channel = interleaved ? lane : c;
        const float* in = line.data() + (interleaved ? (f.component[lane].data - base) / static_cast<ptrdiff_t>(sizeof(T)) : 0);
        for (int x = 0; x < grid->width(); ++x) {
          const Taps& tx = rx.taps[x];
          const float* p = in + static_cast<ptrdiff_t>(tx.first - first) * step;
          const float* weight = &rx.weights[tx.weights];
          float sum = 0;
          for (int j = 0; j < tx.count; ++j) sum += weight[j] * p[static_cast<ptrdiff_t>(j) * step];
          out[x][channel] = sum;
        }
      }
    }
    if (interleaved) break;
  }
  for (int y = 0; y < grid->height(); ++y) {
    V4* row = Pixels(grid, y);
    const auto scale = [&](float by) {
      for (int x = 0; x < grid->width(); ++x) row[x] *= Splat(by);
    };
    if (k.sample_scale != 1) scale(k.sample_scale);
    if (f.model == ColorModel::kYuv) {
      YuvToRgb(k, row, grid->width());
    } else {
      scale(1 / k.peak);
      for (int x = 0; f.model == ColorModel::kGray && x < grid->width(); ++x) row[x] = Splat(row[x][0]);
    }
  }
  grid->RepeatBorder();
}

// Resamples one plane; out samples lie `step` floats apart, rows one after another.
void ReducePlane(const float* plane, int in_width, const Resampler& rx, const Resampler& ry, std::vector<float>* line, float* out, int step) {
  line->resize(in_width);
  for (const Taps& ty : ry.taps) {
    std::fill(line->begin(), line->end(), 0.0f);
    for (int j = 0; j < ty.count; ++j) {
      const float w = ry.weights[ty.weights + j];
      const float* row = plane + static_cast<size_t>(ty.first + j) * in_width;
      for (int x = 0; x < in_width; ++x) (*line)[x] += w * row[x];
    }
    for (const Taps& tx : rx.taps) {
      float sum = 0;
      for (int j = 0; j < tx.count; ++j) sum += rx.weights[tx.weights + j] * (*line)[tx.first + j];
      *out = sum;
      out += step;
    }
  }
}

bool Usable(const Affine& m) {
  const float values[] = {m.a, m.b, m.tx, m.c, m.d, m.ty};
  for (float v : values) {
    if (!std::isfinite(v)) return false;
  }
  return std::fabs(m.Determinant()) > 1e-9f;
}

// Box of the stored pixels under a width x height crop, before clipping.
Rect StoredBox(const Affine& stored_from_crop, int width, int height) {
  const float x1 = width - 0.5f, y1 = height - 0.5f;
  const Point corners[4] = {stored_from_crop.Apply({-0.5f, -0.5f}), stored_from_crop.Apply({x1, -0.5f}), stored_from_crop.Apply({-0.5f, y1}), stored_from_crop.Apply({x1, y1})};
  return BoundingBox(corners, 4);
}

int ClampToInt(float v, int lo, int hi) { return static_cast<int>(std::min(static_cast<float>(hi), std::max(static_cast<float>(lo), v))); }

// The pixels of a grid whose cubic samples, up to the next pixel right and below, can reach any weight.
class Reach {
 public:
  explicit Reach(const ImageF& alpha) : width_(alpha.width()), height_(alpha.height()), any_(static_cast<size_t>(width_) * height_) {
    std::vector<uint8_t> across(any_.size());
    for (int y = 0; y < height_; ++y) {
      uint8_t* row = &across[static_cast<size_t>(y) * width_];
      for (int x = 0; x < width_; ++x) {
        if (alpha.row(0, y)[x] != 0) std::fill(row + std::max(0, x - 2), row + std::min(width_, x + 3), uint8_t{1});
      }
    }
    box_ = {width_, height_, 0, 0};
    for (int y = 0; y < height_; ++y) {
      uint8_t* row = &any_[static_cast<size_t>(y) * width_];
      for (int j = std::max(0, y - 2); j < std::min(height_, y + 3); ++j) {
        for (int x = 0; x < width_; ++x) row[x] |= across[static_cast<size_t>(j) * width_ + x];
      }
      for (int x = 0; x < width_; ++x) {
        if (row[x] != 0) box_ = {std::min(box_.x0, x), std::min(box_.y0, y), std::max(box_.x1, x + 1), y + 1};
      }
    }
  }
  const IntRect& box() const { return box_; }
  bool At(Point p) const {
    return p.x > -0.5f && p.y > -0.5f && p.x < width_ - 0.5f && p.y < height_ - 0.5f && any_[static_cast<size_t>(std::max(p.y, 0.0f)) * width_ + static_cast<size_t>(std::max(p.x, 0.0f))] != 0;
  }

 private:
  int width_, height_;
  std::vector<uint8_t> any_;
  IntRect box_;
};

// Planes of one size that are pasted into together, ready for any row.
struct PlanePaste {
  SampleGrid grid, luma_grid;
  PlaneBlend blend;
  Affine grid_from_plane;
  std::unique_ptr<Reach> reach;
  IntRect box;  // of the planes, where any weight can be

  void Row(int y) const {
    const auto at = [&](int x) { return grid_from_plane.Apply({static_cast<float>(x), static_cast<float>(y)}); };
    int x0 = box.x0, x1 = box.x1;
    while (x0 < x1 && !reach->At(at(x0))) ++x0;
    while (x0 < x1 && !reach->At(at(x1 - 1))) --x1;
    if (x0 == x1) return;
    const Point p = at(x0);
    BlendRow(blend, x0, y, x1 - x0, p.x, p.y, grid_from_plane.a, grid_from_plane.c);
  }
};

// What is pasted: the crop and, where the frame's finest detail is kept, the luma that the crop was read with.
struct PasteCrop {
  const ImageF *rgb, *alpha;
  const BlendDetail* detail;  // null: none is kept
};

// first, count: the components of the frame that are pasted into. False: nothing of the planes lies under the crop.
bool PreparePlanes(const PasteCrop& crop, const Affine& crop_from_stored, const FrameView& f, int first, int count, PlanePaste* out) {
  const ColorCoding k(f);
  const FrameComponent& comp = f.component[first];
  const int w = (f.stored_width + (1 << comp.shift_x) - 1) >> comp.shift_x, h = (f.stored_height + (1 << comp.shift_y) - 1) >> comp.shift_y;
  // Chroma that is halved across lies on the even columns (MPEG-2 and H.264), all other in the middle of its block.
  const float step_x = static_cast<float>(1 << comp.shift_x), step_y = static_cast<float>(1 << comp.shift_y);
  const Affine stored_from_plane{step_x, 0, comp.shift_x == 1 ? 0 : 0.5f * step_x - 0.5f, 0, step_y, 0.5f * step_y - 0.5f};
  const Affine crop_from_plane = Compose(crop_from_stored, stored_from_plane);
  // Crop pixels per sample along the crop's axes: where there are several, the crop is reduced first.
  const double factor_x = std::max(1.0f, std::hypot(crop_from_plane.a, crop_from_plane.b)), factor_y = std::max(1.0f, std::hypot(crop_from_plane.c, crop_from_plane.d));
  const int gw = std::max(1, static_cast<int>(std::lround(crop.rgb->width() / factor_x))), gh = std::max(1, static_cast<int>(std::lround(crop.rgb->height() / factor_y)));
  ImageF storage[3];
  const auto reduced = [&](const ImageF& image, ImageF* to) -> const ImageF& {
    if (image.width() == gw && image.height() == gh) return image;
    ReduceImage(image, gw, gh, to);
    return *to;
  };
  const ImageF& alpha = reduced(*crop.alpha, &storage[0]);
  out->reach = std::make_unique<Reach>(alpha);
  const IntRect& reach = out->reach->box();
  if (reach.empty()) return false;
  const float sx = float(gw) / crop.rgb->width(), sy = float(gh) / crop.rgb->height();
  out->grid_from_plane = Compose({sx, 0, 0.5f * sx - 0.5f, 0, sy, 0.5f * sy - 0.5f}, crop_from_plane);
  const Affine plane_from_grid = out->grid_from_plane.Inverse();
  const float x0 = reach.x0 - 0.5f, y0 = reach.y0 - 0.5f, x1 = static_cast<float>(reach.x1), y1 = static_cast<float>(reach.y1);
  const Point corners[4] = {plane_from_grid.Apply({x0, y0}), plane_from_grid.Apply({x1, y0}), plane_from_grid.Apply({x0, y1}), plane_from_grid.Apply({x1, y1})};
  const Rect box = BoundingBox(corners, 4);
  out->box = {ClampToInt(std::floor(box.x0), 0, w), ClampToInt(std::floor(box.y0), 0, h), ClampToInt(std::ceil(box.x1) + 1, 0, w), ClampToInt(std::ceil(box.y1) + 1, 0, h)};
  if (out->box.empty()) return false;

  PlaneBlend& b = out->blend;
  b.components = count;
  for (int c = 0; c < count; ++c) b.component[c] = f.component[first + c];
  b.sample_shift = f.sample_shift, b.wide = f.bits + f.sample_shift > 8, b.peak = k.peak;
  const bool rgb_model = f.model == ColorModel::kRgb;
  b.keeps_detail = crop.detail != nullptr && first == 0;
  b.detail_in_all = rgb_model;
  if (b.keeps_detail) b.amount = crop.detail->amount, b.inverse_limit = 1 / (crop.detail->limit * k.luma_range);
  if (rgb_model) b.luma_weights[0] = k.kr, b.luma_weights[1] = k.kg, b.luma_weights[2] = k.kb;

  const ImageF& rgb = reduced(*crop.rgb, &storage[1]);
  const ImageF* luma = b.keeps_detail ? &reduced(*crop.detail->luma, &storage[2]) : nullptr;
  out->grid.Reset(gw, gh);
  const bool second_grid = luma != nullptr && count == 3;
  if (second_grid) out->luma_grid.Reset(gw, gh);
  const float us = k.chroma_range / (2 * (1 - k.kb)), vs = k.chroma_range / (2 * (1 - k.kr));
  const auto inside = [](float v) { return std::min(1.0f, std::max(0.0f, v)); };
  for (int y = 0; y < gh; ++y) {
    float *to = out->grid.row(y), *luma_to = second_grid ? out->luma_grid.row(y) : nullptr;
    const float *r = rgb.row(0, y), *g = rgb.row(1, y), *bl = rgb.row(2, y), *a = alpha.row(0, y), *l = luma == nullptr ? nullptr : luma->row(0, y);
    for (int x = 0; x < gw; ++x, to += 4) {
      const float red = inside(r[x]), green = inside(g[x]), blue = inside(bl[x]);
      const float read = l == nullptr ? 0 : l[x] * k.luma_range + k.luma_offset;
      if (rgb_model) {
        to[0] = red * k.peak, to[1] = green * k.peak, to[2] = blue * k.peak;
      } else {
        const float yl = k.kr * red + k.kg * green + k.kb * blue, u = (blue - yl) * us + k.chroma_offset, v = (red - yl) * vs + k.chroma_offset;
        const float all[3] = {yl * k.luma_range + k.luma_offset, u, v};
        to[0] = all[first];
        to[1] = count == 1 ? read : all[first + 1];
        to[2] = count == 3 ? all[2] : 0;
      }
      to[3] = inside(a[x]);
      if (luma_to != nullptr) luma_to[4 * x] = read, luma_to[4 * x + 1] = luma_to[4 * x + 2] = luma_to[4 * x + 3] = 0;
    }
  }
  out->grid.RepeatBorder();
  if (second_grid) out->luma_grid.RepeatBorder();
  b.grid = &out->grid;
  b.luma_grid = second_grid ? &out->luma_grid : nullptr;
  return true;
}

}  // namespace

FrameView Rgb8View(uint8_t* data, int width, int height, ptrdiff_t stride, int step) {
  FrameView f;
  f.stored_width = width;
  f.stored_height = height;
  for (int c = 0; c < 3; ++c) f.component[c] = {data + c, stride, step, 0, 0};
  return f;
}

Status ValidateFrame(const FrameView& f) {
  if (f.stored_width <= 0 || f.stored_height <= 0) return InvalidArgument("the frame has no pixels");
  if (f.stored_width > (1 << 20) || f.stored_height > (1 << 20)) return InvalidArgument("the frame is too large");
  if (f.bits < 8 || f.bits > 16 || f.sample_shift < 0 || f.bits + f.sample_shift > 16) {
    return InvalidArgument("the frame's samples must have 8 to 16 bits");
  }
  if (f.orientation < 1 || f.orientation > 8) return InvalidArgument("the frame's orientation must be 1 to 8");
  if (!(f.pixel_aspect >= 0.2f && f.pixel_aspect <= 5) || f.shown_width() <= 0) return InvalidArgument("the frame's pixels must be 0.2 to 5 times as wide as high");
  const float kg = 1 - f.kr - f.kb;
  if (f.model == ColorModel::kYuv && !(f.kr > 0 && f.kb > 0 && kg > 0)) return InvalidArgument("the frame's luma weights make no sense");
  const int bytes = f.bits + f.sample_shift > 8 ? 2 : 1;
  for (int c = 0; c < f.num_components(); ++c) {
    const FrameComponent& comp = f.component[c];
    if (comp.data == nullptr) return InvalidArgument("a component of the frame has no memory");
    if (comp.step < bytes || comp.shift_x < 0 || comp.shift_x > 2 || comp.shift_y < 0 || comp.shift_y > 2) {
      return InvalidArgument("a component of the frame has a wrong layout");
    }
    if (bytes == 2 && ((reinterpret_cast<uintptr_t>(comp.data) | static_cast<uintptr_t>(comp.stride) | comp.step) & 1) != 0) {
      return InvalidArgument("16-bit samples must lie at even addresses");
    }
    const int w = (f.stored_width + (1 << comp.shift_x) - 1) >> comp.shift_x;
    // Not abs(): of the lowest number it is undefined.
    const ptrdiff_t row = static_cast<ptrdiff_t>(w - 1) * comp.step + bytes;
    if (comp.stride < row && comp.stride > -row) {
      return InvalidArgument("the stride of a component is smaller than its row");
    }
  }
  return Status::Ok();
}

Affine StoredFromDisplay(const FrameView& f) {
  const float w = f.shown_width() - 1.0f, h = f.stored_height - 1.0f;
  const auto turned = [&]() -> Affine {
    switch (f.orientation) {
      case 2: return {-1, 0, w, 0, 1, 0};
      case 3: return {-1, 0, w, 0, -1, h};
      case 4: return {1, 0, 0, 0, -1, h};
      case 5: return {0, 1, 0, 1, 0, 0};
      case 6: return {0, 1, 0, -1, 0, h};
      case 7: return {0, -1, w, -1, 0, h};
      case 8: return {0, -1, w, 1, 0, 0};
      default: return {};
    }
  };
  if (f.pixel_aspect == 1) return turned();
  // Pixel centres: the left edge of the first pixel is at -0.5 in both.
  const float s = static_cast<float>(f.stored_width) / static_cast<float>(f.shown_width());
  return Compose({s, 0, 0.5f * s - 0.5f, 0, 1, 0}, turned());
}

Status ReadWarped(const FrameView& frame, const Affine& crop_from_frame, int width, int height, ImageF* rgb) {
  MFS_RETURN_IF_ERROR(ValidateFrame(frame));
  if (width <= 0 || height <= 0 || width > 16384 || height > 16384) return InvalidArgument("a crop needs 1 to 16384 pixels a side");
  if (!Usable(crop_from_frame)) return InvalidArgument("the crop's transform is singular");
  const Affine stored_from_crop = Compose(StoredFromDisplay(frame), crop_from_frame.Inverse());
  // Stored pixels per crop pixel along the stored axes: where they exceed one, the area filter comes first.
  const double factor_x = std::max(1.0, double{std::hypot(stored_from_crop.a, stored_from_crop.b)});
  const double factor_y = std::max(1.0, double{std::hypot(stored_from_crop.c, stored_from_crop.d)});
  const Rect box = StoredBox(stored_from_crop, width, height);
  const float margin_x = static_cast<float>(3 * factor_x), margin_y = static_cast<float>(3 * factor_y);
  const int x0 = ClampToInt(std::floor(box.x0 - margin_x), 0, frame.stored_width - 1);
  const int y0 = ClampToInt(std::floor(box.y0 - margin_y), 0, frame.stored_height - 1);
  const int x1 = ClampToInt(std::ceil(box.x1 + margin_x) + 1, x0 + 1, frame.stored_width);
  const int y1 = ClampToInt(std::ceil(box.y1 + margin_y) + 1, y0 + 1, frame.stored_height);
  SampleGrid grid;
  const int gw = std::max(1, static_cast<int>(std::ceil((x1 - x0) / factor_x - 1e-6)));
  const int gh = std::max(1, static_cast<int>(std::ceil((y1 - y0) / factor_y - 1e-6)));
  grid.Reset(gw, gh);
  if (frame.bits + frame.sample_shift > 8) {
    ReadRegion<uint16_t>(frame, x0, y0, factor_x, factor_y, &grid);
  } else {
    ReadRegion<uint8_t>(frame, x0, y0, factor_x, factor_y, &grid);
  }
  // Grid pixel i covers stored [x0 + i*factor, x0 + (i+1)*factor), so its centre is x0 + (i+0.5)*factor - 0.5.
  const Affine grid_from_stored{float(1 / factor_x), 0, float((0.5 - x0) / factor_x - 0.5), 0, float(1 / factor_y), float((0.5 - y0) / factor_y - 0.5)};
  const Affine grid_from_crop = Compose(grid_from_stored, stored_from_crop);
  rgb->Reset(width, height, 3);
  std::vector<float> samples(static_cast<size_t>(width) * 4);
  for (int y = 0; y < height; ++y) {
    const Point p = grid_from_crop.Apply({0, float(y)});
    SampleRow(grid, p.x, p.y, grid_from_crop.a, grid_from_crop.c, width, samples.data());
    for (int c = 0; c < 3; ++c) {
      float* out = rgb->row(c, y);
      for (int x = 0; x < width; ++x) out[x] = std::min(1.0f, std::max(0.0f, samples[4 * x + c]));
    }
  }
  return Status::Ok();
}

Status ReadScaled(const FrameView& frame, int width, int height, ImageF* rgb) {
  MFS_RETURN_IF_ERROR(ValidateFrame(frame));
  if (width <= 0 || height <= 0) return InvalidArgument("a crop needs 1 to 16384 pixels a side");
  const float sx = float(width) / frame.width(), sy = float(height) / frame.height();
  return ReadWarped(frame, {sx, 0, 0.5f * sx - 0.5f, 0, sy, 0.5f * sy - 0.5f}, width, height, rgb);
}

void ReduceImage(const ImageF& in, int width, int height, ImageF* out) {
  out->Reset(width, height, in.channels());
  const Resampler rx = MakeResampler(width, 0, double(in.width()) / width, in.width()), ry = MakeResampler(height, 0, double(in.height()) / height, in.height());
  std::vector<float> line;
  for (int c = 0; c < in.channels(); ++c) ReducePlane(in.plane(c), in.width(), rx, ry, &line, out->plane(c), 1);
}

Status BlendWarped(const ImageF& rgb, const ImageF& alpha, const Affine& crop_from_frame, FrameView* frame, IntRect* region, const BlendDetail* detail, ThreadPool* pool) {
  if (region != nullptr) *region = {};
  MFS_RETURN_IF_ERROR(ValidateFrame(*frame));
  if (rgb.channels() != 3 || alpha.channels() != 1 || rgb.width() != alpha.width() || rgb.height() != alpha.height() || rgb.width() <= 0 || rgb.height() <= 0) {
    return InvalidArgument("the crop must have three planes and its alpha one of the same size");
  }
  const bool keeps_detail = detail != nullptr && detail->luma != nullptr && detail->amount > 0;
  if (keeps_detail && (detail->luma->channels() != 1 || detail->luma->width() != rgb.width() || detail->luma->height() != rgb.height() || !(detail->limit > 0))) {
    return InvalidArgument("the detail's luma must be one plane of the crop's size and its limit above 0");
  }
  if (!Usable(crop_from_frame)) return InvalidArgument("the crop's transform is singular");
  const Affine crop_from_stored = Compose(crop_from_frame, StoredFromDisplay(*frame).Inverse());
  const PasteCrop crop{&rgb, &alpha, keeps_detail ? detail : nullptr};
  const FrameComponent* comp = frame->component;
  const int n = frame->num_components();
  const bool subsampled = n == 3 && (comp[1].shift_x > 0 || comp[1].shift_y > 0);
  PlanePaste planes[2];
  int passes = 0;
  if (PreparePlanes(crop, crop_from_stored, *frame, 0, subsampled ? 1 : n, &planes[0])) ++passes;
  if (subsampled && PreparePlanes(crop, crop_from_stored, *frame, 1, 2, &planes[passes])) ++passes;
  // Rows are independent of each other: what comes out does not depend on who does them.
  constexpr int kBand = 16;
  int bands[2] = {};
  for (int i = 0; i < passes; ++i) bands[i] = (planes[i].box.height() + kBand - 1) / kBand;
  const auto band = [&](int i) {
    const PlanePaste& p = planes[i < bands[0] ? 0 : 1];
    const int first = p.box.y0 + (i < bands[0] ? i : i - bands[0]) * kBand;
    for (int y = first; y < std::min(first + kBand, p.box.y1); ++y) p.Row(y);
  };
  if (pool != nullptr) {
    pool->Run(bands[0] + bands[1], band);
  } else {
    for (int i = 0; i < bands[0] + bands[1]; ++i) band(i);
  }
  if (region != nullptr && passes > 0) {
    IntRect stored{frame->stored_width, frame->stored_height, 0, 0};
    for (int i = 0; i < passes; ++i) {
      const IntRect& b = planes[i].box;
      const int shift_x = planes[i].blend.component[0].shift_x, shift_y = planes[i].blend.component[0].shift_y;
      stored = {std::min(stored.x0, b.x0 << shift_x), std::min(stored.y0, b.y0 << shift_y), std::max(stored.x1, std::min(frame->stored_width, b.x1 << shift_x)),
                std::max(stored.y1, std::min(frame->stored_height, b.y1 << shift_y))};
    }
    const Affine display = StoredFromDisplay(*frame).Inverse();
    const Point a = display.Apply({float(stored.x0), float(stored.y0)}), b = display.Apply({stored.x1 - 1.0f, stored.y1 - 1.0f});
    *region = {int(std::lround(std::min(a.x, b.x))), int(std::lround(std::min(a.y, b.y))), int(std::lround(std::max(a.x, b.x))) + 1, int(std::lround(std::max(a.y, b.y))) + 1};
  }
  return Status::Ok();
}

}  // namespace mfs
