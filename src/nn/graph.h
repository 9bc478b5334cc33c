// A network as a list of layers on channel-last maps, before it is packed for a machine (plan.h). The loaders (weights/onnx_graph.h,
// weights/tflite_graph.h) and our own code build it; every layer's shapes are checked when it is added.
#ifndef MFS_NN_GRAPH_H_
#define MFS_NN_GRAPH_H_

#include <string>
#include <vector>

#include "base/status.h"
#include "nn/activation.h"
#include "nn/padding.h"

namespace mfs {

struct MapShape {
  int height = 0, width = 0, channels = 0;
  size_t size() const { return static_cast<size_t>(height) * width * channels; }
  bool operator==(const MapShape& o) const { return height == o.height && width == o.width && channels == o.channels; }
};

struct Window {
  int height = 1, width = 1, stride = 1, dilation = 1;
  Padding pad;
};

enum class LayerOp { kInput, kConv, kDepthwise, kMaxPool, kAveragePool, kAdd, kConcat, kActivate, kGroupNorm, kUpsample, kPad };

struct GraphLayer {
  LayerOp op = LayerOp::kInput;
  std::vector<int> inputs;    // earlier layers; a convolution's second one is its residual (Fuse)
  MapShape shape;             // of the output
  Window window;              // convolutions, pools; kPad: pad
  std::vector<float> weight;  // conv: height x width x in x out; depthwise: height x width x channels; group norm: scale
  std::vector<float> bias;    // one per output channel; group norm: shift
  Activation activation = Activation::kNone;
  std::vector<float> slope;  // kPrelu: one per channel
  bool add_after = false;    // the residual comes behind the activation
  int groups = 0;            // group norm
  float eps = 0;
};

// Layers stand in the order of execution. Every method that adds one returns its number, or kInvalidArgument with what is wrong.
class Graph {
 public:
  std::vector<GraphLayer> layers;
  std::vector<int> outputs;

  StatusOr<int> Input(const MapShape& shape);  // exactly one, first
  StatusOr<int> Conv(int in, const Window& window, std::vector<float> weight, std::vector<float> bias);
  StatusOr<int> Depthwise(int in, const Window& window, std::vector<float> weight, std::vector<float> bias);
  StatusOr<int> MaxPool(int in, const Window& window);      // outside pixels do not take part
  StatusOr<int> AveragePool(int in, const Window& window);  // no padding
  StatusOr<int> Add(int a, int b);
  StatusOr<int> Concat(const std::vector<int>& parts);  // along channels
  StatusOr<int> Activate(int in, Activation activation, std::vector<float> slope = {});
  StatusOr<int> GroupNorm(int in, int groups, float eps, std::vector<float> scale, std::vector<float> shift);
  StatusOr<int> Upsample(int in);                               // twice in both directions, bilinear, align_corners
  StatusOr<int> Pad(int in, const Padding& pad, int channels);  // zeros around, and behind the channels up to `channels`

  // Moves activations and sums into the convolutions before them, and leaves out channels that are zero or constant: what
  // depthwise + pointwise pairs compute on a channel whose weights are all below 1e-12. The outputs stay the same.
  void Simplify();
  // Multiply-adds of all convolutions.
  double Macs() const;

 private:
  Status CheckInput(int in) const;
  StatusOr<int> AddLayer(GraphLayer layer);
  std::vector<int> Uses() const;
  void FuseActivations();
  void FuseSums();
  void FusePads();
  void PruneDeadChannels();
  void RemoveUnused();
};

}  // namespace mfs

#endif  // MFS_NN_GRAPH_H_
