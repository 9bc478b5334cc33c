#include "idn/idn_onnx.h"

#include <set>

#include "weights/onnx_writer.h"

namespace mfs {
namespace {

class Graph {
 public:
  std::string Conv(const std::string& x, const std::string& name, const std::vector<float>& weight, const std::vector<float>& bias, int out, int in, int kernel, int stride, int group) {
    w_.Constant(name + ".weight", {out, in / group, kernel, kernel}, weight.data());
    std::vector<std::string> inputs{x, name + ".weight"};
    if (!bias.empty()) {
      w_.Constant(name + ".bias", {out}, bias.data());
      inputs.push_back(name + ".bias");
    }
    const int64_t pad = kernel == 1 ? 0 : 1;
    w_.Node("Conv", inputs, name,
            {OnnxWriter::Integers("kernel_shape", {kernel, kernel}), OnnxWriter::Integers("strides", {stride, stride}), OnnxWriter::Integers("pads", {pad, pad, pad, pad}),
             OnnxWriter::Integer("group", group)});
    return name;
  }
  std::string Leaky(const std::string& x) {
    w_.Node("LeakyRelu", {x}, x + ".leaky", {OnnxWriter::Float("alpha", kLeakySlope)});
    return x + ".leaky";
  }
  std::string Separable(const std::string& x, const std::string& name, const SeparableWeights& s, int stride) {
    return Leaky(Conv(Conv(x, name + ".depthwise", s.depthwise, {}, s.in, s.in, s.kernel, stride, s.in), name + ".pointwise", s.pointwise, s.bias, s.out, s.in, 1, 1, 1));
  }
  std::string Double(const std::string& x) {
    const float scales[4] = {1, 1, 2, 2};
    if (!scales_) w_.Constant("scales", {4}, scales);
    scales_ = true;
    if (!doubled_.insert(x).second) return x + ".double";  // the deepest map serves decoder and fusion
    w_.Node("Resize", {x, "", "scales"}, x + ".double", {OnnxWriter::Text("mode", "linear"), OnnxWriter::Text("coordinate_transformation_mode", "align_corners")});
    return x + ".double";
  }
  std::string Scale(const std::string& x, float factor, float shift, const std::string& name) {
    w_.Constant(name + ".factor", {1}, &factor);
    w_.Constant(name + ".shift", {1}, &shift);
    w_.Node("Mul", {x, name + ".factor"}, name + ".scaled");
    w_.Node("Add", {name + ".scaled", name + ".shift"}, name);
    return name;
  }
  OnnxWriter w_;

 private:
  bool scales_ = false;
  std::set<std::string> doubled_;
};

}  // namespace

std::string IdnToOnnx(const IdnWeights& weights, int size, bool plain) {
  Graph g;
  g.w_.Input("target", {1, 3, size, size});
  std::string x = g.Scale("target", 2, -1, "centred");
  std::string skip[5];
  for (int i = 0; i < 5; ++i) x = skip[i] = g.Separable(x, "encoder." + std::to_string(i), weights.encoder[i], 2);
  for (int i = 0; i < 4; ++i) {
    x = g.Separable(g.Double(x), "decoder." + std::to_string(i), weights.decoder[i], 1);
    if (i == 3) break;
    const std::string joined = "joined." + std::to_string(i);
    g.w_.Node("Concat", {x, skip[3 - i]}, joined, {OnnxWriter::Integer("axis", 1)});
    x = joined;
  }
  const auto conv = [&](const std::string& in, const std::string& name, const ConvWeights& c) { return g.Conv(in, name, c.weight, c.bias, c.out, c.in, c.kernel, 1, 1); };
  const std::string last = x;
  // The 1x1 before the doubling, as in our engine: exact and cheaper.
  x = g.Leaky(g.Double(conv(x, "head.0", weights.head[0])));
  x = g.Leaky(conv(x, "head.1", weights.head[1]));
  x = conv(x, "head.2", weights.head[2]);
  if (weights.detail.out != 0) {
    const std::string four = conv(last, "head.detail", weights.detail);
    if (plain) {
      float places[48] = {};  // for each of the colours
      for (int i = 0; i < 12; ++i) places[i / 3 * 12 + i % 3 * 4 + i / 3] = 1;
      g.w_.Constant("places", {4, 3, 2, 2}, places);
      g.w_.Node("ConvTranspose", {four, "places"}, "detail", {OnnxWriter::Integers("kernel_shape", {2, 2}), OnnxWriter::Integers("strides", {2, 2})});
    } else {
      g.w_.Node("DepthToSpace", {four}, "detail", {OnnxWriter::Integer("blocksize", 2)});
    }
    g.w_.Node("Add", {x, "detail"}, "detailed");
    x = "detailed";
  }
  g.w_.Node("Tanh", {x}, "tanh");
  const std::string raw = g.Scale("tanh", 0.5f, 0.5f, "raw");
  std::string m = skip[4];
  for (int i = 0; i < 5; ++i) m = g.Separable(g.Double(m), "fusion." + std::to_string(i), weights.fusion[i], 1);
  g.w_.Node("Sigmoid", {conv(m, "fusion.out", weights.fusion_out)}, "mask");
  g.w_.Node("Sub", {raw, "target"}, "difference");
  g.w_.Node("Mul", {"difference", "mask"}, "masked");
  g.w_.Node("Add", {"target", "masked"}, "image");
  g.w_.Output("image", {1, 3, size, size});
  g.w_.Output("mask", {1, 1, size, size});
  return g.w_.Serialize();
}

}  // namespace mfs
