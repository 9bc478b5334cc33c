// Named tensors from and to safetensors files.
#ifndef MFS_TRAIN_NAMED_TENSORS_H_
#define MFS_TRAIN_NAMED_TENSORS_H_

#include <torch/torch.h>

#include <map>
#include <string>

#include "base/status.h"
#include "weights/safetensors.h"

namespace mfs::train {

using NamedTensors = std::map<std::string, torch::Tensor>;

// Parameters and buffers of a network, to another device.
inline void MoveTo(const torch::Device& device, NamedTensors* tensors) {
  for (auto& [name, t] : *tensors) t = t.detach().to(device).set_requires_grad(t.requires_grad());
}

// Matrices and kernels as `matrices`, vectors fp32.
inline Status AddTensors(const NamedTensors& tensors, DType matrices, SafetensorsWriter* w) {
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor t = tensor.detach().cpu().contiguous();
    MFS_RETURN_IF_ERROR(w->Add(name, t.sizes().vec(), t.data_ptr<float>(), t.dim() > 1 ? matrices : DType::kF32));
  }
  return Status::Ok();
}

// Into the tensors' memory. Errors: kCorruptData (missing, another shape), kNotFound.
inline Status ReadTensors(const SafetensorsFile& file, const NamedTensors& tensors) {
  torch::NoGradGuard guard;
  for (const auto& [name, tensor] : tensors) {
    MFS_ASSIGN_OR_RETURN(std::vector<float> values, file.ReadFloat(name, tensor.sizes().vec()));
    torch::Tensor to = tensor;
    to.copy_(torch::from_blob(values.data(), to.sizes()));
  }
  return Status::Ok();
}

}  // namespace mfs::train

#endif  // MFS_TRAIN_NAMED_TENSORS_H_
