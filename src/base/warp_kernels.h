// The inner loops of reading and pasting warped crops: one row of samples at a time.
#ifndef MFS_BASE_WARP_KERNELS_H_
#define MFS_BASE_WARP_KERNELS_H_

#include <cstdint>
#include <vector>

#include "base/frame.h"

namespace mfs {

// A picture of four interleaved floats a pixel. Its border is repeated kPad pixels outwards, so that a cubic sample near it needs no test.
class SampleGrid {
 public:
  static constexpr int kPad = 3;
  void Reset(int width, int height) {
    width_ = width, height_ = height, stride_ = 4 * static_cast<ptrdiff_t>(width + 2 * kPad);
    values_.resize(stride_ * static_cast<size_t>(height + 2 * kPad));
  }
  int width() const { return width_; }
  int height() const { return height_; }
  ptrdiff_t stride() const { return stride_; }  // floats from a row to the next
  float* row(int y) { return values_.data() + (y + kPad) * stride_ + 4 * kPad; }
  const float* row(int y) const { return values_.data() + (y + kPad) * stride_ + 4 * kPad; }
  void RepeatBorder();

 private:
  int width_ = 0, height_ = 0;
  ptrdiff_t stride_ = 0;
  std::vector<float> values_;
};

// Catmull-Rom samples at (x + i step_x, y + i step_y), i in [0, n); places further outside than a pixel are moved to there. out: 4 n floats.
void SampleRow(const SampleGrid& grid, float x, float y, float step_x, float step_y, int n, float* out);
void SampleRowReference(const SampleGrid& grid, float x, float y, float step_x, float step_y, int n, float* out);

// What all rows of a paste into one plane (or several of one size) share.
struct PlaneBlend {
  const SampleGrid* grid = nullptr;  // channels 0 .. components-1: in the plane's values (before sample_shift); 3: the weight, 0..1
  // What BlendDetail keeps; its luma is channel 1 of the grid where there is one component, channel 0 of luma_grid where there are three.
  bool keeps_detail = false;
  const SampleGrid* luma_grid = nullptr;
  float luma_weights[3] = {1, 0, 0};  // of the components
  bool detail_in_all = false;         // RGB: all components gain the detail, else the first one
  float amount = 0, inverse_limit = 0;
  FrameComponent component[3];
  int components = 1, sample_shift = 0;
  bool wide = false;  // samples of 16 bits
  float peak = 255;
};

// Blends the samples (first + i, row), i in [0, n), whose places in the grid are (x + i step_x, y + i step_y). Samples of a weight below 1/1024 keep their bits.
void BlendRow(const PlaneBlend& blend, int first, int row, int n, float x, float y, float step_x, float step_y);
void BlendRowReference(const PlaneBlend& blend, int first, int row, int n, float x, float y, float step_x, float step_y);

}  // namespace mfs

#endif  // MFS_BASE_WARP_KERNELS_H_
