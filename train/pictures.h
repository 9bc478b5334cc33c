// Between records of the cache, tensors and sheets.
#ifndef MFS_TRAIN_PICTURES_H_
#define MFS_TRAIN_PICTURES_H_

#include <torch/torch.h>

#include <algorithm>

#include "base/image.h"
#include "face_cache.h"

namespace mfs::train {

// channels values a pixel, row by row, of the 224 crop; flip: left and right change places.
template <typename T>
void CopyCrop(const T* from, int channels, bool flip, float scale, float* to) {
  for (int y = 0; y < kCropSize; ++y) {
    for (int x = 0; x < kCropSize; ++x) {
      const T* in = from + (y * kCropSize + (flip ? kCropSize - 1 - x : x)) * channels;
      for (int c = 0; c < channels; ++c) *to++ = static_cast<float>(in[c]) * scale;
    }
  }
}

// The crop as RGB in [0,1], 224 x 224 x 3.
inline void CopyCrop(const FaceRecord& face, bool flip, float* to) { CopyCrop(face.crop, 3, flip, 1 / 255.0f, to); }

// [h,w,c] -> planes.
inline ImageF PlanarFromTensor(const torch::Tensor& t) {
  const torch::Tensor planes = t.detach().cpu().permute({2, 0, 1}).contiguous();
  ImageF image(static_cast<int>(planes.size(2)), static_cast<int>(planes.size(1)), static_cast<int>(planes.size(0)));
  std::copy_n(planes.data_ptr<float>(), planes.numel(), image.data());
  return image;
}

}  // namespace mfs::train

#endif  // MFS_TRAIN_PICTURES_H_
