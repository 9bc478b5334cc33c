// Luma and sharpness of the 224 crop, the same for preparation and evaluation.
#ifndef MFS_TRAIN_SHARPNESS_H_
#define MFS_TRAIN_SHARPNESS_H_

#include <cstdint>
#include <vector>

#include "face_cache.h"

namespace mfs::train {

// Of three colours, in their units.
template <typename T>
float LumaOf(const T* rgb) {
  return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

// 0..255, of an interleaved 224 x 224 RGB crop.
inline std::vector<float> CropLuma(const uint8_t* rgb) {
  std::vector<float> luma(kCropSize * kCropSize);
  for (size_t i = 0; i < luma.size(); ++i) luma[i] = LumaOf(rgb + 3 * i);
  return luma;
}

// Variance of the Laplacian over the pixels for which inside(index) is true; the crop's outermost pixels are left out. 0 for none.
template <typename Inside>
double LaplacianVariance(const std::vector<float>& luma, const Inside& inside) {
  double sum = 0, squares = 0, n = 0;
  for (int y = 1; y + 1 < kCropSize; ++y) {
    for (int x = 1; x + 1 < kCropSize; ++x) {
      const int i = y * kCropSize + x;
      if (!inside(i)) continue;
      const float* p = &luma[i];
      const double l = 4.0 * p[0] - p[-1] - p[1] - p[-kCropSize] - p[kCropSize];
      sum += l, squares += l * l, n += 1;
    }
  }
  return n == 0 ? 0 : squares / n - sum / n * (sum / n);
}

}  // namespace mfs::train

#endif  // MFS_TRAIN_SHARPNESS_H_
