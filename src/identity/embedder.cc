#include "identity/embedder.h"

#include <cmath>

#include "weights/onnx_graph.h"

namespace mfs {

StatusOr<Graph> LoadEmbedderGraph(const ModelStore& store) {
  MFS_ASSIGN_OR_RETURN(const std::string bytes, store.Load("embedder_mobilefacenet.onnx"));
  // 507 is the PReLU behind the last 1x1 convolution: the map that the injection network reads.
  MFS_ASSIGN_OR_RETURN(Graph graph, GraphFromOnnx(bytes, {"output", "507"}));
  const auto shape = [&](int i) { return graph.layers[graph.outputs[i]].shape; };
  if (!(graph.layers[0].shape == MapShape{112, 112, 3}) || !(shape(0) == MapShape{1, 1, 512}) || !(shape(1) == MapShape{7, 7, 512})) {
    return CorruptData("the embedder has unexpected shapes");
  }
  return graph;
}

StatusOr<std::unique_ptr<Embedder>> Embedder::Create(const ModelStore& store, const PlanOptions& options) {
  MFS_ASSIGN_OR_RETURN(Graph graph, LoadEmbedderGraph(store));
  auto embedder = std::make_unique<Embedder>();
  MFS_ASSIGN_OR_RETURN(embedder->plan_, Plan::Create(std::move(graph), options));
  return embedder;
}

StatusOr<Embedding> Embedder::Run(const ImageF& aligned) {
  if (aligned.width() != 112 || aligned.height() != 112 || aligned.channels() != 3) {
    return InvalidArgument("the embedder needs an aligned RGB crop of 112 x 112 pixels");
  }
  const MapView& in = plan_->input();
  for (int y = 0; y < 112; ++y) {
    for (int x = 0; x < 112; ++x) {
      for (int c = 0; c < 3; ++c) in.at(y, x)[c] = (aligned.row(2 - c, y)[x] * 255 - 127) / 128;  // the net was trained on BGR
    }
  }
  plan_->Run();
  const MapView &z = plan_->output(0), &map = plan_->output(1);
  Embedding e;
  double squares = 0;
  for (int i = 0; i < 512; ++i) squares += double{z.data[i]} * z.data[i];
  const double norm = std::sqrt(squares);
  if (!(norm > 1e-6) || !std::isfinite(norm)) return Internal("the embedder returned no usable embedding");
  for (int i = 0; i < 512; ++i) e.z[i] = static_cast<float>(z.data[i] / norm);
  e.map.resize(512 * 49);
  for (int p = 0; p < 49; ++p) {
    const float* from = map.at(p / 7, p % 7);
    for (int c = 0; c < 512; ++c) e.map[c * 49 + p] = from[c];
  }
  return e;
}

}  // namespace mfs
