#include "quality_net.h"

#include <cmath>

#include "ops.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr char kQualityFormat[] = "mobilefaceswap-quality";
constexpr int kStages = 4, kBlocks = 2;  // ResNet-18
constexpr int64_t kChannels[kStages + 1] = {64, 64, 128, 256, 512};
constexpr double kQualityMomentum = 0.1, kEps = 1e-5;

std::string BlockName(int stage, int block) { return "layer" + std::to_string(stage + 1) + "." + std::to_string(block); }

}  // namespace

void QualityNet::AddConv(const std::string& name, int64_t out, int64_t in, int64_t kernel) {
  parameters_[name + ".weight"] = (torch::randn({out, in, kernel, kernel}) * std::sqrt(2.0 / static_cast<double>(out * kernel * kernel))).set_requires_grad(true);
  parameters_[name + ".norm.weight"] = torch::ones({out}).set_requires_grad(true);
  parameters_[name + ".norm.bias"] = torch::zeros({out}).set_requires_grad(true);
  buffers_[name + ".norm.running_mean"] = torch::zeros({out});
  buffers_[name + ".norm.running_var"] = torch::ones({out});
}

QualityNet::QualityNet(uint64_t seed, const torch::Device& device) {
  torch::NoGradGuard guard;
  torch::manual_seed(seed);
  AddConv("stem", kChannels[0], 3, 7);
  for (int s = 0; s < kStages; ++s) {
    for (int b = 0; b < kBlocks; ++b) {
      const int64_t in = b == 0 ? kChannels[s] : kChannels[s + 1], out = kChannels[s + 1];
      AddConv(BlockName(s, b) + ".conv0", out, in, 3);
      AddConv(BlockName(s, b) + ".conv1", out, out, 3);
      if (in != out) AddConv(BlockName(s, b) + ".shortcut", out, in, 1);
    }
  }
  parameters_["head.weight"] = (torch::randn({1, kChannels[kStages]}) * 0.01).set_requires_grad(true);
  parameters_["head.bias"] = torch::zeros({1}).set_requires_grad(true);
  MoveTo(device, &parameters_);
  MoveTo(device, &buffers_);
}

Tensor QualityNet::ConvNorm(const Tensor& x, const std::string& name, int stride, bool training) {
  const Tensor& w = parameters_.at(name + ".weight");
  const Tensor y = Convolution(x, w, {}, stride, static_cast<int>(w.size(2)) / 2);
  return torch::batch_norm(y.permute({0, 3, 1, 2}), parameters_.at(name + ".norm.weight"), parameters_.at(name + ".norm.bias"), buffers_.at(name + ".norm.running_mean"),
                           buffers_.at(name + ".norm.running_var"), training, kQualityMomentum, kEps, false)
      .permute({0, 2, 3, 1});
}

Tensor QualityNet::Run(const Tensor& image, bool training) {
  Tensor x = torch::relu(ConvNorm(2 * Shrink(image, kSize, kSize) - 1, "stem", 2, training));
  x = torch::max_pool2d(x.permute({0, 3, 1, 2}), 3, 2, 1).permute({0, 2, 3, 1});
  for (int s = 0; s < kStages; ++s) {
    for (int b = 0; b < kBlocks; ++b) {
      const std::string name = BlockName(s, b);
      const bool wider = parameters_.count(name + ".shortcut.weight") != 0;
      const int stride = wider ? 2 : 1;
      const Tensor y = ConvNorm(torch::relu(ConvNorm(x, name + ".conv0", stride, training)), name + ".conv1", 1, training);
      x = torch::relu(y + (wider ? ConvNorm(x, name + ".shortcut", stride, training) : x));
    }
  }
  return torch::sigmoid(torch::matmul(x.mean({1, 2}), parameters_.at("head.weight").t()) + parameters_.at("head.bias")).squeeze(1);
}

Status QualityNet::Save(const std::string& path, const std::map<std::string, std::string>& extra) const {
  SafetensorsWriter w;
  w.SetMetadata("format", kQualityFormat);
  w.SetMetadata("version", "1");
  for (const auto& [key, value] : extra) w.SetMetadata(key, value);
  MFS_RETURN_IF_ERROR(AddTensors(parameters_, DType::kF16, &w));
  MFS_RETURN_IF_ERROR(AddTensors(buffers_, DType::kF16, &w));
  return w.Save(path);
}

StatusOr<std::unique_ptr<QualityNet>> QualityNet::Load(const std::string& path, const torch::Device& device) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  if (file.Metadata("format") != kQualityFormat || file.Metadata("version") != "1") return CorruptData(path + ": no quality scorer; mfs-train quality makes one");
  auto net = std::make_unique<QualityNet>(1, device);
  for (const NamedTensors* tensors : {&net->parameters_, &net->buffers_}) {
    const Status read = ReadTensors(file, *tensors);
    if (!read.ok()) return CorruptData(path + ": the quality scorer is damaged (" + read.message() + ")");
  }
  return net;
}

}  // namespace mfs::train
