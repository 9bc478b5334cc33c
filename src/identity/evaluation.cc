#include "identity/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "face/alignment.h"
#include "weights/tflite_graph.h"

namespace mfs {

double DotProduct(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0;
  for (size_t i = 0; i < a.size(); ++i) dot += double{a[i]} * b[i];
  return dot;
}

double SquaredDistance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (a[i] - b[i]);
  return sum;
}

namespace {

// The weights of face-api's FaceRecognitionNet: a table of names, shapes and quantisation, and the values one behind the other.
StatusOr<std::map<std::string, std::vector<float>>> ReadDlib(const std::string& table, const std::string& values) {
  const auto json = nlohmann::json::parse(table, nullptr, false);
  const Status broken = CorruptData("the table of evaluation embedder 2 is damaged");
  if (!json.is_array() || json.empty() || !json[0].is_object() || !json[0].contains("weights") || !json[0]["weights"].is_array()) return broken;
  std::map<std::string, std::vector<float>> tensors;
  size_t at = 0;
  for (const auto& w : json[0]["weights"]) {
    if (!w.is_object() || !w.contains("name") || !w["name"].is_string() || !w.contains("shape") || !w["shape"].is_array()) return broken;
    size_t n = 1;
    for (const auto& s : w["shape"]) {
      if (!s.is_number_unsigned() || s.get<size_t>() > values.size()) return broken;
      n *= std::min(s.get<size_t>(), values.size());
      if (n > values.size()) return broken;
    }
    // Most tensors are 8-bit (value = q * scale + min), some are plain floats.
    const bool quantised = w.contains("quantization");
    const size_t bytes = quantised ? n : 4 * n;
    if (bytes > values.size() - at) return CorruptData("the weights of evaluation embedder 2 are cut");
    std::vector<float>& t = tensors[w["name"].get<std::string>()];
    t.resize(n);
    if (quantised) {
      const auto& q = w["quantization"];
      if (!q.is_object() || !q.contains("scale") || !q["scale"].is_number() || !q.contains("min") || !q["min"].is_number()) return broken;
      const float scale = q["scale"], least = q["min"];
      for (size_t i = 0; i < n; ++i) t[i] = static_cast<unsigned char>(values[at + i]) * scale + least;
    } else {
      std::memcpy(t.data(), values.data() + at, bytes);
    }
    at += bytes;
  }
  return tensors;
}

// ResNet-34 as dlib has it: pooled or narrower shortcuts are filled up with zeros.
StatusOr<Graph> BuildDlib(const std::string& table, const std::string& values) {
  MFS_ASSIGN_OR_RETURN(auto tensors, ReadDlib(table, values));
  Graph g;
  const auto conv = [&](int in, const std::string& name, int stride) -> StatusOr<int> {
    std::vector<float>&weight = tensors[name + "/conv/filters"], &bias = tensors[name + "/conv/bias"];
    const std::vector<float>&scale = tensors[name + "/scale/weights"], &shift = tensors[name + "/scale/biases"];
    const size_t outs = bias.size(), ins = g.layers[in].shape.channels;
    if (outs == 0 || scale.size() != outs || shift.size() != outs) return CorruptData("the table of evaluation embedder 2 is incomplete");
    for (size_t i = 0; i < weight.size(); ++i) weight[i] *= scale[i % outs];
    for (size_t i = 0; i < outs; ++i) bias[i] = bias[i] * scale[i] + shift[i];
    const int kernel = static_cast<int>(std::lround(std::sqrt(static_cast<double>(weight.size() / outs / ins))));
    // Strided convolutions are VALID, the others SAME.
    const MapShape& s = g.layers[in].shape;
    return g.Conv(in, {kernel, kernel, stride, 1, stride == 1 ? SamePadding(s.height, s.width, kernel, kernel, 1) : Padding{}}, std::move(weight), std::move(bias));
  };
  const auto fill = [&](int in, const MapShape& to) -> StatusOr<int> {
    const MapShape& s = g.layers[in].shape;
    if (s == to) return in;
    return g.Pad(in, {0, to.height - s.height, 0, to.width - s.width}, to.channels);
  };
  MFS_ASSIGN_OR_RETURN(int x, g.Input({150, 150, 3}));
  MFS_ASSIGN_OR_RETURN(x, conv(x, "conv32_down", 2));
  MFS_ASSIGN_OR_RETURN(x, g.Activate(x, Activation::kRelu));
  MFS_ASSIGN_OR_RETURN(x, g.MaxPool(x, {3, 3, 2, 1, {}}));
  for (const char* name : {"conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3", "conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2",
                           "conv256_down_out"}) {
    const std::string block = name;
    const bool down = block.find("_down") != std::string::npos;
    MFS_ASSIGN_OR_RETURN(int main, conv(x, block + "/conv1", down ? 2 : 1));
    MFS_ASSIGN_OR_RETURN(main, g.Activate(main, Activation::kRelu));
    MFS_ASSIGN_OR_RETURN(main, conv(main, block + "/conv2", 1));
    int shortcut = x;
    if (down) {
      MFS_ASSIGN_OR_RETURN(shortcut, g.AveragePool(x, {2, 2, 2, 1, {}}));
    }
    const MapShape a = g.layers[main].shape, b = g.layers[shortcut].shape;
    const MapShape both{std::max(a.height, b.height), std::max(a.width, b.width), std::max(a.channels, b.channels)};
    MFS_ASSIGN_OR_RETURN(main, fill(main, both));
    MFS_ASSIGN_OR_RETURN(shortcut, fill(shortcut, both));
    MFS_ASSIGN_OR_RETURN(x, g.Add(main, shortcut));
    MFS_ASSIGN_OR_RETURN(x, g.Activate(x, Activation::kRelu));
  }
  const MapShape last = g.layers[x].shape;
  MFS_ASSIGN_OR_RETURN(x, g.AveragePool(x, {last.height, last.width, 1, 1, {}}));
  MFS_ASSIGN_OR_RETURN(x, g.Conv(x, {}, tensors["fc"], std::vector<float>(128, 0)));
  g.outputs = {x};
  return g;
}

// (x - mean) / scale of 0..255.
void Fill(const ImageF& crop, const std::array<float, 3>& mean, float scale, const MapView& to) {
  for (int y = 0; y < to.shape.height; ++y) {
    for (int x = 0; x < to.shape.width; ++x) {
      for (int c = 0; c < 3; ++c) to.at(y, x)[c] = (crop.row(c, y)[x] * 255 - mean[c]) / scale;
    }
  }
}

}  // namespace

StatusOr<Graph> LoadEvaluationGraph1(const ModelStore& store) {
  MFS_ASSIGN_OR_RETURN(const std::string bytes, store.Load("eval_mobilefacenet192.tflite"));
  MFS_ASSIGN_OR_RETURN(Graph graph, GraphFromTflite(bytes));
  if (!(graph.layers[0].shape == MapShape{112, 112, 3}) || graph.layers[graph.outputs[0]].shape.size() != 192) return CorruptData("evaluation embedder 1 has unexpected shapes");
  return graph;
}

StatusOr<Graph> LoadEvaluationGraph2(const ModelStore& store) {
  MFS_ASSIGN_OR_RETURN(const std::string table, store.Load("eval_dlib_resnet34.json"));
  MFS_ASSIGN_OR_RETURN(const std::string values, store.Load("eval_dlib_resnet34.bin"));
  return BuildDlib(table, values);
}

StatusOr<std::unique_ptr<EvaluationEmbedders>> EvaluationEmbedders::Create(const ModelStore& store, const PlanOptions& options) {
  auto e = std::make_unique<EvaluationEmbedders>();
  MFS_ASSIGN_OR_RETURN(Graph first, LoadEvaluationGraph1(store));
  MFS_ASSIGN_OR_RETURN(e->mobilefacenet_, Plan::Create(std::move(first), options));
  MFS_ASSIGN_OR_RETURN(Graph second, LoadEvaluationGraph2(store));
  MFS_ASSIGN_OR_RETURN(e->dlib_, Plan::Create(std::move(second), options));
  return e;
}

StatusOr<std::vector<float>> EvaluationEmbedders::Run1(const FrameView& frame, const std::array<Point, 5>& points) {
  MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(points, 112));
  ImageF crop;
  MFS_RETURN_IF_ERROR(ReadWarped(frame, align, 112, 112, &crop));
  Fill(crop, {127.5f, 127.5f, 127.5f}, 128, mobilefacenet_->input());
  mobilefacenet_->Run();
  std::vector<float> z;
  mobilefacenet_->CopyOutput(0, &z);
  double squares = 1e-20;
  for (float v : z) squares += double{v} * v;
  for (float& v : z) v /= static_cast<float>(std::sqrt(squares));
  return z;
}

StatusOr<std::vector<float>> EvaluationEmbedders::Run2(const FrameView& frame, const std::array<Point, 5>& points) {
  // Eyes level; the mean of eyes and mouth at (0.5, 0.43) of a square with side (eye-to-mouth distance) / 0.45.
  const Point eyes = (points[0] + points[1]) * 0.5f, mouth = (points[3] + points[4]) * 0.5f;
  const float side = Distance(eyes, mouth) / 0.45f;
  const Point d = points[1] - points[0];
  const float roll = std::atan2(d.y, d.x);
  const Point down{-std::sin(roll), std::cos(roll)};
  if (!(side > 1)) return InvalidArgument("the points of the face coincide");
  ImageF crop;
  MFS_RETURN_IF_ERROR(ReadWarped(frame, SquareCrop((eyes + mouth) * 0.5f + down * (0.07f * side), side, roll * static_cast<float>(180 / M_PI), 150), 150, 150, &crop));
  Fill(crop, {122.782f, 117.001f, 104.298f}, 255, dlib_->input());
  dlib_->Run();
  std::vector<float> z;
  dlib_->CopyOutput(0, &z);
  return z;
}

}  // namespace mfs
