// Parameters in one flat buffer: one exchange between processes, one clipping, one Adam step for all of them.
#ifndef MFS_TRAIN_OPTIMISER_H_
#define MFS_TRAIN_OPTIMISER_H_

#include <torch/torch.h>

#include <map>
#include <string>

namespace mfs::train {

struct AdamOptions {
  double beta1 = 0.5, beta2 = 0.99, eps = 1e-8, clip = 0;  // clip: largest norm of the gradient, 0: none
};

// Adam (Kingma & Ba 2015). The parameters become views of its buffer.
class FlatAdam {
 public:
  FlatAdam(const std::map<std::string, torch::Tensor>& parameters, const AdamOptions& options);
  void ZeroGradient() { gradient_.zero_(); }
  torch::Tensor& gradient() { return gradient_; }
  // Norm of the gradient before clipping. Where that is no number, nothing is changed.
  double Step(double learning_rate);

  // Values, both moments and the count of steps, to store and to restore.
  torch::Tensor values, first, second;
  int64_t steps = 0;

 private:
  AdamOptions options_;
  torch::Tensor gradient_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_OPTIMISER_H_
