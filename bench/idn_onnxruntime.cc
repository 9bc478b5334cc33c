#include "idn/idn_onnx.h"
#include "nets.h"
#include "oracle/ort_session.h"

namespace mfs::bench {

Status AddIdnOnnxRuntime(std::shared_ptr<const IdnCase> c, Race* race) {
  for (int threads : {1, 2}) {
    MFS_ASSIGN_OR_RETURN(std::unique_ptr<OrtSession> session, OrtSession::Create(IdnToOnnx(c->weights, kIdnSize), {}, threads));
    std::shared_ptr<OrtSession> shared = std::move(session);
    auto outputs = std::make_shared<std::vector<std::vector<float>>>();
    race->Add({"idn224", "onnxruntime", "-", threads, kIdnMmac, [=] { return shared->Run(c->target.data(), {1, 3, kIdnSize, kIdnSize}, outputs.get()); }, [=] { return &(*outputs)[0]; }});
  }
  return Status::Ok();
}

}  // namespace mfs::bench
