// Plain layers on small channel-last maps, for networks that run once per picture (evaluation, mesh). Readable first; the compiler
// vectorises the innermost loop over output channels.
#ifndef MFS_NN_NHWC_H_
#define MFS_NN_NHWC_H_

#include <cstddef>
#include <vector>

#include "nn/padding.h"

namespace mfs {

// height x width x channels floats, channels innermost.
struct NhwcMap {
  int height = 0, width = 0, channels = 0;
  std::vector<float> data;
  NhwcMap() = default;
  NhwcMap(int h, int w, int c) : height(h), width(w), channels(c), data(static_cast<size_t>(h) * w * c) {}
  float* at(int y, int x) { return &data[(static_cast<size_t>(y) * width + x) * channels]; }
  const float* at(int y, int x) const { return &data[(static_cast<size_t>(y) * width + x) * channels]; }
};

// weight: kernel_h x kernel_w x in x out. bias: out.
NhwcMap Convolve(const NhwcMap& in, const std::vector<float>& weight, const std::vector<float>& bias, int kernel_h, int kernel_w, int stride, const Padding& pad);
// weight: kernel_h x kernel_w x channels.
NhwcMap DepthwiseConvolve(const NhwcMap& in, const std::vector<float>& weight, const std::vector<float>& bias, int kernel_h, int kernel_w, int stride, const Padding& pad);
// Outside pixels do not take part.
NhwcMap MaxPool(const NhwcMap& in, int kernel, int stride, const Padding& pad);
NhwcMap AveragePool2(const NhwcMap& in);  // 2x2 stride 2, an odd last row or column is dropped

}  // namespace mfs

#endif  // MFS_NN_NHWC_H_
