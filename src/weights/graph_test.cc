// Loaders of networks: small ones against ONNX Runtime, and damaged files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "nn/graph_reference.h"
#include "nn/plan.h"
#include "oracle/ort_session.h"
#include "weights/model_store.h"
#include "weights/onnx_graph.h"
#include "weights/onnx_writer.h"
#include "weights/tflite_graph.h"

namespace mfs {
namespace {

using Values = std::vector<float>;

Values Random(std::mt19937* rng, size_t n, float spread = 1) {
  std::normal_distribution<float> normal(0, spread);
  Values v(n);
  for (float& x : v) x = normal(*rng);
  return v;
}

// [channels][pixels] -> [pixels][channels].
Values ChannelsLast(const Values& v, int channels) {
  const size_t pixels = v.size() / channels;
  Values out(v.size());
  for (int c = 0; c < channels; ++c) {
    for (size_t p = 0; p < pixels; ++p) out[p * channels + c] = v[c * pixels + p];
  }
  return out;
}

float Worst(const Values& a, const Values& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) worst = std::max(worst, std::isfinite(a[i]) ? std::fabs(a[i] - b[i]) : INFINITY);
  return worst;
}

// The file in ONNX Runtime, and what we read from it in the reference.
void ExpectSame(const std::string& onnx, const MapShape& shape, const std::vector<int>& channels, float tolerance) {
  std::mt19937 rng(3);
  const Values input = Random(&rng, shape.size());
  auto session = OrtSession::Create(onnx);
  ASSERT_TRUE(session.ok()) << session.status().message();
  std::vector<Values> want;
  ASSERT_TRUE((*session)->Run(input.data(), {1, shape.channels, shape.height, shape.width}, &want).ok());
  auto graph = GraphFromOnnx(onnx);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const std::vector<Values> got = RunReference(*graph, ChannelsLast(input, shape.channels).data());
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(Worst(got[i], ChannelsLast(want[i], channels[i])), tolerance) << "output " << i;
}

TEST(OnnxGraph, OperatorsAsInOnnxRuntime) {
  std::mt19937 rng(1);
  OnnxWriter w;
  using A = OnnxWriter;
  w.Input("in", {1, 4, 8, 6});
  w.Constant("w", {5, 4, 3, 2}, Random(&rng, 120).data());
  w.Constant("b", {5}, Random(&rng, 5).data());
  w.Node("Conv", {"in", "w", "b"}, "conv", {A::Integers("kernel_shape", {3, 2}), A::Integers("strides", {1, 1}), A::Integers("dilations", {2, 2}), A::Integers("pads", {1, 0, 2, 1})});
  Values variance = Random(&rng, 5);
  for (float& v : variance) v = std::fabs(v) + 0.1f;
  w.Constant("scale", {5}, Random(&rng, 5).data());
  w.Constant("shift", {5}, Random(&rng, 5).data());
  w.Constant("mean", {5}, Random(&rng, 5).data());
  w.Constant("variance", {5}, variance.data());
  w.Node("BatchNormalization", {"conv", "scale", "shift", "mean", "variance"}, "norm", {A::Float("epsilon", 0.01f)});
  w.Node("LeakyRelu", {"norm"}, "leaky", {A::Float("alpha", 0.2f)});
  const float bounds[2] = {0, 6}, half = 0.5f;
  w.Constant("zero", {}, bounds);
  w.Constant("six", {}, bounds + 1);
  w.Constant("half", {}, &half);
  w.Node("Clip", {"leaky", "zero", "six"}, "clip");
  w.Node("Mul", {"clip", "half"}, "scaled");
  w.Node("Add", {"scaled", "norm"}, "sum");
  w.Node("MaxPool", {"sum"}, "pool", {A::Integers("kernel_shape", {2, 2}), A::Integers("strides", {2, 2})});
  w.Constant("d", {5, 1, 3, 3}, Random(&rng, 45).data());
  w.Node("Conv", {"pool", "d"}, "depthwise", {A::Integers("kernel_shape", {3, 3}), A::Integers("pads", {1, 1, 1, 1}), A::Integer("group", 5)});
  w.Node("Concat", {"depthwise", "pool"}, "joined", {A::Integer("axis", 1)});
  w.Node("Flatten", {"joined"}, "flat", {A::Integer("axis", 1)});
  w.Constant("gw", {7, 60}, Random(&rng, 420, 0.1f).data());
  w.Constant("gb", {7}, Random(&rng, 7).data());
  w.Node("Gemm", {"flat", "gw", "gb"}, "out", {A::Integer("transB", 1)});
  w.Output("joined");
  w.Output("out");
  ExpectSame(w.Serialize(), {8, 6, 4}, {10, 7}, 1e-4f);
}

TEST(OnnxGraph, ThereAndBack) {
  std::mt19937 rng(2);
  Graph g;
  int x = *g.Input({9, 8, 3});
  const auto conv = [&](int in, int out, const Window& w) {
    return *g.Conv(in, w, Random(&rng, static_cast<size_t>(w.height) * w.width * g.layers[in].shape.channels * out, 0.3f), Random(&rng, out));
  };
  const int stem = *g.Activate(conv(x, 8, {3, 3, 2, 1, {0, 1, 0, 1}}), Activation::kRelu6);
  const int deep = *g.Activate(*g.Depthwise(stem, {3, 3, 1, 1, {1, 1, 1, 1}}, Random(&rng, 72), Random(&rng, 8)), Activation::kPrelu, Random(&rng, 8));
  const int sum = *g.Add(*g.Activate(conv(deep, 8, {}), Activation::kRelu), stem);
  const int pool = *g.Pad(*g.AveragePool(sum, {2, 2, 2, 1, {}}), {1, 0, 0, 2}, 11);
  const int most = *g.Pad(*g.MaxPool(sum, {2, 2, 2, 1, {}}), {}, 16);  // becomes one layer
  g.outputs = {*g.Concat({pool, pool}), sum, *g.Add(most, most)};
  g.Simplify();
  auto onnx = GraphToOnnx(g);
  ASSERT_TRUE(onnx.ok()) << onnx.status().message();
  auto session = OrtSession::Create(*onnx);
  ASSERT_TRUE(session.ok()) << session.status().message();
  const Values input = Random(&rng, 9 * 8 * 3);
  std::vector<Values> got;
  ASSERT_TRUE((*session)->Run(input.data(), {1, 3, 9, 8}, &got).ok());
  const std::vector<Values> want = RunReference(g, ChannelsLast(input, 3).data());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_LT(Worst(ChannelsLast(got[i], g.layers[g.outputs[i]].shape.channels), want[i]), 1e-4f);
}

TEST(OnnxGraph, SaysWhatItCannotRead) {
  OnnxWriter w;
  w.Input("in", {1, 3, 4, 4});
  w.Node("Tanh", {"in"}, "out");
  w.Output("out");
  EXPECT_EQ(GraphFromOnnx(w.Serialize()).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(GraphFromOnnx(w.Serialize(), {"elsewhere"}).status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(GraphFromOnnx("").status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(GraphFromTflite("").status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(GraphFromTflite(std::string(100, 'x')).status().code(), StatusCode::kCorruptData);
}

// Every network, cut and with bytes changed: an error or another network, never a crash. What can still be planned also runs.
TEST(DamagedNetworks, GiveAnError) {
  auto store = ModelStore::Open({});
  ASSERT_TRUE(store.ok()) << store.status().message();
  std::mt19937 rng(9);
  int refused = 0, ran = 0;
  for (const char* name : {"embedder_mobilefacenet.onnx", "face_detector_rfb320.onnx", "face_detector_blazeface256.onnx", "landmarks68.onnx", "face_mesh468.tflite", "eval_mobilefacenet192.tflite"}) {
    auto bytes = store->Load(name);
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    const bool onnx = std::string(name).find(".onnx") != std::string::npos;
    const std::vector<std::string> outputs = std::string(name) == "face_detector_rfb320.onnx" ? std::vector<std::string>{"319", "449"} : std::vector<std::string>();
    const auto parse = [&](const std::string& b) { return onnx ? GraphFromOnnx(b, outputs) : GraphFromTflite(b); };
    ASSERT_TRUE(parse(*bytes).ok()) << name;
    for (int i = 0; i < 12; ++i) EXPECT_FALSE(parse(bytes->substr(0, bytes->size() * i / 12)).ok()) << name << " cut at " << i << "/12";
    for (int i = 0; i < 60; ++i) {
      std::string b = *bytes;
      // The structure lies at the front of ONNX files and at both ends of TFLite files.
      const size_t window = i % 3 == 0 ? b.size() : std::min<size_t>(b.size(), 30000), first = i % 3 == 2 && !onnx ? b.size() - window : 0;
      for (int k = 0; k <= i % 8; ++k) b[first + rng() % window] = static_cast<char>(rng());
      auto graph = parse(b);
      if (!graph.ok()) {
        ++refused;
        EXPECT_FALSE(graph.status().message().empty());
        continue;
      }
      if (i % 6 != 0 || graph->Macs() > 5e8 || graph->layers[0].shape.size() > 1000000) continue;
      const Values input(graph->layers[0].shape.size(), 0.5f);
      auto plan = Plan::Create(std::move(*graph), {});
      if (plan.ok()) (*plan)->Run(input.data()), ++ran;
    }
  }
  EXPECT_GT(refused, 50);
  EXPECT_GT(ran, 10);
}

}  // namespace
}  // namespace mfs
