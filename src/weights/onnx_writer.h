// Writes small ONNX networks into memory, for running our own weights with ONNX Runtime (oracle, benchmarks).
#ifndef MFS_WEIGHTS_ONNX_WRITER_H_
#define MFS_WEIGHTS_ONNX_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

namespace mfs {

class OnnxWriter {
 public:
  struct Attribute {
    std::string name;
    std::vector<int64_t> integers;  // one: an integer unless list is set
    bool list = false;
    float number = 0;
    std::string text;
    enum Kind { kIntegers, kFloat, kString } kind = kIntegers;
  };
  static Attribute Integer(const std::string& name, int64_t v) { return {name, {v}, false, 0, "", Attribute::kIntegers}; }
  static Attribute Integers(const std::string& name, std::vector<int64_t> v) { return {name, std::move(v), true, 0, "", Attribute::kIntegers}; }
  static Attribute Float(const std::string& name, float v) { return {name, {}, false, v, "", Attribute::kFloat}; }
  static Attribute Text(const std::string& name, const std::string& v) { return {name, {}, false, 0, v, Attribute::kString}; }

  void Input(const std::string& name, const std::vector<int64_t>& shape);
  void Output(const std::string& name, const std::vector<int64_t>& shape = {});
  void Constant(const std::string& name, const std::vector<int64_t>& shape, const float* values);
  void Node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output, const std::vector<Attribute>& attributes = {});
  // Operator set 13.
  std::string Serialize() const;

 private:
  std::string nodes_, constants_, inputs_, outputs_;  // fields of the graph, ready to be joined
};

// Protocol buffers, wire format.
void AppendProtoVarint(uint64_t v, std::string* out);
void AppendProtoInteger(int field, uint64_t v, std::string* out);
void AppendProtoBytes(int field, const std::string& bytes, std::string* out);

}  // namespace mfs

#endif  // MFS_WEIGHTS_ONNX_WRITER_H_
