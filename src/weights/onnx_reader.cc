#include "weights/onnx_reader.h"

#include <cstring>
#include <functional>
#include <string_view>

namespace mfs {
namespace {

// One field of a protobuf message.
struct Field {
  int number = 0;
  uint64_t value = 0;      // of a varint
  std::string_view bytes;  // of everything else
};

bool ReadVarint(std::string_view* in, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (in->empty()) return false;
    const uint8_t byte = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

// Calls f for every field; false when the message is damaged or f says so.
bool ForFields(std::string_view in, const std::function<bool(const Field&)>& f) {
  while (!in.empty()) {
    Field field;
    uint64_t key = 0, size = 0;
    if (!ReadVarint(&in, &key)) return false;
    field.number = static_cast<int>(key >> 3);
    switch (key & 7) {
      case 0:
        if (!ReadVarint(&in, &field.value)) return false;
        break;
      case 1: size = 8; break;
      case 2:
        if (!ReadVarint(&in, &size)) return false;
        break;
      case 5: size = 4; break;
      default: return false;
    }
    if (size > in.size()) return false;
    field.bytes = in.substr(0, size);
    in.remove_prefix(size);
    if (!f(field)) return false;
  }
  return true;
}

// A repeated integer: one by one, or packed.
bool AppendIntegers(const Field& f, std::vector<int64_t>* out) {
  if (f.bytes.empty()) {
    out->push_back(static_cast<int64_t>(f.value));
    return true;
  }
  std::string_view in = f.bytes;
  uint64_t v = 0;
  while (!in.empty()) {
    if (!ReadVarint(&in, &v)) return false;
    out->push_back(static_cast<int64_t>(v));
  }
  return true;
}

bool ReadTensor(std::string_view bytes, std::string* name, OnnxTensor* t) {
  constexpr uint64_t kFloat = 1, kInt32 = 6, kInt64 = 7;
  uint64_t type = 0;
  std::string_view raw;
  if (!ForFields(bytes, [&](const Field& f) {
        switch (f.number) {
          case 1: return AppendIntegers(f, &t->shape);
          case 2: type = f.value; break;
          case 4:  // float_data, packed or one by one
          case 9: raw = f.bytes; break;
          case 5:  // int32_data
          case 7: return AppendIntegers(f, &t->integers);
          case 8: *name = std::string(f.bytes); break;
          default: break;
        }
        return true;
      })) {
    return false;
  }
  const size_t width = type == kFloat || type == kInt32 ? 4 : type == kInt64 ? 8 : 0;
  if (width == 0) return true;
  if (type != kFloat && raw.empty()) return true;
  uint64_t count = 1;
  for (int64_t d : t->shape) {
    if (d < 0 || (d > 0 && count > raw.size() / static_cast<uint64_t>(d))) return false;
    count *= static_cast<uint64_t>(d);
  }
  if (raw.size() != width * count) return false;
  if (type == kFloat) {
    t->values.resize(count);
    std::memcpy(t->values.data(), raw.data(), raw.size());
    return true;
  }
  for (size_t i = 0; i < count; ++i) {
    int64_t wide = 0;
    int32_t narrow = 0;
    std::memcpy(width == 8 ? static_cast<void*>(&wide) : &narrow, raw.data() + i * width, width);
    t->integers.push_back(width == 8 ? wide : narrow);
  }
  return true;
}

// ValueInfoProto: a name, and type.tensor_type.shape.dim.dim_value deep inside.
bool ReadInput(std::string_view bytes, OnnxInput* input) {
  return ForFields(bytes, [&](const Field& f) {
    if (f.number == 1) input->name = std::string(f.bytes);
    if (f.number != 2) return true;
    return ForFields(f.bytes, [&](const Field& type) {
      return type.number != 1 || ForFields(type.bytes, [&](const Field& tensor) {
               return tensor.number != 2 || ForFields(tensor.bytes, [&](const Field& dim) {
                        if (dim.number != 1) return true;
                        input->shape.push_back(-1);
                        return ForFields(dim.bytes, [&](const Field& value) {
                          if (value.number == 1) input->shape.back() = static_cast<int64_t>(value.value);
                          return true;
                        });
                      });
             });
    });
  });
}

bool ReadNode(std::string_view bytes, OnnxNode* n) {
  return ForFields(bytes, [&](const Field& f) {
    switch (f.number) {
      case 1: n->inputs.emplace_back(f.bytes); break;
      case 2: n->outputs.emplace_back(f.bytes); break;
      case 4: n->op = std::string(f.bytes); break;
      case 5: {
        std::string name;
        std::vector<int64_t> values;
        OnnxTensor tensor;
        float number = 0;
        bool has_number = false, has_tensor = false;
        const bool ok = ForFields(f.bytes, [&](const Field& a) {
          if (a.number == 1) name = std::string(a.bytes);
          if (a.number == 2 && a.bytes.size() == sizeof(number)) std::memcpy(&number, a.bytes.data(), sizeof(number)), has_number = true;
          std::string unused;
          if (a.number == 5) return has_tensor = ReadTensor(a.bytes, &unused, &tensor);
          return a.number == 3 || a.number == 8 ? AppendIntegers(a, &values) : true;
        });
        if (!ok) return false;
        if (has_number) n->numbers[name] = number;
        if (has_tensor) n->tensors[name] = std::move(tensor);
        if (!values.empty()) n->integers[name] = std::move(values);
        break;
      }
      default: break;
    }
    return true;
  });
}

}  // namespace

StatusOr<OnnxGraph> ReadOnnx(const std::string& bytes) {
  OnnxGraph graph;
  bool found = false;
  const bool ok = ForFields(bytes, [&](const Field& f) {
    if (f.number != 7) return true;
    found = true;
    return ForFields(f.bytes, [&](const Field& g) {
      if (g.number == 1) {
        graph.nodes.emplace_back();
        return ReadNode(g.bytes, &graph.nodes.back());
      }
      if (g.number == 5) {
        std::string name;
        OnnxTensor tensor;
        if (!ReadTensor(g.bytes, &name, &tensor)) return false;
        graph.initializers[name] = std::move(tensor);
      }
      OnnxInput value;
      if (g.number == 11 || g.number == 12) {
        if (!ReadInput(g.bytes, &value)) return false;
        if (g.number == 11)
          graph.inputs.push_back(std::move(value));
        else
          graph.outputs.push_back(std::move(value.name));
      }
      return true;
    });
  });
  if (!ok || !found || graph.nodes.empty()) return CorruptData("this is no ONNX network, or it is cut");
  return graph;
}

}  // namespace mfs
