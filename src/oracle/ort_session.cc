#include "oracle/ort_session.h"

#include <onnxruntime_c_api.h>

#include "base/flush_denormals.h"
#include "weights/onnx_writer.h"

namespace mfs {
namespace {

const OrtApi* Api() {
  const OrtApiBase* base = OrtGetApiBase();
  return base == nullptr ? nullptr : base->GetApi(ORT_API_VERSION);
}

Status FromOrt(const OrtApi* api, OrtStatus* status) {
  if (status == nullptr) return Status::Ok();
  const Status s = Internal(std::string("ONNX Runtime: ") + api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return s;
}

// The runtime must not write to the caller's terminal.
void ORT_API_CALL Silence(void*, OrtLoggingLevel, const char*, const char*, const char*, const char*) {}

}  // namespace

struct OrtSession::Impl {
  const OrtApi* api = nullptr;
  OrtEnv* env = nullptr;
  OrtSessionOptions* options = nullptr;
  ::OrtSession* session = nullptr;
  OrtMemoryInfo* memory = nullptr;
  std::string input_name;

  ~Impl() {
    if (api == nullptr) return;
    if (memory != nullptr) api->ReleaseMemoryInfo(memory);
    if (session != nullptr) api->ReleaseSession(session);
    if (options != nullptr) api->ReleaseSessionOptions(options);
    if (env != nullptr) api->ReleaseEnv(env);
  }
};

OrtSession::OrtSession() : impl_(std::make_unique<Impl>()) {}
OrtSession::~OrtSession() = default;

StatusOr<std::unique_ptr<OrtSession>> OrtSession::Create(const std::string& model, const std::vector<std::string>& extra_outputs, int threads) {
  std::unique_ptr<OrtSession> s(new OrtSession());
  Impl& m = *s->impl_;
  m.api = Api();
  if (m.api == nullptr) return Unsupported("this ONNX Runtime is older than the one that the program was built with");
  const auto check = [&](OrtStatus* status) { return FromOrt(m.api, status); };
  MFS_RETURN_IF_ERROR(check(m.api->CreateEnvWithCustomLogger(Silence, nullptr, ORT_LOGGING_LEVEL_FATAL, "mfs", &m.env)));
  MFS_RETURN_IF_ERROR(check(m.api->CreateSessionOptions(&m.options)));
  MFS_RETURN_IF_ERROR(check(m.api->SetIntraOpNumThreads(m.options, threads)));
  MFS_RETURN_IF_ERROR(check(m.api->SetInterOpNumThreads(m.options, 1)));
  MFS_RETURN_IF_ERROR(check(m.api->SetSessionExecutionMode(m.options, ORT_SEQUENTIAL)));
  MFS_RETURN_IF_ERROR(check(m.api->SetSessionGraphOptimizationLevel(m.options, ORT_ENABLE_ALL)));
  MFS_RETURN_IF_ERROR(check(m.api->AddSessionConfigEntry(m.options, "session.set_denormal_as_zero", "1")));
  // Its threads would go on spinning behind the last frame and take the cores from everything else.
  MFS_RETURN_IF_ERROR(check(m.api->AddSessionConfigEntry(m.options, "session.force_spinning_stop", "1")));
  // Protocol buffers merge a message field that comes twice, so one more graph with nothing but outputs adds these outputs.
  std::string bytes = model;
  if (!extra_outputs.empty()) {
    std::string graph;
    for (const std::string& name : extra_outputs) {
      std::string value_info;
      AppendProtoBytes(1, name, &value_info);    // ValueInfoProto.name
      AppendProtoBytes(12, value_info, &graph);  // GraphProto.output
    }
    AppendProtoBytes(7, graph, &bytes);  // ModelProto.graph
  }
  const ScopedFlushDenormals flush;  // constants are folded while the session is made
  MFS_RETURN_IF_ERROR(check(m.api->CreateSessionFromArray(m.env, bytes.data(), bytes.size(), m.options, &m.session)));
  MFS_RETURN_IF_ERROR(check(m.api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &m.memory)));
  OrtAllocator* allocator = nullptr;
  MFS_RETURN_IF_ERROR(check(m.api->GetAllocatorWithDefaultOptions(&allocator)));
  char* name = nullptr;
  MFS_RETURN_IF_ERROR(check(m.api->SessionGetInputName(m.session, 0, allocator, &name)));
  m.input_name = name;
  allocator->Free(allocator, name);
  size_t outputs = 0;
  MFS_RETURN_IF_ERROR(check(m.api->SessionGetOutputCount(m.session, &outputs)));
  for (size_t i = 0; i < outputs; ++i) {
    MFS_RETURN_IF_ERROR(check(m.api->SessionGetOutputName(m.session, i, allocator, &name)));
    s->output_names_.push_back(name);
    allocator->Free(allocator, name);
  }
  return s;
}

Status OrtSession::Run(const float* input, const std::vector<int64_t>& shape, std::vector<std::vector<float>>* outputs) {
  Impl& m = *impl_;
  size_t count = 1;
  for (int64_t n : shape) count *= static_cast<size_t>(n);
  OrtValue* in = nullptr;
  MFS_RETURN_IF_ERROR(
      FromOrt(m.api, m.api->CreateTensorWithDataAsOrtValue(m.memory, const_cast<float*>(input), count * sizeof(float), shape.data(), shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in)));
  const char* input_name = m.input_name.c_str();
  std::vector<const char*> names;
  for (const std::string& n : output_names_) names.push_back(n.c_str());
  std::vector<OrtValue*> values(names.size(), nullptr);
  Status status;
  {
    const ScopedFlushDenormals flush;
    status = FromOrt(m.api, m.api->Run(m.session, nullptr, &input_name, &in, 1, names.data(), names.size(), values.data()));
  }
  outputs->resize(values.size());
  for (size_t i = 0; i < values.size() && status.ok(); ++i) {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    size_t n = 0;
    void* data = nullptr;
    status = FromOrt(m.api, m.api->GetTensorTypeAndShape(values[i], &info));
    if (status.ok()) status = FromOrt(m.api, m.api->GetTensorShapeElementCount(info, &n));
    if (info != nullptr) m.api->ReleaseTensorTypeAndShapeInfo(info);
    if (status.ok()) status = FromOrt(m.api, m.api->GetTensorMutableData(values[i], &data));
    if (status.ok()) (*outputs)[i].assign(static_cast<float*>(data), static_cast<float*>(data) + n);
  }
  for (OrtValue* v : values) {
    if (v != nullptr) m.api->ReleaseValue(v);
  }
  m.api->ReleaseValue(in);
  return status;
}

}  // namespace mfs
