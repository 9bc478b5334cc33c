#include "identity/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "face/alignment.h"

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

StatusOr<std::unique_ptr<EvaluationEmbedders>> EvaluationEmbedders::Create(const ModelStore& store) {
  auto e = std::make_unique<EvaluationEmbedders>();
  MFS_ASSIGN_OR_RETURN(const std::string net, store.Load("eval_mobilefacenet192.tflite"));
  MFS_ASSIGN_OR_RETURN(e->mobilefacenet_, TfliteNet::Create(net));
  MFS_ASSIGN_OR_RETURN(const std::string table, store.Load("eval_dlib_resnet34.json"));
  MFS_ASSIGN_OR_RETURN(const std::string values, store.Load("eval_dlib_resnet34.bin"));
  const auto json = nlohmann::json::parse(table, nullptr, false);
  if (!json.is_array() || json.empty()) return CorruptData("the table of evaluation embedder 2 is no JSON list");
  std::map<std::string, std::vector<float>> tensors;
  std::map<std::string, int> kernels;
  size_t at = 0;
  for (const auto& w : json[0]["weights"]) {
    size_t n = 1;
    for (int s : w["shape"]) n *= s;
    // Most tensors are 8-bit (value = q * scale + min), some are plain floats.
    const bool quantised = w.contains("quantization");
    const size_t bytes = quantised ? n : 4 * n;
    if (at + bytes > values.size()) return CorruptData("the weights of evaluation embedder 2 are cut");
    std::vector<float>& t = tensors[w["name"]];
    t.resize(n);
    if (quantised) {
      const float scale = w["quantization"]["scale"], least = w["quantization"]["min"];
      for (size_t i = 0; i < n; ++i) t[i] = static_cast<unsigned char>(values[at + i]) * scale + least;
    } else {
      std::memcpy(t.data(), values.data() + at, bytes);
    }
    kernels[w["name"]] = w["shape"][0];
    at += bytes;
  }
  const std::string suffix = "/conv/filters";
  for (const auto& [name, filters] : tensors) {
    if (name.size() <= suffix.size() || name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0) continue;
    const std::string base = name.substr(0, name.size() - suffix.size());
    Layer layer;
    layer.kernel = kernels[name];
    layer.weight = filters;
    layer.bias = tensors[base + "/conv/bias"];
    const std::vector<float>&scale = tensors[base + "/scale/weights"], &shift = tensors[base + "/scale/biases"];
    const size_t outs = layer.bias.size();
    if (scale.size() != outs || shift.size() != outs) return CorruptData("the table of evaluation embedder 2 is incomplete");
    for (size_t i = 0; i < layer.weight.size(); ++i) layer.weight[i] *= scale[i % outs];
    for (size_t i = 0; i < outs; ++i) layer.bias[i] = layer.bias[i] * scale[i] + shift[i];
    e->dlib_[base] = std::move(layer);
  }
  e->fc_ = tensors["fc"];
  if (e->fc_.size() != 256 * 128) return CorruptData("the table of evaluation embedder 2 is incomplete");
  return e;
}

StatusOr<std::vector<float>> EvaluationEmbedders::Run1(const FrameView& frame, const std::array<Point, 5>& points) {
  MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(points, 112));
  ImageF crop;
  MFS_RETURN_IF_ERROR(ReadWarped(frame, align, 112, 112, &crop));
  NhwcMap in(112, 112, 3);
  for (size_t i = 0; i < crop.plane_size(); ++i) {
    for (int c = 0; c < 3; ++c) in.data[3 * i + c] = (crop.plane(c)[i] * 255 - 127.5f) / 128;
  }
  MFS_ASSIGN_OR_RETURN(const std::vector<NhwcMap> out, mobilefacenet_->Run(in));
  if (out.empty() || out[0].data.size() != 192) return Internal("evaluation embedder 1 returned an unexpected shape");
  std::vector<float> z = out[0].data;
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
  static constexpr float kMean[3] = {122.782f, 117.001f, 104.298f};
  NhwcMap x(150, 150, 3);
  for (size_t i = 0; i < crop.plane_size(); ++i) {
    for (int c = 0; c < 3; ++c) x.data[3 * i + c] = (crop.plane(c)[i] * 255 - kMean[c]) / 255;
  }
  bool complete = true;
  const auto conv = [&](const NhwcMap& in, const std::string& name, int stride, bool relu) {
    const auto it = dlib_.find(name);
    if (it == dlib_.end()) {
      complete = false;
      return in;
    }
    const Layer& l = it->second;
    // Strided convolutions are VALID, the others SAME (face-api's FaceRecognitionNet).
    NhwcMap out = Convolve(in, l.weight, l.bias, l.kernel, l.kernel, stride, stride == 1 ? SamePadding(in.height, in.width, l.kernel, l.kernel, 1) : Padding{});
    for (float& v : out.data) v = relu ? std::max(v, 0.0f) : v;
    return out;
  };
  x = MaxPool(conv(x, "conv32_down", 2, true), 3, 2, {});
  for (const char* name : {"conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3", "conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1",
                           "conv256_2", "conv256_down_out"}) {
    const std::string block = name;
    const bool down = block.find("_down") != std::string::npos;
    const NhwcMap main = conv(conv(x, block + "/conv1", down ? 2 : 1, true), block + "/conv2", 1, false);
    const NhwcMap shortcut = down ? AveragePool2(x) : x;
    if (!complete) break;
    // Zeros fill what is missing in size or channels on either side.
    NhwcMap sum(std::max(main.height, shortcut.height), std::max(main.width, shortcut.width), std::max(main.channels, shortcut.channels));
    for (const NhwcMap* part : {&main, &shortcut}) {
      for (int y = 0; y < part->height; ++y) {
        for (int px = 0; px < part->width; ++px) {
          for (int c = 0; c < part->channels; ++c) sum.at(y, px)[c] += part->at(y, px)[c];
        }
      }
    }
    for (float& v : sum.data) v = std::max(v, 0.0f);
    x = std::move(sum);
  }
  if (!complete || x.channels != 256) return CorruptData("evaluation embedder 2 is incomplete");
  std::vector<float> mean(256, 0.0f), z(128, 0.0f);
  for (size_t i = 0; i < x.data.size(); ++i) mean[i % 256] += x.data[i] / (static_cast<float>(x.height) * x.width);
  for (int i = 0; i < 256; ++i) {
    for (int o = 0; o < 128; ++o) z[o] += mean[i] * fc_[i * 128 + o];
  }
  return z;
}

}  // namespace mfs
