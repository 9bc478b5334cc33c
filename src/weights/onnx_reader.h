// Reads nodes and weights of an ONNX file, for networks that are rebuilt elsewhere (training, own kernels).
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
  std::vector<float> values;      // float32
  std::vector<int64_t> integers;  // int32 and int64
};

struct OnnxNode {
  std::string op;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::vector<int64_t>> integers;  // attributes that are an integer or a list of them
  std::map<std::string, float> numbers;                  // attributes that are a float
  std::map<std::string, OnnxTensor> tensors;             // attributes that are a tensor
};

struct OnnxInput {
  std::string name;
  std::vector<int64_t> shape;  // -1: not fixed
};

struct OnnxGraph {
  std::vector<OnnxNode> nodes;  // in the order of the file, which is that of execution
  std::map<std::string, OnnxTensor> initializers;
  std::vector<OnnxInput> inputs;  // in old files the initializers are among them
  std::vector<std::string> outputs;
};

// Errors: kCorruptData (cut or no ONNX file).
StatusOr<OnnxGraph> ReadOnnx(const std::string& bytes);

}  // namespace mfs

#endif  // MFS_WEIGHTS_ONNX_READER_H_
