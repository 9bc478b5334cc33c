// A network of the product (nn/graph.h) as a differentiable one with fixed weights.
#ifndef MFS_TRAIN_FROZEN_NET_H_
#define MFS_TRAIN_FROZEN_NET_H_

#include <torch/torch.h>

#include <vector>

#include "base/status.h"
#include "nn/graph.h"

namespace mfs::train {

class FrozenNet {
 public:
  // Errors: kUnsupported (a kind of layer that has no differentiable form here: group norm, upsampling).
  static StatusOr<FrozenNet> Create(const Graph& graph, const torch::Device& device = torch::kCPU);

  // x: [n,height,width,channels] as the graph's input. One channel-last map for each of the graph's outputs.
  std::vector<torch::Tensor> Run(const torch::Tensor& x) const;

 private:
  struct Layer {
    LayerOp op = LayerOp::kInput;
    std::vector<int> inputs;
    Window window;
    int channels = 0;            // of the output
    torch::Tensor weight, bias;  // convolutions: [out, in / groups, height, width]; [out]
    int64_t groups = 1;
    Activation activation = Activation::kNone;
    torch::Tensor slope;
    bool add_after = false;
  };
  torch::Tensor RunLayer(const Layer& layer, const std::vector<torch::Tensor>& maps) const;

  std::vector<Layer> layers_;
  std::vector<int> outputs_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_FROZEN_NET_H_
