#include "frozen_embedder.h"

#include <cmath>
#include <map>

#include "ops.h"
#include "weights/onnx_reader.h"

namespace mfs::train {

using torch::Tensor;

StatusOr<std::unique_ptr<FrozenEmbedder>> FrozenEmbedder::Create(const ModelStore& store, const torch::Device& device) {
  MFS_ASSIGN_OR_RETURN(const std::string bytes, store.Load("embedder_mobilefacenet.onnx"));
  MFS_ASSIGN_OR_RETURN(const OnnxGraph graph, ReadOnnx(bytes));
  auto e = std::make_unique<FrozenEmbedder>();
  std::map<std::string, int> slot{{"input", 0}};
  const auto constant = [&](const std::string& name) {
    const auto it = graph.initializers.find(name);
    if (it == graph.initializers.end()) return Tensor();
    Tensor t = torch::tensor(it->second.values).reshape(it->second.shape);
    // Denormal weights make every product slow (models.md).
    return torch::where(t.abs() < 1e-12, torch::zeros_like(t), t).to(device);
  };
  for (const OnnxNode& node : graph.nodes) {
    if (node.inputs.empty() || node.outputs.empty() || slot.count(node.inputs[0]) == 0) return Unsupported("the embedder's graph is of an unknown kind");
    Layer l;
    l.input = slot[node.inputs[0]];
    if (node.op == "Reshape") continue;  // [n,512,1,1] -> [n,512]
    if (node.op == "PRelu") {            // joins the convolution before it
      if (e->layers_.empty() || e->layers_.back().output != l.input) return Unsupported("the embedder's graph is of an unknown kind");
      e->layers_.back().slope = constant(node.inputs.at(1)).flatten();
      slot[node.outputs[0]] = l.input;
      continue;
    }
    if (node.op == "Add") {
      l.kind = Layer::kAdd;
      l.other = slot.at(node.inputs.at(1));
    } else if (node.op == "Conv") {
      const Tensor w = constant(node.inputs.at(1));
      l.bias = constant(node.inputs.at(2));
      const auto strides = node.integers.find("strides"), group = node.integers.find("group");
      l.stride = strides == node.integers.end() ? 1 : static_cast<int>(strides->second.at(0));
      const bool depthwise = group != node.integers.end() && group->second.at(0) > 1;
      const int64_t k = w.size(2);
      if (k == 7) {  // depthwise over the whole 7x7 map
        l.kind = Layer::kGlobal;
        l.weight = w.squeeze(1).permute({1, 2, 0}).contiguous();
      } else if (depthwise) {
        l.kind = Layer::kDepthwise;
        l.weight = w.reshape({1, w.size(0), k * k}).permute({0, 2, 1}).contiguous();
      } else if (k == 1) {
        l.weight = w.flatten(1);
      } else {
        l.kind = Layer::kConvolution;
        l.weight = w;
      }
    } else {
      return Unsupported("the embedder's graph has an unknown operator " + node.op);
    }
    l.output = slot[node.outputs[0]] = static_cast<int>(slot.size());
    e->layers_.push_back(std::move(l));
  }
  for (const char* name : {"362", "395", "471", "507"}) {
    if (slot.count(name) == 0) return Unsupported("the embedder's graph lacks a feature map");
    e->feature_slots_.push_back(slot[name]);
  }
  e->slots_ = static_cast<int>(slot.size()) + 1;
  return e;
}

FrozenEmbedder::Output FrozenEmbedder::Run(const Tensor& aligned) const {
  std::vector<Tensor> value(slots_);
  // BGR, (255 x - 127) / 128
  value[0] = aligned.flip({3}) * (255.0 / 128) - 127.0 / 128;
  Tensor last;
  for (const Layer& l : layers_) {
    const Tensor& in = value[l.input];
    Tensor out;
    // The PReLU behind it adds the bias where there is one.
    const Tensor own_bias = l.slope.defined() ? Tensor() : l.bias;
    switch (l.kind) {
      case Layer::kAdd: out = in + value[l.other]; break;
      case Layer::kDepthwise: out = Depthwise(in, l.weight, 3, l.stride); break;
      case Layer::kConvolution: out = Convolution(in, l.weight, own_bias, l.stride, 1); break;
      case Layer::kPointwise: out = Pointwise(in, l.weight, own_bias); break;
      case Layer::kGlobal: out = (in * l.weight).sum({1, 2}, true); break;
    }
    if (l.slope.defined()) {
      out = FrozenBiasPrelu(out, l.bias, l.slope);
    } else if (l.bias.defined() && (l.kind == Layer::kDepthwise || l.kind == Layer::kGlobal)) {
      out = out + l.bias;
    }
    last = value[l.output] = out;
  }
  Output result;
  const Tensor flat = last.flatten(1);
  result.z = flat / flat.norm(2, 1, true).clamp_min(1e-6);
  for (int s : feature_slots_) result.features.push_back(value[s]);
  return result;
}

}  // namespace mfs::train
