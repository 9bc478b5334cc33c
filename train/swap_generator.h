// The network teacher's generator, after SimSwap (Chen et al. 2020): an encoder without skips, identity blocks whose instance norms are
// steered by the source's embedding (AdaIN), a decoder.
#ifndef MFS_TRAIN_SWAP_GENERATOR_H_
#define MFS_TRAIN_SWAP_GENERATOR_H_

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>

#include "base/status.h"

namespace mfs::train {

struct GeneratorShape {
  int size = 128;  // pixels it is trained at, a multiple of 16
  int width = 24;  // channels behind the first convolution, 2, 4 and 8 times as many behind the next three (stride 2 each)
  int blocks = 4;  // identity blocks of two convolutions
};

class SwapGenerator {
 public:
  SwapGenerator(const GeneratorShape& shape, uint64_t seed, const torch::Device& device = torch::kCPU);
  // A file that Save wrote. Errors: kNotFound, kCorruptData (cut or no generator).
  static StatusOr<std::unique_ptr<SwapGenerator>> Load(const std::string& path, const torch::Device& device = torch::kCPU);

  // z [n,512]; target [n,h,w,3] RGB in [0,1], h and w multiples of 8 -> the same shape.
  torch::Tensor Run(const torch::Tensor& z, const torch::Tensor& target, bool training);

  const GeneratorShape& shape() const { return shape_; }
  int steps() const { return steps_; }  // of the training behind the loaded file
  int total_steps() const { return total_steps_; }
  const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }
  const std::map<std::string, torch::Tensor>& buffers() const { return buffers_; }
  // Matrices fp16, vectors fp32; whole or not at all.
  Status Save(const std::string& path, int steps, int total_steps) const;

 private:
  void AddConv(const std::string& name, int64_t out, int64_t in, int64_t kernel);
  void AddStyle(const std::string& name, int64_t channels);
  const torch::Tensor& P(const std::string& name) const { return parameters_.at(name); }
  torch::Tensor Conv(const torch::Tensor& x, const std::string& name, int stride) const;
  torch::Tensor ConvNorm(const torch::Tensor& x, const std::string& name, int stride, bool training);
  torch::Tensor AdaptiveNorm(const torch::Tensor& x, const torch::Tensor& z, const std::string& name) const;

  GeneratorShape shape_;
  int steps_ = 0, total_steps_ = 0;
  std::map<std::string, torch::Tensor> parameters_, buffers_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_SWAP_GENERATOR_H_
