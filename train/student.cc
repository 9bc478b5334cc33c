#include "student.h"

#include <cmath>

#include "named_tensors.h"
#include "ops.h"
#include "weights/idn_weights.h"
#include "weights/safetensors.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr int kWidth = 128, kGroups = 8;
constexpr double kMapScale = 8, kEmbeddingScale = 8, kKernelScale = 0.3, kGain = 1.3, kModulationEps = 1e-8;
const char* const kSides[2] = {"encoder", "decoder"};
const std::string kDetail = "idn.head.detail";

int Blocks(const std::string& side) { return side == "encoder" ? 5 : 4; }
int In(const std::string& side, int i) { return side == "encoder" ? kEncoderChannels[i] : kDecoderIn[i]; }
int Out(const std::string& side, int i) { return side == "encoder" ? kEncoderChannels[i + 1] : kDecoderOut[i]; }
// What a file of the public architecture holds.
NamedTensors WithoutDetail(NamedTensors tensors) {
  for (const char* part : {".weight", ".bias"}) tensors.erase(kDetail + part);
  return tensors;
}
// Chain block k of the injection network predicts the kernels of this block.
int DynamicIndex(const std::string& side, int k) { return side == "encoder" ? 4 - k : k; }

}  // namespace

Tensor& Student::Add(const std::string& name, Tensor value) { return parameters_[name] = value.set_requires_grad(true); }

void Student::AddConv(const std::string& name, int64_t out, int64_t in, int64_t kernel, bool bias) {
  Add(name + ".weight", torch::randn({out, in, kernel, kernel}) * std::sqrt(2.0 / static_cast<double>(in * kernel * kernel)));
  if (bias) Add(name + ".bias", torch::zeros({out}));
}

void Student::AddNorm(const std::string& name, int64_t channels, bool running) {
  Add(name + ".weight", torch::ones({channels}));
  Add(name + ".bias", torch::zeros({channels}));
  if (!running) return;
  buffers_[name + ".running_mean"] = torch::zeros({channels});
  buffers_[name + ".running_var"] = torch::ones({channels});
}

Student::Student(uint64_t seed, const torch::Device& device, bool detail, Dynamics dynamics) : detail_(detail), dynamics_(dynamics) {
  torch::NoGradGuard guard;
  torch::manual_seed(seed);
  AddConv("iin.reduce", kWidth, 512, 1);
  AddConv("iin.first", kWidth, kWidth, 4);
  AddNorm("iin.first_norm", kWidth, false);
  AddConv("iin.first_decoder", kWidth, kWidth, 2);
  AddNorm("iin.first_decoder_norm", kWidth, false);
  for (const std::string side : kSides) {
    const int k = side == "encoder" ? 4 : 3;
    for (int i = 0; i < Blocks(side); ++i) {
      const std::string block = "iin." + side + "." + std::to_string(i), dynamic = side + "." + std::to_string(i);
      AddConv(block + ".conv", kWidth, kWidth, 3);
      AddNorm(block + ".norm", kWidth, false);
      AddConv(block + ".kernels", In(side, DynamicIndex(side, i)), kWidth, 3);
      Tensor base = torch::zeros({In(side, i), k, k});
      if (k == 4) {
        base.slice(1, 1, 3).slice(2, 1, 3).fill_(0.25);
      } else {
        base.select(1, 1).select(1, 1).fill_(1);
      }
      Add("iin.kernel_base." + dynamic, base);
      Add("iin.modulation." + dynamic + ".weight", torch::randn({In(side, i), 512}) * 0.01);
      Add("iin.modulation." + dynamic + ".bias", torch::zeros({In(side, i)}));
      Add("idn." + dynamic + ".pointwise.weight", torch::randn({Out(side, i), In(side, i)}) / std::sqrt(In(side, i)));
    }
  }
  const int head_in[3] = {32, 8, 3}, head_out[3] = {8, 3, 3};
  for (int i = 0; i < 3; ++i) {
    AddConv("idn.head.conv" + std::to_string(i), head_out[i], head_in[i], i == 0 ? 1 : 3);
    if (i < 2) AddNorm("idn.head.norm" + std::to_string(i), head_out[i], true);
  }
  Add(kDetail + ".weight", torch::zeros({kDetailChannels, kDecoderOut[3], 1, 1}));  // from zero: a model without it goes on as it was
  Add(kDetail + ".bias", torch::zeros({kDetailChannels}));
  for (int i = 0; i < 5; ++i) {
    const std::string name = "idn.fusion." + std::to_string(i);
    Tensor delta = torch::randn({kFusionChannels[i], 1, 3, 3}) * 0.1;
    delta.select(2, 1).select(2, 1) += 1;
    Add(name + ".depthwise.weight", delta);
    AddConv(name + ".pointwise", kFusionChannels[i + 1], kFusionChannels[i], 1);
    AddNorm(name + ".norm", kFusionChannels[i + 1], true);
  }
  AddConv("idn.fusion.out", 1, 2, 3);
  MoveTo(device, &parameters_);
  MoveTo(device, &buffers_);
  LeaveOut();
}

void Student::LeaveOut() {
  torch::NoGradGuard guard;
  const auto part = [&](const std::string& name) {
    const bool kernels = name.find(".kernels.") != std::string::npos, modulation = name.rfind("iin.modulation.", 0) == 0;
    return (kernels && dynamics_ == Dynamics::kModulation) || (modulation && dynamics_ == Dynamics::kPrediction);
  };
  for (auto& [name, t] : parameters_) {
    if (part(name)) t.zero_();
  }
}

Tensor Student::Convolve(const Tensor& x, const std::string& name, int pad) const {
  const Tensor& w = P(name + ".weight");
  const int k = static_cast<int>(w.size(2));
  // Few channels at full size: a matrix product; oneDNN has no fast kernel for them.
  if (k == 1 && w.size(0) % 16 != 0) return Pointwise(x, w.flatten(1), P(name + ".bias"));
  return Convolution(x, w, P(name + ".bias"), 1, pad);
}

Tensor Student::GroupNormLeaky(const Tensor& x, const std::string& name) const {
  const int64_t n = x.size(0), pixels = x.size(1) * x.size(2), c = x.size(3);
  const Tensor groups = x.reshape({n, pixels, kGroups, c / kGroups});
  const Tensor centred = groups - groups.mean({1, 3}, true);
  const Tensor normal = centred * torch::rsqrt((centred * centred).mean({1, 3}, true) + 1e-5);
  return torch::leaky_relu(normal.reshape(x.sizes()) * P(name + ".weight") + P(name + ".bias"), kLeakySlope);
}

Tensor Student::Norm(const Tensor& x, const std::string& name, bool training) {
  return BatchNormLeakyRelu(x, P(name + ".weight"), P(name + ".bias"), buffers_.at(name + ".running_mean"), buffers_.at(name + ".running_var"), training);
}

// LeakyReLU(d * (W @ depthwise(x, kernel * s))), composite normalisation: q_i = s_i |kernel_i|_1, d_o = 1.3 rsqrt(sum_i (W_oi q_i)^2 + eps).
Tensor Student::DynamicBlock(const Tensor& x, const std::string& which, const Tensor& predicted, const Tensor& z, int kernel, int stride) const {
  const Tensor base = P("iin.kernel_base." + which).flatten(1).t().unsqueeze(0);                                                  // [1,k*k,c]
  const Tensor taps = base + kKernelScale * (dynamics_ == Dynamics::kModulation ? predicted.detach() : predicted).flatten(1, 2);  // [n,k*k,c]
  const Tensor change = torch::matmul(kEmbeddingScale * z, P("iin.modulation." + which + ".weight").t()) + P("iin.modulation." + which + ".bias");
  const Tensor s = 1 + (dynamics_ == Dynamics::kPrediction ? change.detach() : change);
  const Tensor& w = P("idn." + which + ".pointwise.weight");
  const Tensor q = s * taps.abs().sum(1);
  const Tensor d = kGain * torch::rsqrt(torch::matmul(q * q, (w * w).t()) + kModulationEps);
  return ScaleLeakyRelu(Pointwise(Depthwise(x, taps * s.unsqueeze(1), kernel, stride), w), d);
}

std::pair<Tensor, Tensor> Student::HeadProduct(const Tensor& x) const {
  const std::string conv = "idn.head.conv0";
  const int64_t n = x.size(0), h = x.size(1), w = x.size(2), channels = P(conv + ".bias").size(0);
  // Sixteen outputs in one product, the last without a use: a vector's width.
  const Tensor none = torch::zeros({16 - channels - kDetailChannels, x.size(3)}, x.options());
  const Tensor weight = torch::cat({P(conv + ".weight").flatten(1), P(kDetail + ".weight").flatten(1), none});
  const Tensor bias = torch::cat({P(conv + ".bias"), P(kDetail + ".bias"), none.select(1, 0)});
  const std::vector<Tensor> parts = Pointwise(x, weight, bias).split_with_sizes({channels, kDetailChannels, 16 - channels - kDetailChannels}, 3);
  if (!detail_) return {parts[0], {}};
  return {parts[0], parts[1].reshape({n, h, w, 2, 2}).permute({0, 1, 3, 2, 4}).reshape({n, 2 * h, 2 * w, 1})};
}

Student::Output Student::Run(const Tensor& z, const Tensor& map, const Tensor& target, bool training) {
  const Tensor first = GroupNormLeaky(Convolve(torch::leaky_relu(Convolve(kMapScale * map, "iin.reduce", 0), kLeakySlope), "iin.first", 0), "iin.first_norm");
  std::map<std::string, Tensor> kernels;
  for (const std::string side : kSides) {
    Tensor state = side == "encoder" ? first : GroupNormLeaky(Convolve(first, "iin.first_decoder", 0), "iin.first_decoder_norm");
    for (int k = 0; k < Blocks(side); ++k) {
      const std::string block = "iin." + side + "." + std::to_string(k);
      state = GroupNormLeaky(Convolve(state, block + ".conv", 1), block + ".norm");
      kernels[side + "." + std::to_string(DynamicIndex(side, k))] = Convolve(state, block + ".kernels", 1);
    }
  }

  Tensor x = 2 * target - 1;
  std::vector<Tensor> skips;
  for (int i = 0; i < 5; ++i) {
    const std::string which = "encoder." + std::to_string(i);
    skips.push_back(x = DynamicBlock(x, which, kernels.at(which), z, 4, 2));
  }
  for (int i = 0; i < 4; ++i) {
    const std::string which = "decoder." + std::to_string(i);
    x = DynamicBlock(Upsample2(x), which, kernels.at(which), z, 3, 1);
    if (i < 3) x = torch::cat({x, skips[3 - i]}, 3);
  }
  const auto [head, detail] = HeadProduct(x);
  // The 1x1 convolution commutes with the doubling before it.
  x = Norm(Upsample2(head), "idn.head.norm0", training);
  x = Norm(SmallConv3x3(x, P("idn.head.conv1.weight"), P("idn.head.conv1.bias")), "idn.head.norm1", training);
  x = SmallConv3x3(x, P("idn.head.conv2.weight"), P("idn.head.conv2.bias"));
  if (detail_) x = x + detail;
  Output out;
  out.image = torch::sigmoid(2 * x);  // (1 + tanh x) / 2

  Tensor m = skips[4].detach();
  if (mask_gradient_ > 0) m = torch::lerp(m, skips[4], mask_gradient_);  // its values, a part of its gradient
  for (int i = 0; i < 5; ++i) {
    const std::string name = "idn.fusion." + std::to_string(i);
    const Tensor taps = P(name + ".depthwise.weight").flatten(1).t().unsqueeze(0);
    m = Norm(Convolve(Depthwise(Upsample2(m), taps, 3, 1), name + ".pointwise", 0), name + ".norm", training);
  }
  out.mask = torch::sigmoid(SmallConv3x3(m, P("idn.fusion.out.weight"), P("idn.fusion.out.bias")));
  return out;
}

Status Student::Load(const std::string& path) {
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  if (file.Metadata("normalisation") != "composite-l1" || file.Metadata("iin_norm") != "group8") {
    return CorruptData(path + ": not a slim model with composite normalisation; only those can be trained on");
  }
  const bool detail = file.Find(kDetail + ".weight") != nullptr;
  if (detail && !detail_) return InvalidArgument(path + ": has a detail branch; set \"detail\": 1");
  if (!detail) {
    torch::NoGradGuard guard;
    for (const char* part : {".weight", ".bias"}) parameters_.at(kDetail + part).zero_();
  }
  for (const NamedTensors& tensors : {detail ? parameters_ : WithoutDetail(parameters_), buffers_}) {
    const Status read = ReadTensors(file, tensors);
    if (!read.ok()) return read.WithPrefix(path + ": ");
  }
  LeaveOut();
  return Status::Ok();
}

Status Student::Save(const std::string& path, const std::map<std::string, std::string>& extra, DType matrices) const {
  SafetensorsWriter w;
  for (const auto& [key, value] : std::map<std::string, std::string>{{"format", "mobilefaceswap-model"},
                                                                     {"version", "1"},
                                                                     {"iin_norm", "group8"},
                                                                     {"normalisation", "composite-l1"},
                                                                     {"f_scale", "8"},
                                                                     {"z_scale", "8"},
                                                                     {"kernel_scale", "0.3"},
                                                                     {"demodulation_gain", "1.3"},
                                                                     {"modulation_eps", "1e-8"},
                                                                     {"norm_eps", "1e-5"},
                                                                     {"size", "224"}}) {
    w.SetMetadata(key, value);
  }
  for (const auto& [key, value] : extra) w.SetMetadata(key, value);
  const bool plain = (P(kDetail + ".weight") == 0).all().item<bool>();
  MFS_RETURN_IF_ERROR(AddTensors(plain ? WithoutDetail(parameters_) : parameters_, matrices, &w));
  MFS_RETURN_IF_ERROR(AddTensors(buffers_, matrices, &w));
  return w.Save(path);
}

}  // namespace mfs::train
