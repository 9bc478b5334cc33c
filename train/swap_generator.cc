#include "swap_generator.h"

#include <cmath>
#include <cstdlib>

#include "named_tensors.h"
#include "ops.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr char kGeneratorFormat[] = "mobilefaceswap-net-teacher";
constexpr int kScales = 3;                   // halvings of the encoder
constexpr double kStyleScale = 8;            // z has unit length: its values are small
constexpr double kGeneratorMomentum = 0.05;  // of the running statistics: short runs
constexpr int64_t kEmbedding = 512;

std::string Numbered(const char* name, int i) { return std::string(name) + "." + std::to_string(i); }

}  // namespace

void SwapGenerator::AddConv(const std::string& name, int64_t out, int64_t in, int64_t kernel) {
  parameters_[name + ".weight"] = (torch::randn({out, in, kernel, kernel}) * std::sqrt(2.0 / static_cast<double>(in * kernel * kernel))).set_requires_grad(true);
  parameters_[name + ".bias"] = torch::zeros({out}).set_requires_grad(true);
}

// gain = 1 + (first half), bias = second half.
void SwapGenerator::AddStyle(const std::string& name, int64_t channels) {
  parameters_[name + ".weight"] = (torch::randn({2 * channels, kEmbedding}) * 0.02).set_requires_grad(true);
  parameters_[name + ".bias"] = torch::zeros({2 * channels}).set_requires_grad(true);
}

SwapGenerator::SwapGenerator(const GeneratorShape& shape, uint64_t seed, const torch::Device& device) : shape_(shape) {
  torch::NoGradGuard guard;
  torch::manual_seed(seed);
  const auto with_norm = [&](const std::string& name, int64_t out, int64_t in) {
    AddConv(name, out, in, 3);
    parameters_[name + ".norm.weight"] = torch::ones({out}).set_requires_grad(true);
    parameters_[name + ".norm.bias"] = torch::zeros({out}).set_requires_grad(true);
    buffers_[name + ".norm.running_mean"] = torch::zeros({out});
    buffers_[name + ".norm.running_var"] = torch::ones({out});
  };
  const int64_t w = shape.width, deep = w << kScales;
  with_norm("stem", w, 3);
  for (int i = 0; i < kScales; ++i) with_norm(Numbered("down", i), w << (i + 1), w << i);
  for (int i = 0; i < shape.blocks; ++i) {
    for (int k = 0; k < 2; ++k) {
      const std::string name = Numbered("identity", i) + "." + std::to_string(k);
      AddConv(name, deep, deep, 3);
      AddStyle(name + ".style", deep);
    }
  }
  for (int i = 0; i < kScales; ++i) with_norm(Numbered("up", i), deep >> (i + 1), deep >> i);
  AddConv("out", 3, w, 3);
  MoveTo(device, &parameters_);
  MoveTo(device, &buffers_);
}

Tensor SwapGenerator::Conv(const Tensor& x, const std::string& name, int stride) const { return Convolution(x, P(name + ".weight"), P(name + ".bias"), stride, 1); }

Tensor SwapGenerator::ConvNorm(const Tensor& x, const std::string& name, int stride, bool training) {
  const std::string norm = name + ".norm.";
  return BatchNormLeakyRelu(Conv(x, name, stride), P(norm + "weight"), P(norm + "bias"), buffers_.at(norm + "running_mean"), buffers_.at(norm + "running_var"), training, kGeneratorMomentum);
}

Tensor SwapGenerator::AdaptiveNorm(const Tensor& x, const Tensor& z, const std::string& name) const {
  const Tensor style = torch::matmul(kStyleScale * z, P(name + ".weight").t()) + P(name + ".bias");
  const int64_t n = x.size(0), c = x.size(3);
  const Tensor centred = x - x.mean({1, 2}, true);
  const Tensor gain = (1 + style.slice(1, 0, c)).reshape({n, 1, 1, c}) * torch::rsqrt(centred.square().mean({1, 2}, true) + 1e-5);
  return centred * gain + style.slice(1, c).reshape({n, 1, 1, c});
}

Tensor SwapGenerator::Run(const Tensor& z, const Tensor& target, bool training) {
  Tensor x = ConvNorm(2 * target - 1, "stem", 1, training);
  for (int i = 0; i < kScales; ++i) x = ConvNorm(x, Numbered("down", i), 2, training);
  for (int i = 0; i < shape_.blocks; ++i) {
    const std::string first = Numbered("identity", i) + ".0", second = Numbered("identity", i) + ".1";
    const Tensor y = torch::relu(AdaptiveNorm(Conv(x, first, 1), z, first + ".style"));
    x = x + AdaptiveNorm(Conv(y, second, 1), z, second + ".style");
  }
  for (int i = 0; i < kScales; ++i) x = ConvNorm(Upsample2(x), Numbered("up", i), 1, training);
  return torch::sigmoid(2 * Conv(x, "out", 1));  // (1 + tanh x) / 2
}

Status SwapGenerator::Save(const std::string& path, int steps, int total_steps) const {
  SafetensorsWriter w;
  w.SetMetadata("format", kGeneratorFormat);
  w.SetMetadata("size", std::to_string(shape_.size));
  w.SetMetadata("width", std::to_string(shape_.width));
  w.SetMetadata("blocks", std::to_string(shape_.blocks));
  w.SetMetadata("steps", std::to_string(steps));
  w.SetMetadata("total_steps", std::to_string(total_steps));
  MFS_RETURN_IF_ERROR(AddTensors(parameters_, DType::kF16, &w));
  MFS_RETURN_IF_ERROR(AddTensors(buffers_, DType::kF16, &w));
  return w.Save(path);
}

StatusOr<std::unique_ptr<SwapGenerator>> SwapGenerator::Load(const std::string& path, const torch::Device& device) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  if (file.Metadata("format") != kGeneratorFormat) return CorruptData(path + ": no network teacher; mfs-train teacher-net makes them");
  const auto number = [&](const char* key, int least, int most) {
    const int v = std::atoi(file.Metadata(key).c_str());
    return v < least || v > most ? -1 : v;
  };
  const GeneratorShape shape{number("size", 16, 1024), number("width", 1, 256), number("blocks", 1, 64)};
  if (shape.size < 0 || shape.width < 0 || shape.blocks < 0) return CorruptData(path + ": the network teacher's shape is damaged");
  auto g = std::make_unique<SwapGenerator>(shape, 1, device);
  g->steps_ = number("steps", 0, 1000000000), g->total_steps_ = number("total_steps", 1, 1000000000);
  if (g->steps_ < 0 || g->total_steps_ < 0) return CorruptData(path + ": the network teacher's count of steps is damaged");
  for (const NamedTensors* tensors : {&g->parameters_, &g->buffers_}) {
    const Status read = ReadTensors(file, *tensors);
    if (!read.ok()) return CorruptData(path + ": the network teacher is damaged (" + read.message() + ")");
  }
  return g;
}

}  // namespace mfs::train
