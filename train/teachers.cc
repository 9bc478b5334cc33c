#include "teachers.h"

#include <torch/script.h>

#include <cstdlib>
#include <sstream>

#include "base/file.h"
#include "face_cache.h"
#include "ops.h"
#include "swap_generator.h"

namespace mfs::train {

using torch::Tensor;

namespace {

class Net : public NetworkTeacher {
 public:
  Net(std::unique_ptr<SwapGenerator> generator, const torch::Device& device) : generator_(std::move(generator)), device_(device) {}
  StatusOr<Tensor> Run(const TeacherInput& input) override {
    torch::NoGradGuard guard;
    const int64_t size = generator_->shape().size;
    const Tensor out = generator_->Run(input.z.to(device_), Shrink(input.target.to(device_), size, size), false).cpu();
    return size == kCropSize ? out : torch::upsample_bilinear2d(out.permute({0, 3, 1, 2}), {kCropSize, kCropSize}, false).permute({0, 2, 3, 1}).contiguous();
  }

 private:
  std::unique_ptr<SwapGenerator> generator_;
  torch::Device device_;
};

class Script : public NetworkTeacher {
 public:
  Script(std::string path, torch::jit::Module module, const torch::Device& device) : path_(std::move(path)), module_(std::move(module)), device_(device) {}
  StatusOr<Tensor> Run(const TeacherInput& input) override {
    torch::NoGradGuard guard;
    const auto planes = [&](const Tensor& t) { return t.permute({0, 3, 1, 2}).contiguous().to(device_); };
    try {
      const torch::jit::IValue out = module_.forward({planes(input.source), planes(input.target)});
      if (out.isTensor() && out.toTensor().sizes() == at::IntArrayRef({input.target.size(0), 3, kCropSize, kCropSize})) {
        return out.toTensor().cpu().to(torch::kFloat).clamp(0, 1).permute({0, 2, 3, 1}).contiguous();
      }
    } catch (const std::exception& e) {
      const std::string what = e.what();
      return InvalidArgument(path_ + ": the teacher failed: " + what.substr(0, what.find('\n')));
    }
    return InvalidArgument(path_ + ": forward(source, target) must give one picture of [n,3,224,224]");
  }

 private:
  std::string path_;
  torch::jit::Module module_;
  torch::Device device_;
};

}  // namespace

StatusOr<TeacherSpec> ParseTeacher(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  TeacherSpec spec;
  if (kind == "net") {
    spec.kind = TeacherSpec::kNet;
  } else if (kind == "script") {
    spec.kind = TeacherSpec::kScript;
  } else if (kind != "mesh") {
    return InvalidArgument("teacher '" + text + "': must be mesh, net:FILE or script:FILE, with a weight behind a colon if there are several");
  }
  // What follows the last colon is the weight if it is a number.
  const size_t last = rest.rfind(':');
  const std::string tail = spec.kind == TeacherSpec::kMesh ? rest : last == std::string::npos ? "" : rest.substr(last + 1);
  if (!tail.empty()) {
    char* end = nullptr;
    const double weight = std::strtod(tail.c_str(), &end);
    if (*end == 0) {
      if (!(weight > 0) || weight > 1e6) return InvalidArgument("teacher '" + text + "': the weight must be above 0");
      spec.weight = weight;
      rest = spec.kind == TeacherSpec::kMesh ? "" : rest.substr(0, last);
    }
  }
  if (spec.kind == TeacherSpec::kMesh && !rest.empty()) return InvalidArgument("teacher '" + text + "': the mesh teacher has no file, only a weight");
  if (spec.kind != TeacherSpec::kMesh && rest.empty()) return InvalidArgument("teacher '" + text + "': " + kind + " needs a file, as in " + kind + ":FILE:0.3");
  spec.path = rest;
  return spec;
}

StatusOr<std::unique_ptr<NetworkTeacher>> LoadNetTeacher(const std::string& path, const torch::Device& device) {
  MFS_ASSIGN_OR_RETURN(auto generator, SwapGenerator::Load(path, device));
  return std::unique_ptr<NetworkTeacher>(std::make_unique<Net>(std::move(generator), device));
}

StatusOr<std::unique_ptr<NetworkTeacher>> LoadScriptTeacher(const std::string& path, const torch::Device& device) {
  if (!FileExists(path)) return NotFound(path + ": no such file");
  try {
    torch::jit::Module module = torch::jit::load(path, device);
    module.eval();
    return std::unique_ptr<NetworkTeacher>(std::make_unique<Script>(path, std::move(module), device));
  } catch (const std::exception&) {
    return CorruptData(path + ": no TorchScript module that this libtorch can read (torch.jit.script(model).save(...) writes one)");
  }
}

StatusOr<TeacherMix> TeacherMix::Create(const std::string& teachers, const torch::Device& device) {
  TeacherMix mix;
  std::istringstream texts(teachers.empty() ? "mesh" : teachers);
  for (std::string text; std::getline(texts, text, ',');) {
    MFS_ASSIGN_OR_RETURN(const TeacherSpec spec, ParseTeacher(text));
    mix.weights_.push_back(spec.weight);
    mix.index_.push_back(-1);
    if (spec.kind == TeacherSpec::kMesh) continue;
    MFS_ASSIGN_OR_RETURN(auto network, spec.kind == TeacherSpec::kNet ? LoadNetTeacher(spec.path, device) : LoadScriptTeacher(spec.path, device));
    mix.index_.back() = mix.networks();
    mix.networks_.push_back(std::move(network));
  }
  return mix;
}

int TeacherMix::Draw(std::mt19937_64* rng) {
  if (index_.size() == 1) return index_[0];
  return index_[std::discrete_distribution<int>(weights_.begin(), weights_.end())(*rng)];
}

}  // namespace mfs::train
