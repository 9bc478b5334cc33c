#include "optimiser.h"

#include <cmath>

namespace mfs::train {

FlatAdam::FlatAdam(const std::map<std::string, torch::Tensor>& parameters, const AdamOptions& options) : options_(options) {
  torch::NoGradGuard guard;
  int64_t count = 0;
  for (const auto& [name, p] : parameters) count += p.numel();
  const auto where = torch::TensorOptions().device(parameters.empty() ? torch::Device(torch::kCPU) : parameters.begin()->second.device());
  values = torch::empty({count}, where);
  gradient_ = torch::zeros({count}, where);
  first = torch::zeros({count}, where);
  second = torch::zeros({count}, where);
  int64_t at = 0;
  for (const auto& [name, p] : parameters) {
    torch::Tensor parameter = p;
    const torch::Tensor view = values.slice(0, at, at + p.numel()).view(p.sizes());
    view.copy_(p);
    parameter.set_data(view);
    parameter.mutable_grad() = gradient_.slice(0, at, at + p.numel()).view(p.sizes());
    at += p.numel();
  }
}

double FlatAdam::Step(double learning_rate) {
  torch::NoGradGuard guard;
  const double norm = gradient_.norm().item<double>();
  if (!std::isfinite(norm)) return norm;
  if (options_.clip > 0 && norm > options_.clip) gradient_ *= options_.clip / norm;
  ++steps;
  first.lerp_(gradient_, 1 - options_.beta1);
  second.mul_(options_.beta2).addcmul_(gradient_, gradient_, 1 - options_.beta2);
  const double correct1 = 1 - std::pow(options_.beta1, steps), correct2 = 1 - std::pow(options_.beta2, steps);
  values.addcdiv_(first, second.sqrt().mul_(1 / std::sqrt(correct2)).add_(options_.eps), -learning_rate / correct1);
  return norm;
}

}  // namespace mfs::train
