// The identity embedder as a differentiable network with fixed weights: for the identity loss and the perceptual loss.
#ifndef MFS_TRAIN_FROZEN_EMBEDDER_H_
#define MFS_TRAIN_FROZEN_EMBEDDER_H_

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "base/status.h"
#include "weights/model_store.h"

namespace mfs::train {

class FrozenEmbedder {
 public:
  // Reads the same ONNX file as the product's embedder.
  static StatusOr<std::unique_ptr<FrozenEmbedder>> Create(const ModelStore& store, const torch::Device& device = torch::kCPU);

  struct Output {
    torch::Tensor z;                      // [n,512], L2-normalised
    std::vector<torch::Tensor> features;  // channel-last maps at 28, 14, 14 and 7 pixels (ONNX tensors 362, 395, 471, 507)
  };
  // aligned: [n,112,112,3] RGB in [0,1].
  Output Run(const torch::Tensor& aligned) const;

 private:
  struct Layer {
    enum Kind { kConvolution, kDepthwise, kPointwise, kAdd, kGlobal } kind = kPointwise;
    int input = 0, other = 0, output = 0;  // slots
    int stride = 1;
    torch::Tensor weight, bias, slope;  // slope undefined: no activation
  };
  std::vector<Layer> layers_;
  std::vector<int> feature_slots_;
  int slots_ = 0;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_FROZEN_EMBEDDER_H_
