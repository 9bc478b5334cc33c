#include "parser_net.h"

#include <cmath>

#include "ops.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr double kNormEps = 1e-5, kNormMomentum = 0.02;

ParserBlock DecoderBlock(const ParserStep& s, int r) { return {r == 0 ? 2 * s.out : s.out, s.out, 1}; }

}  // namespace

void ParserNet::AddConv(const std::string& name, at::IntArrayRef shape) {
  int64_t fan = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan *= shape[i];
  parameters_[name + ".weight"] = (torch::randn(shape) * std::sqrt(2.0 / static_cast<double>(fan))).set_requires_grad(true);
  if (name == "head") {
    parameters_[name + ".bias"] = torch::zeros({shape[0]}).set_requires_grad(true);
    return;
  }
  parameters_[name + ".norm.weight"] = torch::ones({shape[0]}).set_requires_grad(true);
  parameters_[name + ".norm.bias"] = torch::zeros({shape[0]}).set_requires_grad(true);
  buffers_[name + ".norm.running_mean"] = torch::zeros({shape[0]});
  buffers_[name + ".norm.running_var"] = torch::ones({shape[0]});
}

void ParserNet::AddBlock(const std::string& name, const ParserBlock& shape) {
  Tensor delta = torch::randn({shape.in, 3, 3}) * 0.2;
  delta.select(1, 1).select(1, 1) += 0.5;
  parameters_[name + ".depthwise.weight"] = delta.set_requires_grad(true);
  AddConv(name + ".pointwise", {shape.out, shape.in});
}

ParserNet::ParserNet(uint64_t seed) {
  torch::NoGradGuard guard;
  torch::manual_seed(seed);
  AddConv("stem", {kParserStem, 3, 3, 3});
  for (size_t i = 0; i < kParserEncoder.size(); ++i) AddBlock("encoder." + std::to_string(i), kParserEncoder[i]);
  for (size_t i = 0; i < kParserDecoder.size(); ++i) {
    const ParserStep& s = kParserDecoder[i];
    const std::string name = "decoder." + std::to_string(i);
    AddConv(name + ".narrow", {s.out, s.in});
    for (int r = 0; r <= s.refine; ++r) AddBlock(name + ".block." + std::to_string(r), DecoderBlock(s, r));
  }
  AddConv("head", {kParserLogits, kParserStem});
}

Tensor ParserNet::Normalise(const Tensor& x, const std::string& name, bool training) {
  return BatchNormLeakyRelu(x, P(name + ".norm.weight"), P(name + ".norm.bias"), buffers_.at(name + ".norm.running_mean"), buffers_.at(name + ".norm.running_var"), training, kNormMomentum, kNormEps);
}

Tensor ParserNet::Block(const Tensor& x, const std::string& name, const ParserBlock& shape, bool training) {
  const Tensor taps = P(name + ".depthwise.weight").flatten(1).t().unsqueeze(0);
  const Tensor y = Normalise(torch::matmul(Depthwise(x, taps, 3, shape.stride), P(name + ".pointwise.weight").t()), name + ".pointwise", training);
  return shape.residual() ? x + y : y;
}

Tensor ParserNet::Run(const Tensor& image, bool training) {
  const Tensor& stem = P("stem.weight");
  Tensor x = Normalise(torch::matmul(Patches(2 * image - 1, 3, 2, 1), stem.permute({2, 3, 1, 0}).reshape({-1, kParserStem})), "stem", training);
  const Tensor first = x;
  std::vector<Tensor> maps;
  for (size_t i = 0; i < kParserEncoder.size(); ++i) maps.push_back(x = Block(x, "encoder." + std::to_string(i), kParserEncoder[i], training));
  for (size_t i = 0; i < kParserDecoder.size(); ++i) {
    const ParserStep& s = kParserDecoder[i];
    const std::string name = "decoder." + std::to_string(i);
    x = Normalise(torch::matmul(x, P(name + ".narrow.weight").t()), name + ".narrow", training);
    x = torch::cat({Upsample2(x), kParserSkips[i] < 0 ? first : maps[kParserSkips[i]]}, 3);
    for (int r = 0; r <= s.refine; ++r) x = Block(x, name + ".block." + std::to_string(r), DecoderBlock(s, r), training);
  }
  return torch::matmul(x, P("head.weight").t()) + P("head.bias");
}

Status ParserNet::Save(const std::string& path, const std::map<std::string, std::string>& extra, DType matrices) const {
  torch::NoGradGuard guard;
  SafetensorsWriter w;
  w.SetMetadata("format", "mobilefaceswap-parser");
  w.SetMetadata("version", "1");
  for (const auto& [key, value] : extra) w.SetMetadata(key, value);
  const auto add = [&](const std::string& name, const Tensor& values) {
    const Tensor t = values.detach().contiguous();
    return w.Add(name, t.sizes().vec(), t.data_ptr<float>(), t.dim() > 1 ? matrices : DType::kF32);
  };
  const std::string suffix = ".weight";
  for (const auto& [name, weight] : parameters_) {
    if (name.find(".norm.") != std::string::npos || name == "head.bias") continue;
    const std::string base = name.substr(0, name.size() - suffix.size());
    const auto norm = parameters_.find(base + ".norm.weight");
    if (norm == parameters_.end()) {  // a depthwise kernel, or the head
      MFS_RETURN_IF_ERROR(add(name, weight));
      if (base == "head") MFS_RETURN_IF_ERROR(add("head.bias", P("head.bias")));
      continue;
    }
    const Tensor scale = norm->second / torch::sqrt(buffers_.at(base + ".norm.running_var") + kNormEps);
    std::vector<int64_t> shape(weight.dim(), 1);
    shape[0] = -1;
    MFS_RETURN_IF_ERROR(add(name, weight * scale.reshape(shape)));
    MFS_RETURN_IF_ERROR(add(base + ".bias", P(base + ".norm.bias") - buffers_.at(base + ".norm.running_mean") * scale));
  }
  return w.Save(path);
}

}  // namespace mfs::train
