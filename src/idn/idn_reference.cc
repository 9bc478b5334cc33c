#include "idn/idn_reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mfs {
namespace {

struct Map {
  int channels = 0, side = 0;
  std::vector<double> data;
  Map() = default;
  Map(int c, int s) : channels(c), side(s), data(static_cast<size_t>(c) * s * s) {}
  double& at(int c, int y, int x) { return data[(static_cast<size_t>(c) * side + y) * side + x]; }
  // Zero outside, as the padding of a convolution wants it.
  double Padded(int c, int y, int x) const {
    if (y < 0 || x < 0 || y >= side || x >= side) return 0;
    return data[(static_cast<size_t>(c) * side + y) * side + x];
  }
};

void LeakyRelu(Map* m) {
  for (double& v : m->data) v = v > 0 ? v : kLeakySlope * v;
}

Map Depthwise(const Map& in, const std::vector<float>& kernels, int kernel, int stride) {
  Map out(in.channels, in.side / stride);
  for (int c = 0; c < in.channels; ++c) {
    for (int y = 0; y < out.side; ++y) {
      for (int x = 0; x < out.side; ++x) {
        double sum = 0;
        for (int ky = 0; ky < kernel; ++ky) {
          for (int kx = 0; kx < kernel; ++kx) {
            sum += kernels[(static_cast<size_t>(c) * kernel + ky) * kernel + kx] * in.Padded(c, y * stride + ky - 1, x * stride + kx - 1);
          }
        }
        out.at(c, y, x) = sum;
      }
    }
  }
  return out;
}

Map Convolve(const Map& in, const std::vector<float>& weight, const std::vector<float>& bias, int out_channels, int kernel) {
  Map out(out_channels, in.side);
  const int pad = kernel / 2;
  for (int o = 0; o < out_channels; ++o) {
    for (int y = 0; y < in.side; ++y) {
      for (int x = 0; x < in.side; ++x) {
        double sum = bias[o];
        for (int c = 0; c < in.channels; ++c) {
          for (int ky = 0; ky < kernel; ++ky) {
            for (int kx = 0; kx < kernel; ++kx) {
              sum += weight[((static_cast<size_t>(o) * in.channels + c) * kernel + ky) * kernel + kx] * in.Padded(c, y + ky - pad, x + kx - pad);
            }
          }
        }
        out.at(o, y, x) = sum;
      }
    }
  }
  return out;
}

// Bilinear, twice the side, align_corners=true.
Map Upsample(const Map& in) {
  Map out(in.channels, in.side * 2);
  const double scale = double(in.side - 1) / (out.side - 1);
  for (int c = 0; c < in.channels; ++c) {
    for (int y = 0; y < out.side; ++y) {
      const int y0 = std::min(static_cast<int>(y * scale), in.side - 1), y1 = std::min(y0 + 1, in.side - 1);
      const double fy = y * scale - y0;
      for (int x = 0; x < out.side; ++x) {
        const int x0 = std::min(static_cast<int>(x * scale), in.side - 1), x1 = std::min(x0 + 1, in.side - 1);
        const double fx = x * scale - x0;
        out.at(c, y, x) = (1 - fy) * ((1 - fx) * in.Padded(c, y0, x0) + fx * in.Padded(c, y0, x1)) + fy * ((1 - fx) * in.Padded(c, y1, x0) + fx * in.Padded(c, y1, x1));
      }
    }
  }
  return out;
}

Map Separable(const Map& in, const SeparableWeights& w, int stride) {
  Map out = Convolve(Depthwise(in, w.depthwise, w.kernel, stride), w.pointwise, w.bias, w.out, 1);
  LeakyRelu(&out);
  return out;
}

Map Concatenate(Map a, const Map& b) {
  a.data.insert(a.data.end(), b.data.begin(), b.data.end());
  a.channels += b.channels;
  return a;
}

class IdnReference : public Idn {
 public:
  IdnReference(const IdnWeights& weights, int size) : Idn(size), weights_(weights) {}

  Status SetIdentity(const IdnWeights& weights) override {
    MFS_RETURN_IF_ERROR(ValidateIdnWeights(weights));
    weights_ = weights;
    return Status::Ok();
  }

  const char* name() const override { return "reference"; }

 private:
  void Compute(const IdnInput& input, const IdnOutput& output) override {
    const size_t plane = static_cast<size_t>(size_) * size_;
    // Where byte order and rows put a channel of a pixel.
    const auto at = [&](ptrdiff_t stride, bool bgr, size_t c, size_t p) { return static_cast<ptrdiff_t>(p / size_) * stride + 3 * (p % size_) + (bgr ? 2 - c : c); };
    Map x(3, size_);
    std::vector<double> target(3 * plane);
    for (size_t i = 0; i < target.size(); ++i) {
      target[i] = input.planes != nullptr ? input.planes[i] : input.pixels[at(input.stride, input.bgr, i / plane, i % plane)] / 255.0;
      x.data[i] = 2 * target[i] - 1;
    }
    std::array<Map, 5> e;
    for (int i = 0; i < 5; ++i) e[i] = Separable(i == 0 ? x : e[i - 1], weights_.encoder[i], 2);
    Map d = e[4];
    for (int i = 0; i < 4; ++i) {
      d = Separable(Upsample(d), weights_.decoder[i], 1);
      if (i < 3) d = Concatenate(std::move(d), e[3 - i]);
    }
    const auto head = [&](const Map& m, int i) {
      const ConvWeights& w = weights_.head[i];
      return Convolve(m, w.weight, w.bias, w.out, w.kernel);
    };
    Map h = head(Upsample(d), 0);
    LeakyRelu(&h);
    h = head(h, 1);
    LeakyRelu(&h);
    h = head(h, 2);
    if (weights_.detail.out != 0) {
      const Map detail = Convolve(d, weights_.detail.weight, weights_.detail.bias, kDetailChannels, 1);
      for (int c = 0; c < 3; ++c) {
        for (int y = 0; y < size_; ++y) {
          for (int x = 0; x < size_; ++x) h.at(c, y, x) += detail.data[((y % 2 * 2 + x % 2) * static_cast<size_t>(detail.side) + y / 2) * detail.side + x / 2];
        }
      }
    }
    Map m = e[4];
    for (int i = 0; i < 5; ++i) m = Separable(Upsample(m), weights_.fusion[i], 1);
    m = Convolve(m, weights_.fusion_out.weight, weights_.fusion_out.bias, 1, 3);
    const auto byte = [](double v) { return static_cast<uint8_t>(std::lround(std::min(std::max(v, 0.0), 1.0) * 255)); };
    for (size_t p = 0; p < plane; ++p) {
      const double k = 1 / (1 + std::exp(-m.data[p]));
      if (output.mask != nullptr) output.mask[p] = static_cast<float>(k);
      if (output.mask_pixels != nullptr) output.mask_pixels[static_cast<ptrdiff_t>(p / size_) * output.mask_stride + p % size_] = byte(k);
      for (int c = 0; c < 3; ++c) {
        const double y = (1 + std::tanh(h.data[c * plane + p])) / 2, mixed = y * k + (1 - k) * target[c * plane + p];
        if (output.raw != nullptr) output.raw[c * plane + p] = static_cast<float>(y);
        if (output.image != nullptr) output.image[c * plane + p] = static_cast<float>(mixed);
        if (output.pixels != nullptr) output.pixels[at(output.stride, output.bgr, c, p)] = byte(mixed);
      }
    }
  }

  IdnWeights weights_;
};

}  // namespace

std::unique_ptr<Idn> CreateIdnReference(const IdnWeights& weights, int size) { return std::make_unique<IdnReference>(weights, size); }

}  // namespace mfs
