// PatchGAN with spectral norm: three strided 4x4 convolutions and a 3x3 one, a score per patch of about 40 pixels.
#ifndef MFS_TRAIN_DISCRIMINATOR_H_
#define MFS_TRAIN_DISCRIMINATOR_H_

#include <torch/torch.h>

#include <map>
#include <string>

namespace mfs::train {

class Discriminator {
 public:
  explicit Discriminator(int width = 32);
  // x [n,h,w,3] in [0,1] -> scores [n,h/8,w/8,1]. update: move the power iteration of the spectral norm on.
  torch::Tensor Run(const torch::Tensor& x, bool update);
  const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }
  const std::map<std::string, torch::Tensor>& buffers() const { return buffers_; }

 private:
  std::map<std::string, torch::Tensor> parameters_, buffers_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_DISCRIMINATOR_H_
