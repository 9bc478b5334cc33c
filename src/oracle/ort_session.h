// ONNX Runtime behind Status values: the oracle of tests and benchmarks. Nothing else in the tree includes its header, and no part of
// the product links it.
#ifndef MFS_ORACLE_ORT_SESSION_H_
#define MFS_ORACLE_ORT_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

// A network with one float input. Denormals flushed; silent. Not thread-safe.
class OrtSession {
 public:
  // model: the bytes of an .onnx file. extra_outputs: inner tensors to be returned as well, behind the graph's own outputs.
  static StatusOr<std::unique_ptr<OrtSession>> Create(const std::string& model, const std::vector<std::string>& extra_outputs = {}, int threads = 1);
  ~OrtSession();

  // outputs[i] is resized to the i-th output. input is only read.
  Status Run(const float* input, const std::vector<int64_t>& shape, std::vector<std::vector<float>>* outputs);
  const std::vector<std::string>& output_names() const { return output_names_; }

 private:
  struct Impl;
  OrtSession();
  std::unique_ptr<Impl> impl_;
  std::vector<std::string> output_names_;
};

}  // namespace mfs

#endif  // MFS_ORACLE_ORT_SESSION_H_
