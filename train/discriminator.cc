#include "discriminator.h"

#include <cmath>

#include "ops.h"

namespace mfs::train {

using torch::Tensor;

namespace {
constexpr int kLayers = 4;
}

Discriminator::Discriminator(int width) {
  const int channels[kLayers + 1] = {3, width, 2 * width, 4 * width, 1};
  for (int i = 0; i < kLayers; ++i) {
    const int64_t k = i < 3 ? 4 : 3, depth = k * k * channels[i];
    const std::string name = "discriminator." + std::to_string(i);
    parameters_[name + ".weight"] = (torch::randn({channels[i + 1], depth}) / std::sqrt(static_cast<double>(depth))).set_requires_grad(true);
    parameters_[name + ".bias"] = torch::zeros({channels[i + 1]}).set_requires_grad(true);
    buffers_[name + ".u"] = torch::randn({channels[i + 1]});
  }
}

Tensor Discriminator::Run(const Tensor& image, bool update) {
  Tensor x = 2 * image - 1;
  for (int i = 0; i < kLayers; ++i) {
    const std::string name = "discriminator." + std::to_string(i);
    const Tensor& w = parameters_.at(name + ".weight");
    Tensor& u = buffers_.at(name + ".u");
    Tensor v;
    {
      torch::NoGradGuard guard;
      v = torch::mv(w.t(), u);
      v = v / v.norm().clamp_min(1e-12);
      if (update) {
        const Tensor next = torch::mv(w, v);
        u.copy_(next / next.norm().clamp_min(1e-12));
      }
    }
    const Tensor sigma = torch::dot(u.clone(), torch::mv(w, v));
    x = torch::matmul(i < 3 ? Patches(x, 4, 2, 1) : Patches(x, 3, 1, 1), (w / sigma).t()) + parameters_.at(name + ".bias");
    if (i + 1 < kLayers) x = torch::leaky_relu(x, 0.2);
  }
  return x;
}

}  // namespace mfs::train
