#include "nn/graph.h"

#include <algorithm>
#include <cmath>

namespace mfs {
namespace {

constexpr int kMaxSide = 4096, kMaxChannels = 8192, kMaxKernel = 64, kMaxStride = 16;
constexpr size_t kMaxMap = size_t{1} << 26;  // floats
constexpr float kNothing = 1e-12f;           // smaller weights do not count: trained to zero, they are denormal half of the time

bool Finite(const std::vector<float>& v) {
  return std::all_of(v.begin(), v.end(), [](float x) { return std::isfinite(x); });
}

Status CheckWindow(const MapShape& in, const Window& w) {
  const auto fits = [](int v, int least, int most) { return v >= least && v <= most; };
  if (!fits(w.height, 1, kMaxKernel) || !fits(w.width, 1, kMaxKernel) || !fits(w.stride, 1, kMaxStride) || !fits(w.dilation, 1, kMaxStride)) {
    return InvalidArgument("a layer's kernel, stride or dilation is out of range");
  }
  for (int p : {w.pad.top, w.pad.bottom, w.pad.left, w.pad.right}) {
    if (!fits(p, 0, kMaxKernel)) return InvalidArgument("a layer's padding is out of range");
  }
  if (in.height + w.pad.top + w.pad.bottom < (w.height - 1) * w.dilation + 1 || in.width + w.pad.left + w.pad.right < (w.width - 1) * w.dilation + 1) {
    return InvalidArgument("a layer's input is smaller than its kernel");
  }
  return Status::Ok();
}

MapShape WindowOutput(const MapShape& in, const Window& w, int channels) {
  return {(in.height + w.pad.top + w.pad.bottom - (w.height - 1) * w.dilation - 1) / w.stride + 1, (in.width + w.pad.left + w.pad.right - (w.width - 1) * w.dilation - 1) / w.stride + 1, channels};
}

// Keeps the entries `kept` of the last of the dimensions that v has: v is [n][channels].
void KeepLast(const std::vector<int>& kept, size_t channels, std::vector<float>* v) {
  if (v->empty()) return;
  std::vector<float> out;
  for (size_t at = 0; at < v->size(); at += channels) {
    for (int c : kept) out.push_back((*v)[at + c]);
  }
  *v = std::move(out);
}

}  // namespace

Status Graph::CheckInput(int in) const { return in < 0 || in >= static_cast<int>(layers.size()) ? InvalidArgument("a layer reads what is not there yet") : Status::Ok(); }

StatusOr<int> Graph::AddLayer(GraphLayer layer) {
  const MapShape& s = layer.shape;
  if (s.height < 1 || s.width < 1 || s.channels < 1 || s.height > kMaxSide || s.width > kMaxSide || s.channels > kMaxChannels || s.size() > kMaxMap) {
    return InvalidArgument("a layer's output has an impossible size");
  }
  if (!Finite(layer.weight) || !Finite(layer.bias) || !Finite(layer.slope)) return InvalidArgument("a layer's weights hold NaN or infinity");
  for (float& w : layer.weight) {
    if (std::fabs(w) < kNothing) w = 0;
  }
  layers.push_back(std::move(layer));
  return static_cast<int>(layers.size()) - 1;
}

StatusOr<int> Graph::Input(const MapShape& shape) {
  if (!layers.empty()) return InvalidArgument("the network has more than one input");
  GraphLayer l;
  l.shape = shape;
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Conv(int in, const Window& window, std::vector<float> weight, std::vector<float> bias) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  const MapShape& from = layers[in].shape;
  MFS_RETURN_IF_ERROR(CheckWindow(from, window));
  if (bias.empty() || bias.size() > kMaxChannels || weight.size() != bias.size() * window.height * window.width * from.channels) {
    return InvalidArgument("a convolution's weights do not fit its input");
  }
  GraphLayer l;
  l.op = LayerOp::kConv;
  l.inputs = {in};
  l.shape = WindowOutput(from, window, static_cast<int>(bias.size()));
  l.window = window;
  l.weight = std::move(weight);
  l.bias = std::move(bias);
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Depthwise(int in, const Window& window, std::vector<float> weight, std::vector<float> bias) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  const MapShape& from = layers[in].shape;
  MFS_RETURN_IF_ERROR(CheckWindow(from, window));
  if (window.dilation != 1) return InvalidArgument("a depthwise convolution is dilated");
  if (bias.size() != static_cast<size_t>(from.channels) || weight.size() != bias.size() * window.height * window.width) {
    return InvalidArgument("a depthwise convolution's weights do not fit its input");
  }
  GraphLayer l;
  l.op = LayerOp::kDepthwise;
  l.inputs = {in};
  l.shape = WindowOutput(from, window, from.channels);
  l.window = window;
  l.weight = std::move(weight);
  l.bias = std::move(bias);
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::MaxPool(int in, const Window& window) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  const Padding& p = window.pad;
  MFS_RETURN_IF_ERROR(CheckWindow(layers[in].shape, window));
  // Every window must hold a pixel.
  if (window.dilation != 1 || window.height != window.width || std::max({p.top, p.bottom, p.left, p.right}) >= window.height) return InvalidArgument("a pooling layer is of an unknown kind");
  GraphLayer l;
  l.op = LayerOp::kMaxPool;
  l.inputs = {in};
  l.shape = WindowOutput(layers[in].shape, window, layers[in].shape.channels);
  l.window = window;
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::AveragePool(int in, const Window& window) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  const Padding& p = window.pad;
  MFS_RETURN_IF_ERROR(CheckWindow(layers[in].shape, window));
  if (window.dilation != 1 || p.top + p.bottom + p.left + p.right != 0) return InvalidArgument("a pooling layer is of an unknown kind");
  GraphLayer l;
  l.op = LayerOp::kAveragePool;
  l.inputs = {in};
  l.shape = WindowOutput(layers[in].shape, window, layers[in].shape.channels);
  l.window = window;
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Add(int a, int b) {
  MFS_RETURN_IF_ERROR(CheckInput(a));
  MFS_RETURN_IF_ERROR(CheckInput(b));
  if (!(layers[a].shape == layers[b].shape)) return InvalidArgument("two maps of different shapes are added");
  GraphLayer l;
  l.op = LayerOp::kAdd;
  l.inputs = {a, b};
  l.shape = layers[a].shape;
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Concat(const std::vector<int>& parts) {
  GraphLayer l;
  l.op = LayerOp::kConcat;
  l.inputs = parts;
  if (parts.empty()) return InvalidArgument("nothing is joined");
  for (int p : parts) {
    MFS_RETURN_IF_ERROR(CheckInput(p));
    const MapShape& s = layers[p].shape;
    if (l.shape.channels > kMaxChannels || s.height != layers[parts[0]].shape.height || s.width != layers[parts[0]].shape.width) return InvalidArgument("maps of different sizes are joined");
    l.shape = {s.height, s.width, l.shape.channels + s.channels};
  }
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Activate(int in, Activation activation, std::vector<float> slope) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  if (activation == Activation::kPrelu && slope.size() != static_cast<size_t>(layers[in].shape.channels)) return InvalidArgument("an activation does not have a slope for every channel");
  GraphLayer l;
  l.op = LayerOp::kActivate;
  l.inputs = {in};
  l.shape = layers[in].shape;
  l.activation = activation;
  l.slope = std::move(slope);
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::GroupNorm(int in, int groups, float eps, std::vector<float> scale, std::vector<float> shift) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  const int channels = layers[in].shape.channels;
  if (groups < 1 || channels % groups != 0 || !(eps >= 0) || scale.size() != static_cast<size_t>(channels) || shift.size() != scale.size()) {
    return InvalidArgument("a group norm does not fit its input");
  }
  GraphLayer l;
  l.op = LayerOp::kGroupNorm;
  l.inputs = {in};
  l.shape = layers[in].shape;
  l.groups = groups;
  l.eps = eps;
  l.weight = std::move(scale);
  l.bias = std::move(shift);
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Upsample(int in) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  GraphLayer l;
  l.op = LayerOp::kUpsample;
  l.inputs = {in};
  l.shape = {2 * layers[in].shape.height, 2 * layers[in].shape.width, layers[in].shape.channels};
  return AddLayer(std::move(l));
}

StatusOr<int> Graph::Pad(int in, const Padding& pad, int channels) {
  MFS_RETURN_IF_ERROR(CheckInput(in));
  const MapShape& s = layers[in].shape;
  for (int p : {pad.top, pad.bottom, pad.left, pad.right}) {
    if (p < 0 || p > kMaxSide) return InvalidArgument("a layer's padding is out of range");
  }
  if (channels < s.channels) return InvalidArgument("a layer's padding is out of range");
  GraphLayer l;
  l.op = LayerOp::kPad;
  l.inputs = {in};
  l.shape = {s.height + pad.top + pad.bottom, s.width + pad.left + pad.right, channels};
  l.window.pad = pad;
  return AddLayer(std::move(l));
}

double Graph::Macs() const {
  double macs = 0;
  for (const GraphLayer& l : layers) {
    if (l.op == LayerOp::kConv) macs += static_cast<double>(l.weight.size()) * l.shape.height * l.shape.width;
    if (l.op == LayerOp::kDepthwise) macs += static_cast<double>(l.weight.size()) * l.shape.height * l.shape.width;
  }
  return macs;
}

std::vector<int> Graph::Uses() const {
  std::vector<int> uses(layers.size(), 0);
  for (const GraphLayer& l : layers) {
    for (int i : l.inputs) ++uses[i];
  }
  for (int o : outputs) ++uses[o];
  return uses;
}

void Graph::FuseActivations() {
  const std::vector<int> uses = Uses();
  std::vector<int> now(layers.size());  // what took a layer's place
  for (size_t i = 0; i < layers.size(); ++i) {
    now[i] = static_cast<int>(i);
    GraphLayer& l = layers[i];
    for (int& in : l.inputs) in = now[in];
    if (l.op != LayerOp::kActivate) continue;
    GraphLayer& before = layers[l.inputs[0]];
    const bool takes = before.op == LayerOp::kConv || before.op == LayerOp::kDepthwise || before.op == LayerOp::kAdd || before.op == LayerOp::kGroupNorm;
    if (!takes || before.activation != Activation::kNone || uses[l.inputs[0]] != 1 || before.add_after) continue;
    before.activation = l.activation;
    before.slope = std::move(l.slope);
    now[i] = l.inputs[0];
  }
  for (int& o : outputs) o = now[o];
  RemoveUnused();
}

void Graph::FuseSums() {
  const std::vector<int> uses = Uses();
  for (size_t i = 0; i < layers.size(); ++i) {
    GraphLayer& sum = layers[i];
    if (sum.op != LayerOp::kAdd) continue;
    // Either part may be the convolution: it can wait until the sum's place.
    int chosen = -1, other = -1;
    for (int part : {1, 0}) {
      const int c = sum.inputs[part];
      const GraphLayer& l = layers[c];
      if (chosen >= 0 || l.op != LayerOp::kConv || l.inputs.size() != 1 || uses[c] != 1 || sum.inputs[0] == sum.inputs[1]) continue;
      if (l.activation != Activation::kNone && sum.activation != Activation::kNone) continue;
      chosen = c, other = sum.inputs[1 - part];
    }
    if (chosen < 0) continue;
    GraphLayer& conv = layers[chosen];
    // act(conv + other), or act(conv) + other where nothing follows.
    conv.add_after = conv.activation != Activation::kNone;
    if (!conv.add_after) conv.activation = sum.activation, conv.slope = sum.slope;
    conv.inputs.push_back(other);
    // The sum becomes the convolution, at its own place.
    GraphLayer fused = std::move(conv);
    layers[chosen] = GraphLayer();
    layers[i] = std::move(fused);
  }
  RemoveUnused();
}

// Zero channels behind a pooling layer are written by it.
void Graph::FusePads() {
  const std::vector<int> uses = Uses();
  for (GraphLayer& pad : layers) {
    const Padding& p = pad.window.pad;
    if (pad.op != LayerOp::kPad || p.top + p.bottom + p.left + p.right != 0) continue;
    GraphLayer& pool = layers[pad.inputs[0]];
    if (pool.op != LayerOp::kMaxPool || uses[pad.inputs[0]] != 1 || pool.shape.channels % kChannelBlock != 0) continue;
    const MapShape shape = pad.shape;
    pad = pool;
    pad.shape = shape;
  }
  RemoveUnused();
}

void Graph::PruneDeadChannels() {
  const std::vector<int> uses = Uses();
  for (size_t i = 0; i < layers.size(); ++i) {
    GraphLayer& point = layers[i];
    if (point.op != LayerOp::kConv || point.window.height * point.window.width != 1) continue;
    const Padding& pad = point.window.pad;
    if (pad.top + pad.bottom + pad.left + pad.right != 0) continue;  // a constant would show at the border, where nothing is read
    const int middle = point.inputs[0];
    GraphLayer& depth = layers[middle];
    if (depth.op != LayerOp::kDepthwise || uses[middle] != 1) continue;
    const int first = depth.inputs[0];
    GraphLayer& source = layers[first];
    if (source.op != LayerOp::kConv || uses[first] != 1 || source.inputs.size() != 1) continue;
    const size_t channels = depth.bias.size(), taps = depth.weight.size() / channels, outs = point.bias.size();
    std::vector<int> kept;
    std::vector<float> weight, bias = point.bias;
    for (size_t c = 0; c < channels; ++c) {
      bool constant = true, unread = true;
      for (size_t t = 0; t < taps; ++t) constant = constant && depth.weight[t * channels + c] == 0;
      const float* row = &point.weight[c * outs];
      for (size_t o = 0; o < outs; ++o) unread = unread && row[o] == 0;
      if (!constant && !unread) {
        kept.push_back(static_cast<int>(c));
        weight.insert(weight.end(), row, row + outs);
        continue;
      }
      float v = constant ? depth.bias[c] : 0;
      if (v < 0) v = depth.activation == Activation::kNone ? v : depth.activation == Activation::kPrelu ? v * depth.slope[c] : 0;
      if (depth.activation == Activation::kRelu6) v = std::min(v, 6.0f);
      for (size_t o = 0; o < outs; ++o) bias[o] += v * row[o];
    }
    if (kept.size() == channels || kept.empty()) continue;
    point.weight = std::move(weight), point.bias = std::move(bias);
    for (GraphLayer* l : {&depth, &source}) {
      KeepLast(kept, channels, &l->weight);
      KeepLast(kept, channels, &l->bias);
      KeepLast(kept, channels, &l->slope);
      l->shape.channels = static_cast<int>(kept.size());
    }
  }
}

void Graph::RemoveUnused() {
  std::vector<char> used(layers.size(), 0);
  used[0] = 1;
  for (int o : outputs) used[o] = 1;
  for (size_t i = layers.size(); i-- > 0;) {
    if (used[i]) {
      for (int in : layers[i].inputs) used[in] = 1;
    }
  }
  std::vector<int> now(layers.size(), -1);
  std::vector<GraphLayer> kept;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!used[i]) continue;
    now[i] = static_cast<int>(kept.size());
    kept.push_back(std::move(layers[i]));
    for (int& in : kept.back().inputs) in = now[in];
  }
  layers = std::move(kept);
  for (int& o : outputs) o = now[o];
}

void Graph::Simplify() {
  if (layers.empty()) return;
  RemoveUnused();
  FuseActivations();
  FuseSums();
  FusePads();
  PruneDeadChannels();
}

}  // namespace mfs
