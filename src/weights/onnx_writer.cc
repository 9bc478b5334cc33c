#include "weights/onnx_writer.h"

#include <cstring>

namespace mfs {
namespace {

constexpr uint64_t kTensorFloat = 1;

std::string ValueInfo(const std::string& name, const std::vector<int64_t>& shape) {
  std::string dims, tensor, type, info;
  for (int64_t d : shape) {
    std::string dim;
    AppendProtoInteger(1, static_cast<uint64_t>(d), &dim);
    AppendProtoBytes(1, dim, &dims);
  }
  AppendProtoInteger(1, kTensorFloat, &tensor);
  if (!shape.empty()) AppendProtoBytes(2, dims, &tensor);
  AppendProtoBytes(1, tensor, &type);
  AppendProtoBytes(1, name, &info);
  AppendProtoBytes(2, type, &info);
  return info;
}

}  // namespace

void AppendProtoVarint(uint64_t v, std::string* out) {
  for (; v >= 128; v >>= 7) *out += static_cast<char>(v | 128);
  *out += static_cast<char>(v);
}

void AppendProtoInteger(int field, uint64_t v, std::string* out) {
  AppendProtoVarint(static_cast<uint64_t>(field) << 3, out);
  AppendProtoVarint(v, out);
}

void AppendProtoBytes(int field, const std::string& bytes, std::string* out) {
  AppendProtoVarint(static_cast<uint64_t>(field) << 3 | 2, out);
  AppendProtoVarint(bytes.size(), out);
  *out += bytes;
}

void OnnxWriter::Input(const std::string& name, const std::vector<int64_t>& shape) { AppendProtoBytes(11, ValueInfo(name, shape), &inputs_); }
void OnnxWriter::Output(const std::string& name, const std::vector<int64_t>& shape) { AppendProtoBytes(12, ValueInfo(name, shape), &outputs_); }

void OnnxWriter::Constant(const std::string& name, const std::vector<int64_t>& shape, const float* values) {
  std::string tensor, raw;
  size_t count = 1;
  for (int64_t d : shape) {
    AppendProtoInteger(1, static_cast<uint64_t>(d), &tensor);
    count *= static_cast<size_t>(d);
  }
  AppendProtoInteger(2, kTensorFloat, &tensor);
  raw.resize(4 * count);
  if (count > 0) std::memcpy(raw.data(), values, raw.size());
  AppendProtoBytes(8, name, &tensor);
  AppendProtoBytes(9, raw, &tensor);
  AppendProtoBytes(5, tensor, &constants_);
}

void OnnxWriter::Node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output, const std::vector<Attribute>& attributes) {
  std::string node;
  for (const std::string& in : inputs) AppendProtoBytes(1, in, &node);
  AppendProtoBytes(2, output, &node);
  AppendProtoBytes(3, output, &node);
  AppendProtoBytes(4, op, &node);
  for (const Attribute& a : attributes) {
    constexpr uint64_t kFloatType = 1, kIntType = 2, kStringType = 3, kIntsType = 7;
    std::string attribute;
    AppendProtoBytes(1, a.name, &attribute);
    switch (a.kind) {
      case Attribute::kFloat: {
        AppendProtoVarint(2 << 3 | 5, &attribute);
        char bytes[4];
        std::memcpy(bytes, &a.number, 4);
        attribute.append(bytes, 4);
        AppendProtoInteger(20, kFloatType, &attribute);
        break;
      }
      case Attribute::kString:
        AppendProtoBytes(4, a.text, &attribute);
        AppendProtoInteger(20, kStringType, &attribute);
        break;
      case Attribute::kIntegers:
        for (int64_t v : a.integers) AppendProtoInteger(a.list ? 8 : 3, static_cast<uint64_t>(v), &attribute);
        AppendProtoInteger(20, a.list ? kIntsType : kIntType, &attribute);
        break;
    }
    AppendProtoBytes(5, attribute, &node);
  }
  AppendProtoBytes(1, node, &nodes_);
}

std::string OnnxWriter::Serialize() const {
  std::string graph = nodes_, model, opset;
  AppendProtoBytes(2, "mfs", &graph);
  graph += constants_ + inputs_ + outputs_;
  AppendProtoInteger(1, 8, &model);  // IR version
  AppendProtoBytes(7, graph, &model);
  AppendProtoInteger(2, 13, &opset);
  AppendProtoBytes(8, opset, &model);
  return model;
}

}  // namespace mfs
