// The student while it is trained: slim injection network and identity-aware dynamic network (network.md, docs/method.md), with the
// modulation factored so that the whole batch, each sample with weights of its own, runs through shared matrix products.
#ifndef MFS_TRAIN_STUDENT_H_
#define MFS_TRAIN_STUDENT_H_

#include <torch/torch.h>

#include <map>
#include <string>

#include "base/status.h"
#include "weights/safetensors.h"

namespace mfs::train {

// What a person's photo changes in the network (the paper's ablation): depthwise kernels and pointwise scales, or one of them. What is left out stays at zero, so the
// weight file is of the same format.
enum class Dynamics { kBoth, kPrediction, kModulation };

class Student {
 public:
  // Fresh weights: base kernels are a 2x2 mean (encoder) and the identity (decoder).
  // detail: with the detail branch (docs/method.md): a 1x1 of the last decoder map to 4 channels, laid out as 2x2 pixels at
  // full size (DepthToSpace) and added to all three colours before the tanh. It starts at zero; without it, the public architecture.
  explicit Student(uint64_t seed, const torch::Device& device = torch::kCPU, bool detail = true, Dynamics dynamics = Dynamics::kBoth);

  struct Output {
    torch::Tensor image;  // [n,h,w,3] RGB in [0,1], before the fusion
    torch::Tensor mask;   // [n,h,w,1]
  };
  // The share of the mask's gradient that reaches the encoder whose last map it is made from, 0 to 1; 0 at the beginning: then only the image decides what that map holds.
  void set_mask_gradient(double share) { mask_gradient_ = share; }
  // z [n,512]; map [n,7,7,512] channel-last; target [n,h,w,3] RGB in [0,1], h and w multiples of 32.
  Output Run(const torch::Tensor& z, const torch::Tensor& map, const torch::Tensor& target, bool training);

  // By the names of the weight file (docs/models.md). Parameters require gradients, buffers (running statistics) do not.
  const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }
  const std::map<std::string, torch::Tensor>& buffers() const { return buffers_; }

  // A file without the detail branch leaves it at zero. Errors: kNotFound, kCorruptData (another architecture), kInvalidArgument (a
  // detail branch that this student lacks).
  Status Load(const std::string& path);
  // Matrices and kernels as `matrices`, fp32 vectors, and the metadata that mfs needs; whole or not at all.
  Status Save(const std::string& path, const std::map<std::string, std::string>& extra_metadata, DType matrices = DType::kF16) const;

 private:
  // Sets what `dynamics` leaves out to zero; DynamicBlock gives it no gradient.
  void LeaveOut();
  torch::Tensor& Add(const std::string& name, torch::Tensor value);
  void AddConv(const std::string& name, int64_t out, int64_t in, int64_t kernel, bool bias = true);
  void AddNorm(const std::string& name, int64_t channels, bool running);
  const torch::Tensor& P(const std::string& name) const { return parameters_.at(name); }
  torch::Tensor Convolve(const torch::Tensor& x, const std::string& name, int pad) const;
  torch::Tensor GroupNormLeaky(const torch::Tensor& x, const std::string& name) const;
  torch::Tensor Norm(const torch::Tensor& x, const std::string& name, bool training);
  torch::Tensor DynamicBlock(const torch::Tensor& x, const std::string& which, const torch::Tensor& predicted, const torch::Tensor& z, int kernel, int stride) const;
  // Decoder's last map [n,h,w,32] -> the head's first product [n,h,w,8] and the detail [n,2h,2w,1], undefined without the branch.
  std::pair<torch::Tensor, torch::Tensor> HeadProduct(const torch::Tensor& x) const;

  const bool detail_;
  const Dynamics dynamics_;
  double mask_gradient_ = 0;
  std::map<std::string, torch::Tensor> parameters_, buffers_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_STUDENT_H_
