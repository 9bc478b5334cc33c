#include "blur.h"

#include <algorithm>
#include <cmath>

#include "simd.h"

namespace mfs::train {

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

}  // namespace mfs::train
