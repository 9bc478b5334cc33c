#include "face/face_nets.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "weights/onnx_graph.h"

namespace mfs {
namespace {

// Pixels of the input between two cells, and the sides of a cell's square anchors.
struct RfbScale {
  int stride, anchors;
  float sides[3];
};
constexpr RfbScale kRfbScales[4] = {{8, 3, {10, 16, 24}}, {16, 2, {32, 48}}, {32, 2, {64, 96}}, {64, 3, {128, 192, 256}}};

StatusOr<Graph> Load(const ModelStore& store, const std::string& name, const std::vector<std::string>& outputs, const MapShape& input, const std::vector<size_t>& sizes) {
  MFS_ASSIGN_OR_RETURN(const std::string bytes, store.Load(name));
  auto graph = GraphFromOnnx(bytes, outputs);
  if (!graph.ok()) return graph.status().WithPrefix(name + ": ");
  bool fits = graph->layers[0].shape == input && graph->outputs.size() == sizes.size();
  for (size_t i = 0; fits && i < sizes.size(); ++i) fits = graph->layers[graph->outputs[i]].shape.size() == sizes[i];
  if (!fits) return CorruptData(name + ": the network has unexpected shapes");
  return graph;
}

}  // namespace

StatusOr<Graph> LoadRfbGraph(const ModelStore& store) {
  std::vector<size_t> sizes;
  for (const RfbScale& s : kRfbScales) {
    const size_t cells = static_cast<size_t>((kRfbWidth + s.stride - 1) / s.stride) * ((kRfbHeight + s.stride - 1) / s.stride);
    sizes.push_back(cells * s.anchors * 2);
    sizes.push_back(cells * s.anchors * 4);
  }
  return Load(store, "face_detector_rfb320.onnx", {"319", "333", "365", "379", "405", "419", "437", "449"}, {kRfbHeight, kRfbWidth, 3}, sizes);
}

StatusOr<Graph> LoadBlazeGraph(const ModelStore& store) {
  return Load(store, "face_detector_blazeface256.onnx", {"Identity:0", "Identity_1:0", "Identity_2:0", "Identity_3:0"}, {kBlazeSize, kBlazeSize, 3}, {512, 384, 512 * 16, 384 * 16});
}

StatusOr<Graph> LoadLandmarkGraph(const ModelStore& store) { return Load(store, "landmarks68.onnx", {"output"}, {kLandmarkSize, kLandmarkSize, 1}, {136}); }

void DecodeRfb(const Plan& plan, float threshold, std::vector<RfbBox>* boxes) {
  constexpr float kCenterVariance = 0.1f, kSizeVariance = 0.2f;
  for (int i = 0; i < 4; ++i) {
    const RfbScale& s = kRfbScales[i];
    const MapView &logits = plan.output(2 * i), &offsets = plan.output(2 * i + 1);
    for (int y = 0; y < logits.shape.height; ++y) {
      for (int x = 0; x < logits.shape.width; ++x) {
        const float *l = logits.at(y, x), *o = offsets.at(y, x);
        for (int a = 0; a < s.anchors; ++a, l += 2, o += 4) {
          const float score = 1 / (1 + std::exp(l[0] - l[1]));
          if (!(score > threshold)) continue;
          const float w = std::min(s.sides[a] / kRfbWidth, 1.0f), h = std::min(s.sides[a] / kRfbHeight, 1.0f);
          const float cx = (x + 0.5f) / logits.shape.width + o[0] * kCenterVariance * w, cy = (y + 0.5f) / logits.shape.height + o[1] * kCenterVariance * h;
          const float half_w = w * std::exp(o[2] * kSizeVariance) / 2, half_h = h * std::exp(o[3] * kSizeVariance) / 2;
          boxes->push_back({score, {cx - half_w, cy - half_h, cx + half_w, cy + half_h}});
        }
      }
    }
  }
}

}  // namespace mfs
