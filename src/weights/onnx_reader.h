// Reads nodes and float weights of an ONNX file, for networks that are rebuilt elsewhere (training, own kernels).
// Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
#ifndef MFS_WEIGHTS_ONNX_READER_H_
#define MFS_WEIGHTS_ONNX_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

struct OnnxTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;  // float32 only; integers are left empty
};

struct OnnxNode {
  std::string op;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::vector<int64_t>> integers;  // attributes that are an integer or a list of them
};

struct OnnxGraph {
  std::vector<OnnxNode> nodes;  // in the order of the file, which is that of execution
  std::map<std::string, OnnxTensor> initializers;
};

// Errors: kCorruptData (cut or no ONNX file).
StatusOr<OnnxGraph> ReadOnnx(const std::string& bytes);

}  // namespace mfs

#endif  // MFS_WEIGHTS_ONNX_READER_H_
