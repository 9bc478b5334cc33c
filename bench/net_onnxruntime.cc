#include "net_cases.h"
#include "oracle/ort_session.h"
#include "weights/onnx_graph.h"

namespace mfs::bench {

// The graphs as they were loaded: the runtime does its own fusing. Denormals are flushed, and
// weights below 1e-12 are zero, as in ours.
Status AddNetsOnnxRuntime(const std::vector<NetCase>& cases, Race* race) {
  for (const NetCase& c : cases) {
    const auto onnx = GraphToOnnx(*c.graph);
    if (onnx.status().code() == StatusCode::kUnsupported) continue;  // the injection network's group norm
    if (!onnx.ok()) return onnx.status();
    const MapShape shape = c.graph->layers[0].shape;
    const size_t pixels = static_cast<size_t>(shape.height) * shape.width;
    auto planes = std::make_shared<std::vector<float>>(c.input->size());
    for (size_t p = 0; p < pixels; ++p) {
      for (int k = 0; k < shape.channels; ++k) (*planes)[k * pixels + p] = (*c.input)[p * shape.channels + k];
    }
    for (int threads : {1, 2}) {
      MFS_ASSIGN_OR_RETURN(std::unique_ptr<OrtSession> session, OrtSession::Create(*onnx, {}, threads));
      std::shared_ptr<OrtSession> shared = std::move(session);
      auto outputs = std::make_shared<std::vector<std::vector<float>>>();
      auto flat = std::make_shared<std::vector<float>>();
      const auto run = [=] { return shared->Run(planes->data(), {1, shape.channels, shape.height, shape.width}, outputs.get()); };
      const auto all = [flat, outputs, graph = c.graph] {
        flat->clear();
        for (size_t i = 0; i < outputs->size(); ++i) {  // channels innermost, as ours
          const MapShape& s = graph->layers[graph->outputs[i]].shape;
          const size_t count = static_cast<size_t>(s.height) * s.width;
          for (size_t p = 0; p < count; ++p) {
            for (int k = 0; k < s.channels; ++k) flat->push_back((*outputs)[i][k * count + p]);
          }
        }
        return static_cast<const std::vector<float>*>(flat.get());
      };
      race->Add({c.net, "onnxruntime", "-", threads, c.mmac, run, all, 1e-2f});
    }
  }
  return Status::Ok();
}

}  // namespace mfs::bench
