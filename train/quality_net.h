// Q: a ResNet-18 that tells how far a network teacher's training had come when it made a picture (0..1).
#ifndef MFS_TRAIN_QUALITY_NET_H_
#define MFS_TRAIN_QUALITY_NET_H_

#include <torch/torch.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "named_tensors.h"

namespace mfs::train {

class QualityNet {
 public:
  static constexpr int kSize = 128;  // pixels it looks at

  explicit QualityNet(uint64_t seed, const torch::Device& device = torch::kCPU);
  // A file that Save wrote. Errors: kNotFound, kCorruptData.
  static StatusOr<std::unique_ptr<QualityNet>> Load(const std::string& path, const torch::Device& device = torch::kCPU);
  // image [n,h,w,3] RGB in [0,1], shrunk to 128 x 128 when larger -> [n], a sigmoid's output.
  torch::Tensor Run(const torch::Tensor& image, bool training);
  const NamedTensors& parameters() const { return parameters_; }
  const NamedTensors& buffers() const { return buffers_; }
  // Matrices fp16, vectors fp32; whole or not at all.
  Status Save(const std::string& path, const std::map<std::string, std::string>& extra_metadata) const;

 private:
  void AddConv(const std::string& name, int64_t out, int64_t in, int64_t kernel);
  torch::Tensor ConvNorm(const torch::Tensor& x, const std::string& name, int stride, bool training);

  NamedTensors parameters_, buffers_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_QUALITY_NET_H_
