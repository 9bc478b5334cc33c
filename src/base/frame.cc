#include "base/frame.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace mfs {
namespace {

// Four floats side by side; GCC and clang map it to one SIMD register on every target.
typedef float V4 __attribute__((vector_size(16)));

V4 Splat(float x) { return V4{x, x, x, x}; }

// An interleaved four-channel float picture (R,G,B and alpha or nothing): one load per tap when sampling.
struct Grid {
  int width = 0, height = 0;
  std::vector<V4> pixels;
  void Reset(int w, int h) {
    width = w, height = h;
    pixels.resize(static_cast<size_t>(w) * h);
  }
  V4* row(int y) { return pixels.data() + static_cast<size_t>(y) * width; }
  const V4* row(int y) const { return pixels.data() + static_cast<size_t>(y) * width; }
};

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
  float sample_scale;          // significant value of one step of the stored sample (sample_shift)
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
void ReadRegion(const FrameView& f, int x0, int y0, double factor_x, double factor_y, Grid* grid) {
  const ColorCoding k(f);
  const int n = f.num_components();
  // Interleaved components share their rows: the vertical pass is done once for all of them.
  bool interleaved = n == 3;
  const uint8_t* base = f.component[0].data;
  for (int c = 1; c < n; ++c) base = std::min<const uint8_t*>(base, f.component[c].data);
  for (int c = 0; c < n && interleaved; ++c) {
    interleaved = f.component[c].stride == f.component[0].stride && f.component[c].step == f.component[0].step &&
                  f.component[c].shift_x == 0 && f.component[c].shift_y == 0 && f.component[c].step > int{sizeof(T)} &&
                  f.component[c].data - base < f.component[c].step;
  }
  std::vector<float> line;
  for (int c = 0; c < n; ++c) {
    const FrameComponent& comp = f.component[c];
    const int w = (f.stored_width + (1 << comp.shift_x) - 1) >> comp.shift_x;
    const int h = (f.stored_height + (1 << comp.shift_y) - 1) >> comp.shift_y;
    const double sx = 1.0 / (1 << comp.shift_x), sy = 1.0 / (1 << comp.shift_y);
    // MPEG-2 and H.264 place chroma samples on the left luma column of their pair: half a luma pixel left of the middle.
    const double siting = comp.shift_x == 1 ? 0.25 : 0.0;
    const Resampler rx = MakeResampler(grid->width, x0 * sx + siting, factor_x * sx, w);
    const Resampler ry = MakeResampler(grid->height, y0 * sy, factor_y * sy, h);
    int first = w, last = 0;
    for (const Taps& t : rx.taps) {
      first = std::min(first, t.first);
      last = std::max(last, t.first + t.count);
    }
    const int step = comp.step / static_cast<int>(sizeof(T));
    const size_t samples = static_cast<size_t>(last - first - 1) * step + (interleaved ? step : 1);
    line.resize(samples);
    const int lanes = interleaved ? 3 : 1;
    for (int y = 0; y < grid->height; ++y) {
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
      V4* out = grid->row(y);
      for (int lane = 0; lane < lanes; ++lane) {
        const int channel = interleaved ? lane : c;
        const float* in = line.data() + (interleaved ? (f.component[lane].data - base) / static_cast<ptrdiff_t>(sizeof(T)) : 0);
        for (int x = 0; x < grid->width; ++x) {
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
  if (k.sample_scale != 1) {
    for (V4& p : grid->pixels) p *= Splat(k.sample_scale);
  }
  if (f.model == ColorModel::kYuv) {
    YuvToRgb(k, grid->pixels.data(), grid->pixels.size());
  } else {
    const float scale = 1 / k.peak;
    for (V4& p : grid->pixels) p = f.model == ColorModel::kGray ? Splat(p[0] * scale) : p * Splat(scale);
  }
}

// Catmull-Rom weights of the taps -1,0,1,2 around the fraction t.
V4 CubicWeights(float t) {
  const float t2 = t * t, t3 = t2 * t;
  return V4{-0.5f * t + t2 - 0.5f * t3, 1 - 2.5f * t2 + 1.5f * t3, 0.5f * t + 2 * t2 - 1.5f * t3, -0.5f * t2 + 0.5f * t3};
}

V4 SampleCubic(const Grid& g, float x, float y) {
  // Far outside the border pixel is all there is; the clamp also keeps the conversion to int defined.
  x = std::clamp(x, -2.0f, g.width + 1.0f);
  y = std::clamp(y, -2.0f, g.height + 1.0f);
  // floor() by truncation: a call of the library's floor costs more than the taps where SSE4.1 is not taken for granted.
  const int ix = static_cast<int>(x + 4) - 4, iy = static_cast<int>(y + 4) - 4;
  const V4 wx = CubicWeights(x - ix), wy = CubicWeights(y - iy);
  V4 sum = Splat(0);
  if (ix >= 1 && iy >= 1 && ix + 2 < g.width && iy + 2 < g.height) {
    const V4* p = g.row(iy - 1) + ix - 1;
    for (int j = 0; j < 4; ++j, p += g.width) {
      sum += Splat(wy[j]) * (Splat(wx[0]) * p[0] + Splat(wx[1]) * p[1] + Splat(wx[2]) * p[2] + Splat(wx[3]) * p[3]);
    }
    return sum;
  }
  for (int j = 0; j < 4; ++j) {
    const V4* row = g.row(std::clamp(iy - 1 + j, 0, g.height - 1));
    for (int i = 0; i < 4; ++i) sum += Splat(wy[j] * wx[i]) * row[std::clamp(ix - 1 + i, 0, g.width - 1)];
  }
  return sum;
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

// Area-reduces a planar crop with an alpha plane into a grid of the given size.
Grid ReduceCrop(const ImageF& rgb, const ImageF& alpha, int width, int height) {
  Grid g;
  g.Reset(width, height);
  const Resampler rx = MakeResampler(width, 0, double(rgb.width()) / width, rgb.width());
  const Resampler ry = MakeResampler(height, 0, double(rgb.height()) / height, rgb.height());
  std::vector<float> line;
  for (int c = 0; c < 4; ++c) ReducePlane(c < 3 ? rgb.plane(c) : alpha.plane(0), rgb.width(), rx, ry, &line, reinterpret_cast<float*>(g.pixels.data()) + c, 4);
  return g;
}

// Catmull-Rom sample of one plane at a place that SampleCubic takes as well.
float SampleCubicPlane(const ImageF& plane, float x, float y) {
  const int ix = static_cast<int>(x + 4) - 4, iy = static_cast<int>(y + 4) - 4;
  const V4 wx = CubicWeights(x - ix), wy = CubicWeights(y - iy);
  V4 sum = Splat(0);
  if (ix >= 1 && iy >= 1 && ix + 2 < plane.width() && iy + 2 < plane.height()) {
    const float* p = plane.row(0, iy - 1) + ix - 1;
    for (int j = 0; j < 4; ++j, p += plane.width()) {
      V4 v;
      std::memcpy(&v, p, sizeof v);
      sum += Splat(wy[j]) * v;
    }
  } else {
    for (int j = 0; j < 4; ++j) {
      const float* row = plane.row(0, std::clamp(iy - 1 + j, 0, plane.height() - 1));
      V4 v;
      for (int i = 0; i < 4; ++i) v[i] = row[std::clamp(ix - 1 + i, 0, plane.width() - 1)];
      sum += Splat(wy[j]) * v;
    }
  }
  sum *= wx;
  return sum[0] + sum[1] + sum[2] + sum[3];
}

// For each grid pixel: is any alpha in reach of a cubic sample between it and the next one?
std::vector<uint8_t> ReachableAlpha(const Grid& g) {
  std::vector<uint8_t> across(static_cast<size_t>(g.width) * g.height), any(across.size());
  for (int y = 0; y < g.height; ++y) {
    for (int x = 0; x < g.width; ++x) {
      if (g.row(y)[x][3] == 0) continue;
      uint8_t* row = &across[static_cast<size_t>(y) * g.width];
      std::fill(row + std::max(0, x - 2), row + std::min(g.width, x + 3), uint8_t{1});
    }
  }
  for (int y = 0; y < g.height; ++y) {
    for (int j = std::max(0, y - 2); j < std::min(g.height, y + 3); ++j) {
      for (int x = 0; x < g.width; ++x) any[static_cast<size_t>(y) * g.width + x] |= across[static_cast<size_t>(j) * g.width + x];
    }
  }
  return any;
}

template <typename T>
void StoreSample(const FrameComponent& comp, int x, int y, int shift, float peak, float alpha, float value) {
  T* p = reinterpret_cast<T*>(comp.data + y * comp.stride + x * static_cast<ptrdiff_t>(comp.step));
  const float old = static_cast<float>(*p >> shift);
  const float mixed = std::clamp(old + alpha * (value - old), 0.0f, peak);
  *p = static_cast<T>(static_cast<T>(mixed + 0.5f) << shift);
}

template <typename T>
float LoadSample(const FrameComponent& comp, int x, int y, int shift) {
  return static_cast<float>(*reinterpret_cast<const T*>(comp.data + y * comp.stride + x * static_cast<ptrdiff_t>(comp.step)) >> shift);
}

// The finest detail that a blend keeps: BlendDetail with its luma in the grid's size. luma null: none.
struct KeptDetail {
  const ImageF* luma = nullptr;
  float amount = 0, inverse_limit = 0;
};

template <typename T>
void Blend(const Grid& grid, const KeptDetail& detail, const Affine& grid_from_stored, const IntRect& box, const FrameView& f) {
  const ColorCoding k(f);
  const int width = box.width();
  const int n = f.num_components();
  // Rows are handled in groups that share their chroma.
  int group = 1;
  bool subsampled = false;
  for (int c = 0; c < n; ++c) {
    group = std::max(group, 1 << f.component[c].shift_y);
    subsampled = subsampled || f.component[c].shift_x > 0 || f.component[c].shift_y > 0;
  }
  std::vector<V4> rows(static_cast<size_t>(group) * width);
  const float max_x = grid.width - 0.5f, max_y = grid.height - 0.5f;
  constexpr float kLeast = 1.0f / 1024;  // below it no 8-bit sample moves and the edge of the feather ends
  const V4 zero = Splat(0), one = Splat(1);
  const std::vector<uint8_t> reachable = ReachableAlpha(grid);
  for (int y0 = box.y0; y0 < box.y1; y0 += group) {
    const int rows_here = std::min(group, f.stored_height - y0);
    int touched_first = width, touched_last = -1;  // columns of the group that get anything
    for (int r = 0; r < rows_here; ++r) {
      const int y = y0 + r;
      V4* out = &rows[static_cast<size_t>(r) * width];
      for (int i = 0; i < width; ++i) {
        const Point p = grid_from_stored.Apply({float(box.x0 + i), float(y)});
        V4 v = Splat(0);
        if (p.x > -0.5f && p.y > -0.5f && p.x < max_x && p.y < max_y &&
            reachable[static_cast<size_t>(std::max(p.y, 0.0f)) * grid.width + static_cast<size_t>(std::max(p.x, 0.0f))] != 0) {
          v = SampleCubic(grid, p.x, p.y);
          v = v > zero ? v : zero;
          v = v < one ? v : one;
          if (v[3] < kLeast) v[3] = 0;
          if (detail.luma != nullptr && v[3] != 0) {
            float old = LoadSample<T>(f.component[0], box.x0 + i, y, f.sample_shift);
            if (f.model == ColorModel::kRgb) {
              old = k.kr * old + k.kg * LoadSample<T>(f.component[1], box.x0 + i, y, f.sample_shift) + k.kb * LoadSample<T>(f.component[2], box.x0 + i, y, f.sample_shift);
            }
            const float difference = (old - k.luma_offset) / k.luma_range - SampleCubicPlane(*detail.luma, p.x, p.y);
            const float kept = detail.amount * LimitDetail(difference, detail.inverse_limit);
            v += V4{kept, kept, kept, 0};
          }
        }
        out[i] = v;
        if (v[3] == 0) continue;
        touched_first = std::min(touched_first, i), touched_last = i > touched_last ? i : touched_last;
        const float alpha = v[3];
        if (f.model == ColorModel::kRgb) {
          for (int c = 0; c < 3; ++c) StoreSample<T>(f.component[c], box.x0 + i, y, f.sample_shift, k.peak, alpha, v[c] * k.peak);
        } else {
          const float luma = (k.kr * v[0] + k.kg * v[1] + k.kb * v[2]) * k.luma_range + k.luma_offset;
          StoreSample<T>(f.component[0], box.x0 + i, y, f.sample_shift, k.peak, alpha, luma);
          if (n == 3 && !subsampled) {
            const float yl = k.kr * v[0] + k.kg * v[1] + k.kb * v[2];
            const float u = (v[2] - yl) / (2 * (1 - k.kb)) * k.chroma_range + k.chroma_offset;
            const float w = (v[0] - yl) / (2 * (1 - k.kr)) * k.chroma_range + k.chroma_offset;
            StoreSample<T>(f.component[1], box.x0 + i, y, f.sample_shift, k.peak, alpha, u);
            StoreSample<T>(f.component[2], box.x0 + i, y, f.sample_shift, k.peak, alpha, w);
          }
        }
      }
    }
    if (!subsampled || n < 3 || touched_last < 0) continue;
    const int shift_x = f.component[1].shift_x, shift_y = f.component[1].shift_y;
    const int per_group = group >> shift_y;
    for (int cy = 0; cy < per_group; ++cy) {
      const int first_row = cy << shift_y, last_row = std::min(rows_here, (cy + 1) << shift_y);
      if (first_row >= last_row) break;
      // A chroma sample draws on its own columns and the one before.
      const int first_x = box.x0 + (std::max(0, touched_first - 1) >> shift_x << shift_x), end_x = std::min(box.x1, box.x0 + touched_last + 2);
      for (int x = first_x; x < end_x; x += 1 << shift_x) {
        // Left-sited chroma: weights 1 2 1 around the even column; otherwise the mean of the block.
        float a = 0, u = 0, w = 0, total = 0;
        const int reach = shift_x == 1 ? 1 : 0;
        const int last_col = shift_x > 1 ? (1 << shift_x) - 1 : reach;
        for (int r = first_row; r < last_row; ++r) {
          for (int d = -reach; d <= last_col; ++d) {
            const int i = x - box.x0 + d;
            const float weight = reach == 1 && d == 0 ? 2.0f : 1.0f;
            total += weight;
            if (i < 0 || i >= width) continue;
            const V4 v = rows[static_cast<size_t>(r) * width + i];
            if (v[3] == 0) continue;
            const float yl = k.kr * v[0] + k.kg * v[1] + k.kb * v[2];
            const float aw = weight * v[3];
            a += aw;
            u += aw * (v[2] - yl);
            w += aw * (v[0] - yl);
          }
        }
        if (!(a > 0)) continue;
        const float alpha = a / total;
        if (alpha < kLeast) continue;
        const int sx = x >> shift_x, sy = (y0 >> shift_y) + cy;
        StoreSample<T>(f.component[1], sx, sy, f.sample_shift, k.peak, alpha,
                       u / a / (2 * (1 - k.kb)) * k.chroma_range + k.chroma_offset);
        StoreSample<T>(f.component[2], sx, sy, f.sample_shift, k.peak, alpha,
                       w / a / (2 * (1 - k.kr)) * k.chroma_range + k.chroma_offset);
      }
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
  const Point corners[4] = {stored_from_crop.Apply({-0.5f, -0.5f}), stored_from_crop.Apply({x1, -0.5f}),
                            stored_from_crop.Apply({-0.5f, y1}), stored_from_crop.Apply({x1, y1})};
  return BoundingBox(corners, 4);
}

int ClampToInt(float v, int lo, int hi) {
  return static_cast<int>(std::min(static_cast<float>(hi), std::max(static_cast<float>(lo), v)));
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
    if (std::abs(comp.stride) < static_cast<ptrdiff_t>(w - 1) * comp.step + bytes) {
      return InvalidArgument("the stride of a component is smaller than its row");
    }
  }
  return Status::Ok();
}

Affine StoredFromDisplay(const FrameView& f) {
  const float w = f.stored_width - 1.0f, h = f.stored_height - 1.0f;
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
  Grid grid;
  const int gw = std::max(1, static_cast<int>(std::ceil((x1 - x0) / factor_x - 1e-6)));
  const int gh = std::max(1, static_cast<int>(std::ceil((y1 - y0) / factor_y - 1e-6)));
  grid.Reset(gw, gh);
  if (frame.bits + frame.sample_shift > 8) {
    ReadRegion<uint16_t>(frame, x0, y0, factor_x, factor_y, &grid);
  } else {
    ReadRegion<uint8_t>(frame, x0, y0, factor_x, factor_y, &grid);
  }
  // Grid pixel i covers stored [x0 + i*factor, x0 + (i+1)*factor), so its centre is x0 + (i+0.5)*factor - 0.5.
  const Affine grid_from_stored{float(1 / factor_x), 0, float((0.5 - x0) / factor_x - 0.5),
                                0, float(1 / factor_y), float((0.5 - y0) / factor_y - 0.5)};
  const Affine grid_from_crop = Compose(grid_from_stored, stored_from_crop);
  rgb->Reset(width, height, 3);
  for (int y = 0; y < height; ++y) {
    float* r = rgb->row(0, y);
    float* g = rgb->row(1, y);
    float* b = rgb->row(2, y);
    for (int x = 0; x < width; ++x) {
      const Point p = grid_from_crop.Apply({float(x), float(y)});
      const V4 v = SampleCubic(grid, p.x, p.y);
      r[x] = std::min(1.0f, std::max(0.0f, v[0]));
      g[x] = std::min(1.0f, std::max(0.0f, v[1]));
      b[x] = std::min(1.0f, std::max(0.0f, v[2]));
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

Status BlendWarped(const ImageF& rgb, const ImageF& alpha, const Affine& crop_from_frame, FrameView* frame, IntRect* region, const BlendDetail* detail) {
  if (region != nullptr) *region = {};
  MFS_RETURN_IF_ERROR(ValidateFrame(*frame));
  if (rgb.channels() != 3 || alpha.channels() != 1 || rgb.width() != alpha.width() || rgb.height() != alpha.height() ||
      rgb.width() <= 0 || rgb.height() <= 0) {
    return InvalidArgument("the crop must have three planes and its alpha one of the same size");
  }
  const bool keeps_detail = detail != nullptr && detail->luma != nullptr && detail->amount > 0;
  if (keeps_detail && (detail->luma->channels() != 1 || detail->luma->width() != rgb.width() || detail->luma->height() != rgb.height() || !(detail->limit > 0))) {
    return InvalidArgument("the detail's luma must be one plane of the crop's size and its limit above 0");
  }
  if (!Usable(crop_from_frame)) return InvalidArgument("the crop's transform is singular");
  const Affine crop_from_stored = Compose(crop_from_frame, StoredFromDisplay(*frame).Inverse());
  // Crop pixels per stored pixel along the crop's axes.
  const double factor_x = std::max(1.0f, std::hypot(crop_from_stored.a, crop_from_stored.b));
  const double factor_y = std::max(1.0f, std::hypot(crop_from_stored.c, crop_from_stored.d));
  const int gw = std::max(1, static_cast<int>(std::lround(rgb.width() / factor_x)));
  const int gh = std::max(1, static_cast<int>(std::lround(rgb.height() / factor_y)));
  const Grid grid = ReduceCrop(rgb, alpha, gw, gh);
  KeptDetail kept;
  ImageF reduced_luma;
  if (keeps_detail) {
    kept = {detail->luma, detail->amount, 1 / detail->limit};
    if (gw != rgb.width() || gh != rgb.height()) {
      ReduceImage(*detail->luma, gw, gh, &reduced_luma);
      kept.luma = &reduced_luma;
    }
  }
  const float sx = float(gw) / rgb.width(), sy = float(gh) / rgb.height();
  const Affine grid_from_crop{sx, 0, 0.5f * sx - 0.5f, 0, sy, 0.5f * sy - 0.5f};

  const Rect box = StoredBox(crop_from_stored.Inverse(), rgb.width(), rgb.height());
  IntRect stored{ClampToInt(std::floor(box.x0), 0, frame->stored_width), ClampToInt(std::floor(box.y0), 0, frame->stored_height),
                 ClampToInt(std::ceil(box.x1) + 1, 0, frame->stored_width), ClampToInt(std::ceil(box.y1) + 1, 0, frame->stored_height)};
  // Whole chroma samples only; 4 covers every subsampling there is.
  stored.x0 &= ~3;
  stored.y0 &= ~3;
  if (stored.empty()) return Status::Ok();
  if (frame->bits + frame->sample_shift > 8) {
    Blend<uint16_t>(grid, kept, Compose(grid_from_crop, crop_from_stored), stored, *frame);
  } else {
    Blend<uint8_t>(grid, kept, Compose(grid_from_crop, crop_from_stored), stored, *frame);
  }
  if (region != nullptr) {
    const Affine display = StoredFromDisplay(*frame).Inverse();
    const Point a = display.Apply({float(stored.x0), float(stored.y0)}), b = display.Apply({stored.x1 - 1.0f, stored.y1 - 1.0f});
    *region = {int(std::lround(std::min(a.x, b.x))), int(std::lround(std::min(a.y, b.y))),
               int(std::lround(std::max(a.x, b.x))) + 1, int(std::lround(std::max(a.y, b.y))) + 1};
  }
  return Status::Ok();
}

}  // namespace mfs
