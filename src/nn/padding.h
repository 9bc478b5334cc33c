#ifndef MFS_NN_PADDING_H_
#define MFS_NN_PADDING_H_

#include <algorithm>

namespace mfs {

// Zero pixels around a map.
struct Padding {
  int top = 0, bottom = 0, left = 0, right = 0;
};

// TensorFlow's SAME: the output has ceil(size/stride) pixels; an odd number of padding pixels puts the surplus at the bottom and right.
inline Padding SamePadding(int height, int width, int kernel_h, int kernel_w, int stride) {
  const auto total = [&](int size, int kernel) { return std::max(0, ((size + stride - 1) / stride - 1) * stride + kernel - size); };
  const int h = total(height, kernel_h), w = total(width, kernel_w);
  return {h / 2, h - h / 2, w / 2, w - w / 2};
}

}  // namespace mfs

#endif  // MFS_NN_PADDING_H_
