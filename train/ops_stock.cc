#include "ops_stock.h"

namespace mfs::train::stock {

using torch::Tensor;

namespace {

constexpr double kSlope = 0.1;

Tensor ToNchw(const Tensor& x) { return x.permute({0, 3, 1, 2}); }
Tensor ToNhwc(const Tensor& x) { return x.permute({0, 2, 3, 1}); }

}  // namespace

// Every sample's channels are groups of one convolution.
Tensor Depthwise(const Tensor& x, const Tensor& kernel, int k, int stride) {
  const int64_t n = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
  const Tensor weight = kernel.expand({n, k * k, c}).permute({0, 2, 1}).reshape({n * c, 1, k, k});
  const Tensor y = torch::conv2d(ToNchw(x).reshape({1, n * c, h, w}), weight, {}, stride, 1, 1, n * c);
  return ToNhwc(y.reshape({n, c, y.size(2), y.size(3)}));
}

Tensor ScaleLeakyRelu(const Tensor& x, const Tensor& scale) { return torch::leaky_relu(x * scale.unsqueeze(1).unsqueeze(1), kSlope); }

Tensor Upsample2(const Tensor& x) { return ToNhwc(torch::upsample_bilinear2d(ToNchw(x), {2 * x.size(1), 2 * x.size(2)}, true)); }

Tensor BatchNormLeakyRelu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& var, bool training, double momentum, double eps) {
  return ToNhwc(torch::leaky_relu(torch::batch_norm(ToNchw(x), weight, bias, mean, var, training, momentum, eps, false), kSlope));
}

Tensor FrozenBiasPrelu(const Tensor& x, const Tensor& bias, const Tensor& slope) {
  const Tensor v = bias.defined() ? x + bias : x;
  return torch::where(v > 0, v, v * slope);
}

Tensor SmallConv3x3(const Tensor& x, const Tensor& weight, const Tensor& bias) { return ToNhwc(torch::conv2d(ToNchw(x), weight, bias, 1, 1)); }

Tensor Patches(const Tensor& x, int k, int stride, int pad) {
  const int64_t n = x.size(0), c = x.size(3), ho = (x.size(1) + 2 * pad - k) / stride + 1, wo = (x.size(2) + 2 * pad - k) / stride + 1;
  return torch::im2col(ToNchw(x), {k, k}, {1, 1}, {pad, pad}, {stride, stride}).reshape({n, c, k * k, ho, wo}).permute({0, 3, 4, 2, 1}).reshape({n, ho, wo, k * k * c});
}

Tensor Shrink(const Tensor& x, int64_t height, int64_t width) {
  const int64_t n = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
  // Row i: the shares of the old pixels in the new pixel i, how far both reach over each other.
  const auto shares = [&](int64_t from, int64_t to) {
    const double scale = static_cast<double>(from) / static_cast<double>(to);
    const Tensor low = torch::arange(to, torch::kDouble).unsqueeze(1) * scale, pixel = torch::arange(from, torch::kDouble).unsqueeze(0);
    const Tensor reach = torch::minimum(low + scale, pixel + 1) - torch::maximum(low, pixel);
    return (reach.clamp_min(0) / scale).to(torch::kFloat).to(x.device());
  };
  const Tensor rows = torch::matmul(shares(h, height), x.reshape({n, h, w * c}));
  return torch::matmul(shares(w, width), rows.reshape({n * height, w, c})).reshape({n, height, width, c});
}

Tensor Fuse(const Tensor& image, const Tensor& mask, const Tensor& target) { return image * mask + (1 - mask) * target; }

Tensor WeightedL1(const Tensor& a, const Tensor& b, const Tensor& weight) { return ((a - b).abs() * weight).sum() / (3 * weight.sum() + 1); }

Tensor ReconstructionLoss(const Tensor& a, const Tensor& b, const Tensor& weight, const ReconstructionWeights& w) {
  const Tensor d = a - b;
  const auto mean = [](const Tensor& t) { return t.abs().flatten(1).mean(1); };
  const Tensor dx = d.slice(2, 1) - d.slice(2, 0, -1), dy = d.slice(1, 1) - d.slice(1, 0, -1);
  const auto cells = [&](int64_t side) { return d.reshape({d.size(0), d.size(1) / side, side, d.size(2) / side, side, 3}).mean({2, 4}); };
  const Tensor small = cells(2), chroma = small - small.mean(3, true);
  return (weight * (w.l1 * mean(d) + w.gradient * (mean(dx) + mean(dy)) + w.colour * mean(cells(16)) + w.chroma * mean(chroma))).sum() / d.size(0);
}

}  // namespace mfs::train::stock
