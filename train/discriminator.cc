#include "discriminator.h"

#include <cmath>

#include "named_tensors.h"
#include "ops.h"

namespace mfs::train {

using torch::Tensor;

namespace {
constexpr int kLayers = 4;
}

Discriminator::Discriminator(int width, const std::string& name, const torch::Device& device) : name_(name + ".") {
  const int channels[kLayers + 1] = {3, width, 2 * width, 4 * width, 1};
  for (int i = 0; i < kLayers; ++i) {
    const int64_t k = i < 3 ? 4 : 3, depth = k * k * channels[i];
    const std::string layer = name_ + std::to_string(i);
    parameters_[layer + ".weight"] = (torch::randn({channels[i + 1], depth}) / std::sqrt(static_cast<double>(depth))).set_requires_grad(true);
    parameters_[layer + ".bias"] = torch::zeros({channels[i + 1]}).set_requires_grad(true);
    buffers_[layer + ".u"] = torch::randn({channels[i + 1]});
  }
  MoveTo(device, &parameters_);
  MoveTo(device, &buffers_);
}

Tensor Discriminator::Run(const Tensor& image, Use use, std::vector<Tensor>* features) {
  Tensor x = 2 * image - 1;
  for (int i = 0; i < kLayers; ++i) {
    const std::string layer = name_ + std::to_string(i);
    Tensor w = parameters_.at(layer + ".weight"), bias = parameters_.at(layer + ".bias");
    if (use == Use::kJudge) w = w.detach(), bias = bias.detach();
    Tensor& u = buffers_.at(layer + ".u");
    Tensor v;
    {
      torch::NoGradGuard guard;
      v = torch::mv(w.t(), u);
      v = v / v.norm().clamp_min(1e-12);
      if (use == Use::kLearn) {
        const Tensor next = torch::mv(w, v);
        u.copy_(next / next.norm().clamp_min(1e-12));
      }
    }
    const Tensor sigma = torch::dot(u.clone(), torch::mv(w, v));
    const int k = i < 3 ? 4 : 3;
    // The rows of w are taps by channels.
    x = Convolution(x, (w / sigma).reshape({w.size(0), k, k, -1}).permute({0, 3, 1, 2}), bias, i < 3 ? 2 : 1, 1);
    if (i + 1 == kLayers) break;
    x = torch::leaky_relu(x, 0.2);
    if (features != nullptr) features->push_back(x);
  }
  return x;
}

Tensor HingeLoss(const Tensor& real, const Tensor& fake) { return torch::relu(1 - real).mean() + torch::relu(1 + fake).mean(); }

}  // namespace mfs::train
