// PatchGAN with spectral norm: three strided 4x4 convolutions and a 3x3 one, a score per patch of about 40 pixels.
#ifndef MFS_TRAIN_DISCRIMINATOR_H_
#define MFS_TRAIN_DISCRIMINATOR_H_

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

namespace mfs::train {

class Discriminator {
 public:
  // name: in front of the names of its parameters.
  explicit Discriminator(int width = 32, const std::string& name = "discriminator", const torch::Device& device = torch::kCPU);

  enum class Use {
    kLearn,       // gradients for its weights; the power iteration of the spectral norm moves on
    kLearnStill,  // gradients for its weights; the power iteration stays
    kJudge,       // its weights are constants: for the network that it judges
  };
  // x [n,h,w,3] in [0,1] -> scores [n,h/8,w/8,1]. features: appended to, the maps behind the three strided convolutions.
  torch::Tensor Run(const torch::Tensor& x, Use use, std::vector<torch::Tensor>* features = nullptr);
  const std::map<std::string, torch::Tensor>& parameters() const { return parameters_; }
  const std::map<std::string, torch::Tensor>& buffers() const { return buffers_; }

 private:
  std::string name_;
  std::map<std::string, torch::Tensor> parameters_, buffers_;
};

// Hinge loss of a discriminator.
torch::Tensor HingeLoss(const torch::Tensor& real_scores, const torch::Tensor& fake_scores);

}  // namespace mfs::train

#endif  // MFS_TRAIN_DISCRIMINATOR_H_
