#include "weights/onnx_graph.h"

#include <cmath>
#include <map>
#include <memory>
#include <set>

#include "weights/onnx_reader.h"
#include "weights/onnx_writer.h"

namespace mfs {
namespace {

// A tensor on the way: a constant, or a map of the graph in some order.
struct Value {
  const OnnxTensor* constant = nullptr;
  int layer = -1;
  bool channels_last = false;  // the file's tensor is [1, height, width, channels], else [1, channels, height, width]
  bool flat = false;           // reshaped to fewer dimensions; the order of the values is still that of channels_last
};

class Importer {
 public:
  explicit Importer(const OnnxGraph& onnx) : onnx_(onnx) {}

  StatusOr<Graph> Run(std::vector<std::string> outputs) {
    if (outputs.empty()) outputs = onnx_.outputs;
    for (const auto& [name, tensor] : onnx_.initializers) values_[name].constant = &tensor;
    MFS_RETURN_IF_ERROR(ReadInput());
    // Only what the outputs need.
    std::set<std::string> needed(outputs.begin(), outputs.end());
    std::vector<char> wanted(onnx_.nodes.size(), 0);
    for (size_t i = onnx_.nodes.size(); i-- > 0;) {
      for (const std::string& o : onnx_.nodes[i].outputs) wanted[i] = wanted[i] || needed.count(o) > 0;
      if (wanted[i]) needed.insert(onnx_.nodes[i].inputs.begin(), onnx_.nodes[i].inputs.end());
    }
    for (size_t i = 0; i < onnx_.nodes.size(); ++i) {
      const OnnxNode& n = onnx_.nodes[i];
      if (!wanted[i]) continue;
      if (n.outputs.empty()) return CorruptData("a node of the network has no output");
      const Status s = Node(n, &values_[n.outputs[0]]);
      if (!s.ok()) return s.WithPrefix(n.op + ": ");
    }
    for (const std::string& o : outputs) {
      const auto it = values_.find(o);
      if (it == values_.end() || it->second.layer < 0) return CorruptData("the network does not compute " + o);
      const MapShape& shape = graph_.layers[it->second.layer].shape;
      if (it->second.flat && !it->second.channels_last && shape.height * shape.width > 1) return Unsupported("an output is flattened channel by channel");
      graph_.outputs.push_back(it->second.layer);
    }
    if (graph_.outputs.empty()) return CorruptData("the network has no output");
    return std::move(graph_);
  }

 private:
  Status ReadInput() {
    const OnnxInput* input = nullptr;
    for (const OnnxInput& i : onnx_.inputs) {
      if (onnx_.initializers.count(i.name) > 0) continue;
      if (input != nullptr) return Unsupported("the network has more than one input");
      input = &i;
    }
    if (input == nullptr || input->shape.size() != 4) return Unsupported("the network has no input of four dimensions");
    for (int i = 1; i < 4; ++i) {
      if (input->shape[i] < 1 || input->shape[i] > 4096) return Unsupported("the network's input has no fixed size");
    }
    const auto d = [&](int i) { return static_cast<int>(input->shape[i]); };
    Value& v = values_[input->name];
    v.channels_last = d(3) <= 4 && d(1) > 4;
    return Set(graph_.Input(v.channels_last ? MapShape{d(1), d(2), d(3)} : MapShape{d(2), d(3), d(1)}), &v);
  }

  static Status Set(const StatusOr<int>& layer, Value* out) {
    if (!layer.ok()) return CorruptData(layer.status().message());
    out->layer = *layer;
    return Status::Ok();
  }
  StatusOr<Value> Map(const OnnxNode& n, size_t i) {
    const auto it = i < n.inputs.size() ? values_.find(n.inputs[i]) : values_.end();
    if (it == values_.end() || it->second.layer < 0) return Unsupported("an input is missing or constant");
    return it->second;
  }
  // A map in the order that every layer but Reshape and Transpose has.
  StatusOr<Value> ChannelsFirst(const OnnxNode& n, size_t i) {
    MFS_ASSIGN_OR_RETURN(const Value v, Map(n, i));
    if (v.channels_last || (v.flat && Shape(v).height * Shape(v).width > 1)) return Unsupported("an input is not in NCHW order");
    return v;
  }
  const OnnxTensor* Constant(const OnnxNode& n, size_t i) const {
    const auto it = i < n.inputs.size() ? values_.find(n.inputs[i]) : values_.end();
    return it == values_.end() ? nullptr : it->second.constant;
  }
  const MapShape& Shape(const Value& v) const { return graph_.layers[v.layer].shape; }
  // Values of a constant that has exactly `count`, or one that holds for all.
  static StatusOr<std::vector<float>> PerChannel(const OnnxTensor* t, int count) {
    if (t == nullptr) return CorruptData("weights are missing");
    if (t->values.size() == 1) return std::vector<float>(count, t->values[0]);
    if (t->values.size() != static_cast<size_t>(count)) return CorruptData("weights have a wrong number of channels");
    return t->values;
  }

  static StatusOr<Window> ReadWindow(const OnnxNode& n) {
    const auto get = [&](const char* name, size_t count, int64_t otherwise, std::vector<int>* out) {
      const auto it = n.integers.find(name);
      out->assign(count, static_cast<int>(otherwise));
      if (it == n.integers.end()) return true;
      if (it->second.size() != count) return false;
      for (size_t i = 0; i < count; ++i) {
        if (it->second[i] < 0 || it->second[i] > 4096) return false;
        (*out)[i] = static_cast<int>(it->second[i]);
      }
      return true;
    };
    std::vector<int> kernel, strides, dilations, pads, ceil;
    if (!get("kernel_shape", 2, 0, &kernel) || !get("strides", 2, 1, &strides) || !get("dilations", 2, 1, &dilations) || !get("pads", 4, 0, &pads) || !get("ceil_mode", 1, 0, &ceil)) {
      return CorruptData("an attribute has a wrong value");
    }
    if (strides[0] != strides[1] || dilations[0] != dilations[1] || ceil[0] != 0) return Unsupported("an attribute has an unknown value");
    return Window{kernel[0], kernel[1], strides[0], dilations[0], {pads[0], pads[2], pads[1], pads[3]}};
  }

  Status Conv(const OnnxNode& n, Value* out) {
    MFS_ASSIGN_OR_RETURN(const Value in, ChannelsFirst(n, 0));
    MFS_ASSIGN_OR_RETURN(Window w, ReadWindow(n));
    const OnnxTensor* t = Constant(n, 1);
    if (t == nullptr || t->shape.size() != 4 || t->values.empty()) return CorruptData("weights are missing");
    const size_t outs = t->shape[0], ins = t->shape[1], taps = t->shape[2] * t->shape[3];
    if (w.height == 0) w.height = w.width = static_cast<int>(t->shape[2]);
    if (t->shape[2] != w.height || t->shape[3] != w.width) return CorruptData("the kernel does not have the size that is said");
    std::vector<float> bias(outs, 0), weight(t->values.size());
    if (n.inputs.size() > 2) {
      const OnnxTensor* b = Constant(n, 2);
      if (b == nullptr || b->values.size() != outs) return CorruptData("the bias is missing");
      bias = b->values;
    }
    const auto group_at = n.integers.find("group");
    const int64_t group = group_at == n.integers.end() || group_at->second.empty() ? 1 : group_at->second[0];
    for (size_t o = 0; o < outs; ++o) {
      for (size_t i = 0; i < ins; ++i) {
        for (size_t k = 0; k < taps; ++k) weight[(k * ins + i) * outs + o] = t->values[(o * ins + i) * taps + k];
      }
    }
    if (group == 1) return Set(graph_.Conv(in.layer, w, std::move(weight), std::move(bias)), out);
    if (group != Shape(in).channels || ins != 1) return Unsupported("it is grouped");
    return Set(graph_.Depthwise(in.layer, w, std::move(weight), std::move(bias)), out);
  }

  // weight [out, in] behind a flattened map is a convolution as large as the map.
  Status Gemm(const OnnxNode& n, Value* out) {
    MFS_ASSIGN_OR_RETURN(const Value in, Map(n, 0));
    const MapShape shape = Shape(in);
    const OnnxTensor *t = Constant(n, 1), *b = Constant(n, 2);
    const auto flag = [&](const char* name) {
      const auto it = n.integers.find(name);
      return it != n.integers.end() && it->second == std::vector<int64_t>{1};
    };
    const auto one = [&](const char* name) {
      const auto it = n.numbers.find(name);
      return it == n.numbers.end() || it->second == 1;
    };
    if (!flag("transB") || flag("transA") || !one("alpha") || !one("beta") || in.channels_last) return Unsupported("it is of an unknown kind");
    if (t == nullptr || b == nullptr || t->shape.size() != 2 || b->values.empty() || t->values.size() != b->values.size() * shape.size()) return CorruptData("the weights do not fit");
    const size_t outs = b->values.size(), pixels = static_cast<size_t>(shape.height) * shape.width;
    std::vector<float> weight(t->values.size());
    for (size_t o = 0; o < outs; ++o) {
      for (int c = 0; c < shape.channels; ++c) {
        for (size_t p = 0; p < pixels; ++p) weight[(p * shape.channels + c) * outs + o] = t->values[o * shape.size() + c * pixels + p];
      }
    }
    return Set(graph_.Conv(in.layer, {shape.height, shape.width, 1, 1, {}}, std::move(weight), b->values), out);
  }

  // scale * x + shift, per channel.
  Status Affine(int in, std::vector<float> scale, std::vector<float> shift, Value* out) { return Set(graph_.Depthwise(in, {}, std::move(scale), std::move(shift)), out); }

  Status BatchNorm(const OnnxNode& n, Value* out) {
    MFS_ASSIGN_OR_RETURN(const Value in, ChannelsFirst(n, 0));
    const int channels = Shape(in).channels;
    std::vector<float> p[4];
    for (int i = 0; i < 4; ++i) {
      MFS_ASSIGN_OR_RETURN(p[i], PerChannel(Constant(n, i + 1), channels));
    }
    const auto eps = n.numbers.find("epsilon");
    for (int c = 0; c < channels; ++c) {
      const double k = p[0][c] / std::sqrt(static_cast<double>(p[3][c]) + (eps == n.numbers.end() ? 1e-5 : eps->second));
      p[0][c] = static_cast<float>(k);
      p[1][c] = static_cast<float>(p[1][c] - p[2][c] * k);
    }
    return Affine(in.layer, p[0], p[1], out);
  }

  Status Clip(const OnnxNode& n, Value* out) {
    MFS_ASSIGN_OR_RETURN(const Value in, ChannelsFirst(n, 0));
    const auto bound = [&](const char* name, size_t i) {
      const OnnxTensor* t = Constant(n, i);
      if (t != nullptr && t->values.size() == 1) return t->values[0];
      const auto it = n.numbers.find(name);
      return it == n.numbers.end() ? NAN : it->second;
    };
    if (bound("min", 1) != 0 || bound("max", 2) != 6) return Unsupported("only 0 to 6 is known");
    return Set(graph_.Activate(in.layer, Activation::kRelu6), out);
  }

  Status Concat(const OnnxNode& n, Value* out) {
    const auto axis = n.integers.find("axis");
    if (axis == n.integers.end() || axis->second != std::vector<int64_t>{1}) return Unsupported("only channels can be joined");
    std::vector<int> parts;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const OnnxTensor* zeros = Constant(n, i);
      if (zeros == nullptr) {
        MFS_ASSIGN_OR_RETURN(const Value v, ChannelsFirst(n, i));
        parts.push_back(v.layer);
        continue;
      }
      // Channels of zeros behind a map.
      if (parts.size() != 1 || i + 1 != n.inputs.size() || zeros->shape.size() != 4) return Unsupported("a constant is joined");
      for (float v : zeros->values) {
        if (v != 0) return Unsupported("a constant is joined");
      }
      const MapShape& s = graph_.layers[parts[0]].shape;
      if (zeros->shape[1] < 0 || zeros->shape[1] > 8192 || zeros->shape[2] != s.height || zeros->shape[3] != s.width) return CorruptData("maps of different sizes are joined");
      return Set(graph_.Pad(parts[0], {}, s.channels + static_cast<int>(zeros->shape[1])), out);
    }
    return Set(graph_.Concat(parts), out);
  }

  Status Node(const OnnxNode& n, Value* out) {
    const std::string& op = n.op;
    if (op == "Conv") return Conv(n, out);
    if (op == "Gemm") return Gemm(n, out);
    if (op == "BatchNormalization") return BatchNorm(n, out);
    if (op == "Clip") return Clip(n, out);
    if (op == "Concat") return Concat(n, out);
    if (op == "Relu" || op == "LeakyRelu" || op == "PRelu") {
      MFS_ASSIGN_OR_RETURN(const Value in, ChannelsFirst(n, 0));
      if (op == "Relu") return Set(graph_.Activate(in.layer, Activation::kRelu), out);
      const int channels = Shape(in).channels;
      std::vector<float> slope(channels, 0.01f);
      if (op == "PRelu") {
        MFS_ASSIGN_OR_RETURN(slope, PerChannel(Constant(n, 1), channels));
      } else if (const auto alpha = n.numbers.find("alpha"); alpha != n.numbers.end()) {
        slope.assign(channels, alpha->second);
      }
      return Set(graph_.Activate(in.layer, Activation::kPrelu, std::move(slope)), out);
    }
    if (op == "MaxPool" || op == "AveragePool") {
      MFS_ASSIGN_OR_RETURN(const Value in, ChannelsFirst(n, 0));
      MFS_ASSIGN_OR_RETURN(const Window w, ReadWindow(n));
      return Set(op == "MaxPool" ? graph_.MaxPool(in.layer, w) : graph_.AveragePool(in.layer, w), out);
    }
    if (op == "Add") {
      MFS_ASSIGN_OR_RETURN(const Value a, ChannelsFirst(n, 0));
      MFS_ASSIGN_OR_RETURN(const Value b, ChannelsFirst(n, 1));
      return Set(graph_.Add(a.layer, b.layer), out);
    }
    if (op == "Mul") {
      MFS_ASSIGN_OR_RETURN(const Value in, ChannelsFirst(n, 0));
      const OnnxTensor* t = Constant(n, 1);
      if (t == nullptr || t->values.size() != 1) return Unsupported("only a number is known as a factor");
      if (t->values[0] != 1) return Affine(in.layer, std::vector<float>(Shape(in).channels, t->values[0]), std::vector<float>(Shape(in).channels, 0), out);
      *out = in;
      return Status::Ok();
    }
    if (op == "Constant") {
      const auto it = n.tensors.find("value");
      if (it == n.tensors.end()) return Unsupported("it is of an unknown kind");
      out->constant = &it->second;
      return Status::Ok();
    }
    if (op == "ConstantOfShape") {
      const OnnxTensor* shape = Constant(n, 0);
      const auto value = n.tensors.find("value");
      const float v = value == n.tensors.end() || value->second.values.empty() ? 0 : value->second.values[0];
      if (shape == nullptr || v != 0) return Unsupported("it is of an unknown kind");
      made_.push_back(std::make_unique<OnnxTensor>());  // zeros need no values
      made_.back()->shape = shape->integers;
      out->constant = made_.back().get();
      return Status::Ok();
    }
    if (op == "Transpose") {
      MFS_ASSIGN_OR_RETURN(*out, Map(n, 0));
      const auto perm = n.integers.find("perm");
      const bool to_last = perm != n.integers.end() && perm->second == std::vector<int64_t>{0, 2, 3, 1}, to_first = perm != n.integers.end() && perm->second == std::vector<int64_t>{0, 3, 1, 2};
      if (out->flat || (out->channels_last ? !to_first : !to_last)) return Unsupported("it is of an unknown kind");
      out->channels_last = to_last;
      return Status::Ok();
    }
    if (op == "Flatten" || op == "Reshape") {  // the number of values is that of the map whatever the shape says
      MFS_ASSIGN_OR_RETURN(*out, Map(n, 0));
      out->flat = true;
      return Status::Ok();
    }
    return Unsupported("our networks do not have this operator");
  }

  const OnnxGraph& onnx_;
  std::map<std::string, Value> values_;
  std::vector<std::unique_ptr<OnnxTensor>> made_;
  Graph graph_;
};

// Zeros of that shape before or behind a map; the name of both.
std::string JoinZeros(OnnxWriter* w, const std::string& id, const std::string& map, const std::vector<int64_t>& shape, int axis, bool front) {
  const std::string zeros = id + ".zeros" + std::to_string(axis) + (front ? "f" : "b"), joined = zeros + ".joined";
  w->Constant(zeros, shape, std::vector<float>(shape[1] * shape[2] * shape[3], 0).data());
  w->Node("Concat", front ? std::vector<std::string>{zeros, map} : std::vector<std::string>{map, zeros}, joined, {OnnxWriter::Integer("axis", axis)});
  return joined;
}

}  // namespace

StatusOr<Graph> GraphFromOnnx(const std::string& bytes, const std::vector<std::string>& outputs) {
  MFS_ASSIGN_OR_RETURN(const OnnxGraph onnx, ReadOnnx(bytes));
  return Importer(onnx).Run(outputs);
}

StatusOr<std::string> GraphToOnnx(const Graph& graph) {
  OnnxWriter w;
  const auto name = [](int i) { return i == 0 ? std::string("input") : "layer" + std::to_string(i); };
  for (size_t i = 0; i < graph.layers.size(); ++i) {
    const GraphLayer& l = graph.layers[i];
    const std::string id = name(static_cast<int>(i));
    const int channels = l.shape.channels;
    std::vector<std::string> in;
    for (int k : l.inputs) in.push_back(name(k));
    const Window& win = l.window;
    const std::vector<OnnxWriter::Attribute> window = {OnnxWriter::Integers("kernel_shape", {win.height, win.width}), OnnxWriter::Integers("strides", {win.stride, win.stride}),
                                                       OnnxWriter::Integers("pads", {win.pad.top, win.pad.left, win.pad.bottom, win.pad.right})};
    // The layer proper writes `stage`, what follows moves it on to `id`.
    std::string stage = id + ".0";
    switch (l.op) {
      case LayerOp::kInput: w.Input(id, {1, channels, l.shape.height, l.shape.width}); continue;
      case LayerOp::kConv:
      case LayerOp::kDepthwise: {
        const size_t ins = l.op == LayerOp::kConv ? graph.layers[l.inputs[0]].shape.channels : 1, taps = static_cast<size_t>(win.height) * win.width;
        std::vector<float> weight(l.weight.size());
        for (int o = 0; o < channels; ++o) {
          for (size_t c = 0; c < ins; ++c) {
            for (size_t t = 0; t < taps; ++t) weight[(o * ins + c) * taps + t] = l.weight[(t * ins + c) * channels + o];
          }
        }
        w.Constant(id + ".weight", {channels, static_cast<int64_t>(ins), win.height, win.width}, weight.data());
        w.Constant(id + ".bias", {channels}, l.bias.data());
        std::vector<OnnxWriter::Attribute> attributes = window;
        attributes.push_back(OnnxWriter::Integers("dilations", {win.dilation, win.dilation}));
        attributes.push_back(OnnxWriter::Integer("group", l.op == LayerOp::kConv ? 1 : channels));
        w.Node("Conv", {in[0], id + ".weight", id + ".bias"}, stage, attributes);
        break;
      }
      case LayerOp::kMaxPool: {
        w.Node("MaxPool", in, stage, window);
        // Graph::Simplify lets a pool add the channels of the zeros that followed it.
        const int more = channels - graph.layers[l.inputs[0]].shape.channels;
        if (more > 0) stage = JoinZeros(&w, id, stage, {1, more, l.shape.height, l.shape.width}, 1, false);
        break;
      }
      case LayerOp::kAveragePool: w.Node("AveragePool", in, stage, window); break;
      case LayerOp::kAdd: w.Node("Add", in, stage); break;
      case LayerOp::kConcat: w.Node("Concat", in, stage, {OnnxWriter::Integer("axis", 1)}); break;
      case LayerOp::kActivate: stage = in[0]; break;
      case LayerOp::kPad: {
        // Zeros are joined to the map, side by side.
        MapShape s = graph.layers[l.inputs[0]].shape;
        const Padding& p = win.pad;
        stage = in[0];
        const auto join = [&](int axis, int count, bool front) {
          if (count == 0) return;
          stage = JoinZeros(&w, id, stage, {1, axis == 1 ? count : s.channels, axis == 2 ? count : s.height, axis == 3 ? count : s.width}, axis, front);
          (axis == 1 ? s.channels : axis == 2 ? s.height : s.width) += count;
        };
        join(1, channels - s.channels, false);
        join(2, p.top, true);
        join(2, p.bottom, false);
        join(3, p.left, true);
        join(3, p.right, false);
        break;
      }
      case LayerOp::kGroupNorm:
      case LayerOp::kUpsample: return Unsupported("a layer of this network cannot be written as ONNX");
    }
    const bool residual = l.op == LayerOp::kConv && in.size() > 1;
    if (residual && !l.add_after) {
      w.Node("Add", {stage, in[1]}, id + ".sum");
      stage = id + ".sum";
    }
    const std::string active = residual && l.add_after ? id + ".active" : id;
    switch (l.activation) {
      case Activation::kNone: w.Node("Identity", {stage}, active); break;
      case Activation::kRelu: w.Node("Relu", {stage}, active); break;
      case Activation::kRelu6: {
        const float bounds[2] = {0, 6};
        w.Constant(id + ".min", {}, bounds);
        w.Constant(id + ".max", {}, bounds + 1);
        w.Node("Clip", {stage, id + ".min", id + ".max"}, active);
        break;
      }
      case Activation::kPrelu:
        w.Constant(id + ".slope", {channels, 1, 1}, l.slope.data());
        w.Node("PRelu", {stage, id + ".slope"}, active);
        break;
    }
    if (active != id) w.Node("Add", {active, in[1]}, id);
  }
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    const std::string output = "output" + std::to_string(i);
    w.Node("Identity", {name(graph.outputs[i])}, output);
    w.Output(output);
  }
  return w.Serialize();
}

}  // namespace mfs
