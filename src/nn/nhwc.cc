#include "nn/nhwc.h"

#include <algorithm>
#include <limits>

namespace mfs {
namespace {

int OutputSize(int size, int kernel, int stride, int pad) { return (size + pad - kernel) / stride + 1; }

// A map of bias.size() channels that starts as the bias; add(pixel, tap, out) is called for every tap that lies inside.
template <typename Add>
NhwcMap ForTaps(const NhwcMap& in, const std::vector<float>& bias, int kernel_h, int kernel_w, int stride, const Padding& pad, const Add& add) {
  NhwcMap out(OutputSize(in.height, kernel_h, stride, pad.top + pad.bottom), OutputSize(in.width, kernel_w, stride, pad.left + pad.right), static_cast<int>(bias.size()));
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      float* o = out.at(y, x);
      std::copy(bias.begin(), bias.end(), o);
      for (int ky = 0; ky < kernel_h; ++ky) {
        const int sy = y * stride + ky - pad.top;
        if (sy < 0 || sy >= in.height) continue;
        for (int kx = 0; kx < kernel_w; ++kx) {
          const int sx = x * stride + kx - pad.left;
          if (sx >= 0 && sx < in.width) add(in.at(sy, sx), ky * kernel_w + kx, o);
        }
      }
    }
  }
  return out;
}

}  // namespace

NhwcMap Convolve(const NhwcMap& in, const std::vector<float>& weight, const std::vector<float>& bias, int kernel_h, int kernel_w, int stride, const Padding& pad) {
  const int in_channels = in.channels, out_channels = static_cast<int>(bias.size());
  return ForTaps(in, bias, kernel_h, kernel_w, stride, pad, [&](const float* p, int tap, float* o) {
    const float* w = &weight[static_cast<size_t>(tap) * in_channels * out_channels];
    for (int c = 0; c < in_channels; ++c, w += out_channels) {
      const float v = p[c];
      for (int k = 0; k < out_channels; ++k) o[k] += v * w[k];
    }
  });
}

NhwcMap DepthwiseConvolve(const NhwcMap& in, const std::vector<float>& weight, const std::vector<float>& bias, int kernel_h, int kernel_w, int stride, const Padding& pad) {
  const int channels = in.channels;
  return ForTaps(in, bias, kernel_h, kernel_w, stride, pad, [&](const float* p, int tap, float* o) {
    const float* w = &weight[static_cast<size_t>(tap) * channels];
    for (int c = 0; c < channels; ++c) o[c] += p[c] * w[c];
  });
}

NhwcMap MaxPool(const NhwcMap& in, int kernel, int stride, const Padding& pad) {
  NhwcMap out(OutputSize(in.height, kernel, stride, pad.top + pad.bottom), OutputSize(in.width, kernel, stride, pad.left + pad.right), in.channels);
  std::fill(out.data.begin(), out.data.end(), std::numeric_limits<float>::lowest());
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      float* o = out.at(y, x);
      for (int ky = 0; ky < kernel; ++ky) {
        for (int kx = 0; kx < kernel; ++kx) {
          const int sy = y * stride + ky - pad.top, sx = x * stride + kx - pad.left;
          if (sy < 0 || sx < 0 || sy >= in.height || sx >= in.width) continue;
          const float* p = in.at(sy, sx);
          for (int c = 0; c < in.channels; ++c) o[c] = std::max(o[c], p[c]);
        }
      }
    }
  }
  return out;
}

NhwcMap AveragePool2(const NhwcMap& in) {
  NhwcMap out(in.height / 2, in.width / 2, in.channels);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const float *a = in.at(2 * y, 2 * x), *b = in.at(2 * y, 2 * x + 1), *c = in.at(2 * y + 1, 2 * x), *d = in.at(2 * y + 1, 2 * x + 1);
      float* o = out.at(y, x);
      for (int k = 0; k < in.channels; ++k) o[k] = (a[k] + b[k] + c[k] + d[k]) / 4;
    }
  }
  return out;
}

}  // namespace mfs
