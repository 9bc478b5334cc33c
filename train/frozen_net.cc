#include "frozen_net.h"

#include <limits>

#include "ops.h"

namespace mfs::train {

using torch::Tensor;

namespace {

// Zeros (or `fill`) around a channel-last map, and behind its channels.
Tensor PadMap(const Tensor& x, const Padding& p, int64_t channels, double fill = 0) {
  const int64_t more = channels - x.size(3);
  if (p.top == 0 && p.bottom == 0 && p.left == 0 && p.right == 0 && more == 0) return x;
  return torch::constant_pad_nd(x, {0, more, p.left, p.right, p.top, p.bottom}, fill);
}

Tensor ToNchw(const Tensor& x) { return x.permute({0, 3, 1, 2}); }
Tensor ToNhwc(const Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous(); }

}  // namespace

StatusOr<FrozenNet> FrozenNet::Create(const Graph& graph, const torch::Device& device) {
  FrozenNet net;
  for (const GraphLayer& g : graph.layers) {
    if (g.op == LayerOp::kGroupNorm || g.op == LayerOp::kUpsample) return Unsupported("a network with layers that cannot be differentiated here");
    Layer l{g.op, g.inputs, g.window, g.shape.channels, {}, {}, 1, g.activation, {}, g.add_after};
    if (g.op == LayerOp::kConv || g.op == LayerOp::kDepthwise) {
      const int64_t h = g.window.height, w = g.window.width, out = g.shape.channels;
      const int64_t in = static_cast<int64_t>(g.weight.size()) / (h * w * (g.op == LayerOp::kConv ? out : 1));
      const Tensor weight = torch::tensor(g.weight);
      // height x width x in x out, or height x width x channels
      l.weight = (g.op == LayerOp::kConv ? weight.reshape({h, w, in, out}).permute({3, 2, 0, 1}) : weight.reshape({h, w, out, 1}).permute({2, 3, 0, 1})).contiguous().to(device);
      l.bias = torch::tensor(g.bias).to(device);
      l.groups = g.op == LayerOp::kConv ? 1 : out;
    }
    if (!g.slope.empty()) l.slope = torch::tensor(g.slope).to(device);
    net.layers_.push_back(std::move(l));
  }
  net.outputs_ = graph.outputs;
  return net;
}

Tensor FrozenNet::RunLayer(const Layer& l, const std::vector<Tensor>& maps) const {
  const Tensor& x = maps[l.inputs[0]];
  const Window& w = l.window;
  switch (l.op) {
    case LayerOp::kConv:
    case LayerOp::kDepthwise: {
      if (l.groups == 1 && w.height == 1 && w.width == 1 && w.stride == 1) return Pointwise(x, l.weight.flatten(1), l.bias);
      const bool even = w.pad.top == w.pad.bottom && w.pad.left == w.pad.right;
      const Tensor padded = even ? x : PadMap(x, w.pad, x.size(3));
      const int64_t pad_y = even ? w.pad.top : 0, pad_x = even ? w.pad.left : 0;
      return ToNhwc(torch::conv2d(ToNchw(padded), l.weight, l.bias, w.stride, {pad_y, pad_x}, w.dilation, l.groups));
    }
    case LayerOp::kMaxPool: {
      const Tensor padded = PadMap(x, w.pad, x.size(3), -std::numeric_limits<float>::infinity());
      return PadMap(ToNhwc(torch::max_pool2d(ToNchw(padded), {w.height, w.width}, w.stride)), {}, l.channels);
    }
    case LayerOp::kAveragePool: return ToNhwc(torch::avg_pool2d(ToNchw(x), {w.height, w.width}, w.stride));
    case LayerOp::kAdd: return x + maps[l.inputs[1]];
    case LayerOp::kConcat: {
      std::vector<Tensor> parts;
      for (int i : l.inputs) parts.push_back(maps[i]);
      return torch::cat(parts, 3);
    }
    case LayerOp::kPad: return PadMap(x, w.pad, l.channels);
    default: return x;
  }
}

std::vector<Tensor> FrozenNet::Run(const Tensor& x) const {
  std::vector<Tensor> maps{x};
  for (size_t i = 1; i < layers_.size(); ++i) {
    const Layer& l = layers_[i];
    Tensor out = RunLayer(l, maps);
    const bool convolution = l.op == LayerOp::kConv || l.op == LayerOp::kDepthwise;
    if (convolution && l.inputs.size() > 1 && !l.add_after) out = out + maps[l.inputs[1]];
    switch (l.activation) {
      case Activation::kNone: break;
      case Activation::kRelu: out = torch::relu(out); break;
      case Activation::kRelu6: out = torch::clamp(out, 0, 6); break;
      case Activation::kPrelu: out = FrozenBiasPrelu(out.contiguous(), {}, l.slope); break;
    }
    if (convolution && l.inputs.size() > 1 && l.add_after) out = out + maps[l.inputs[1]];
    maps.push_back(out);
  }
  std::vector<Tensor> results;
  for (int i : outputs_) results.push_back(maps[i]);
  return results;
}

}  // namespace mfs::train
