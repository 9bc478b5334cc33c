#include "weights/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "weights/float16.h"

namespace mfs {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeader = 16u << 20;  // ours have 20 KiB
constexpr int kMaxDepth = 4;

// The JSON library keeps the last of two equal keys and recurses as deep as the text says; a hostile header may use both.
class HeaderCheck {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) bad = true;
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::key && !keys_.empty()) {
      if (!keys_.back().insert(parsed.get<std::string>()).second) bad = true;
    }
    if (event == json::parse_event_t::object_end && !keys_.empty()) keys_.pop_back();
    return !bad;
  }
  bool bad = false;

 private:
  std::vector<std::set<std::string>> keys_;
};

Status Corrupt(const std::string& what) { return CorruptData("not a valid safetensors file: " + what); }

bool ReadUnsigned(const json& j, uint64_t* value) {
  if (!j.is_number_unsigned()) return false;
  *value = j.get<uint64_t>();
  return true;
}

}  // namespace

std::string ShapeToString(const std::vector<int64_t>& shape) {
  std::string s;
  for (int64_t n : shape) s += (s.empty() ? "" : "x") + std::to_string(n);
  return s.empty() ? "scalar" : s;
}

StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path, uint64_t max_bytes) {
  // Read, not mapped: a file that is cut or a disk that goes away meanwhile would end the program with SIGBUS.
  MFS_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, max_bytes));
  auto file = FromBuffer(std::move(bytes));
  if (!file.ok()) return file.status().WithPrefix(path + ": ");
  return file;
}

StatusOr<SafetensorsFile> SafetensorsFile::FromBuffer(std::string bytes) {
  SafetensorsFile file;
  file.buffer_ = std::make_shared<std::string>(std::move(bytes));
  MFS_RETURN_IF_ERROR(file.Parse(file.buffer_->data(), file.buffer_->size()));
  return file;
}

Status SafetensorsFile::Parse(const char* data, size_t size) {
  if (size < 10) return Corrupt("it is cut or empty");
  uint64_t header_size = 0;
  for (int i = 7; i >= 0; --i) header_size = header_size << 8 | static_cast<unsigned char>(data[i]);
  if (header_size > kMaxHeader) return Corrupt("the header is too large");
  if (header_size > size - 8) return Corrupt("it is cut inside the header");
  const char* begin = data + 8;
  if (*begin != '{') return Corrupt("the header is no JSON object");
  HeaderCheck check;
  const json header = json::parse(begin, begin + header_size, std::ref(check), /*allow_exceptions=*/false);
  if (check.bad || !header.is_object()) return Corrupt("the header is no plain JSON object");
  const char* body = begin + header_size;
  const uint64_t body_size = size - 8 - header_size;

  struct Span {
    uint64_t begin, end;
  };
  std::vector<Span> spans;
  for (const auto& item : header.items()) {
    const std::string& name = item.key();
    const json& entry = item.value();
    if (name == "__metadata__") {
      if (!entry.is_object()) return Corrupt("the metadata is no object");
      for (const auto& pair : entry.items()) {
        if (!pair.value().is_string()) return Corrupt("metadata must be strings");
        metadata_[pair.key()] = pair.value().get<std::string>();
      }
      continue;
    }
    const std::string what = "tensor '" + name.substr(0, 80) + "'";
    if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets") || !entry["dtype"].is_string() ||
        !entry["shape"].is_array() || !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2 || entry["shape"].size() > 8) {
      return Corrupt(what + " is described wrongly");
    }
    TensorView t;
    t.name = name;
    const std::string dtype = entry["dtype"].get<std::string>();
    uint64_t element;
    if (dtype == "F32") {
      t.dtype = DType::kF32, element = 4;
    } else if (dtype == "F16") {
      t.dtype = DType::kF16, element = 2;
    } else {
      return Unsupported(what + " has the type " + dtype.substr(0, 16) + "; only F32 and F16 are read");
    }
    uint64_t bytes = element;
    for (const json& n : entry["shape"]) {
      uint64_t length;
      if (!ReadUnsigned(n, &length) || length > (uint64_t{1} << 32)) return Corrupt(what + " has an impossible shape");
      if (length != 0 && bytes > body_size / length) return Corrupt(what + " is larger than the file");
      bytes *= length;
      t.shape.push_back(static_cast<int64_t>(length));
    }
    Span span;
    if (!ReadUnsigned(entry["data_offsets"][0], &span.begin) || !ReadUnsigned(entry["data_offsets"][1], &span.end) || span.begin > span.end || span.end > body_size) {
      return Corrupt(what + " lies outside the file; it is cut");
    }
    if (span.end - span.begin != bytes) return Corrupt(what + " has a size that does not fit its shape");
    t.data = body + span.begin;
    t.bytes = bytes;
    spans.push_back(span);
    index_[name] = tensors_.size();
    tensors_.push_back(std::move(t));
  }
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  uint64_t expected = 0;
  for (const Span& span : spans) {
    if (span.begin != expected) return Corrupt("tensors overlap or leave a hole");
    expected = span.end;
  }
  if (expected != body_size) return Corrupt("there are bytes behind the last tensor, or some are missing");
  return Status::Ok();
}

std::string SafetensorsFile::Metadata(const std::string& key) const {
  const auto it = metadata_.find(key);
  return it == metadata_.end() ? "" : it->second;
}

const TensorView* SafetensorsFile::Find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

StatusOr<std::vector<float>> SafetensorsFile::ReadFloat(const std::string& name, const std::vector<int64_t>& shape) const {
  const TensorView* t = Find(name);
  if (t == nullptr) return CorruptData("tensor '" + name + "' is missing");
  bool fits = t->shape.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] == -1 || shape[i] == t->shape[i];
  if (!fits) return CorruptData("tensor '" + name + "' has the shape " + ShapeToString(t->shape) + ", not " + ShapeToString(shape));
  std::vector<float> values(t->bytes / (t->dtype == DType::kF32 ? 4 : 2));
  if (t->dtype == DType::kF32) {
    if (t->bytes > 0) std::memcpy(values.data(), t->data, t->bytes);
  } else {
    const char* p = static_cast<const char*>(t->data);
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t h;
      std::memcpy(&h, p + 2 * i, 2);
      values[i] = HalfToFloat(h);
    }
  }
  for (float v : values) {
    if (!std::isfinite(v)) return CorruptData("tensor '" + name + "' holds NaN or infinity");
  }
  return values;
}

Status SafetensorsWriter::Add(const std::string& name, const std::vector<int64_t>& shape, const float* values, DType store_as) {
  if (name.empty() || name == "__metadata__" || entries_.count(name) > 0) return InvalidArgument("tensor name '" + name + "' is empty or taken");
  size_t n = 1;
  for (int64_t length : shape) {
    if (length < 0) return InvalidArgument("tensor '" + name + "' has a negative length");
    n *= static_cast<size_t>(length);
  }
  Entry e{store_as, shape, {}};
  if (store_as == DType::kF32) {
    e.data.assign(reinterpret_cast<const char*>(values), n * 4);
    for (size_t i = 0; i < n; ++i) {
      if (!std::isfinite(values[i])) return CorruptData("tensor '" + name + "' holds NaN or infinity");
    }
  } else {
    e.data.resize(n * 2);
    for (size_t i = 0; i < n; ++i) {
      const uint16_t h = FloatToHalf(values[i]);
      if ((h & 0x7c00) == 0x7c00) return CorruptData("tensor '" + name + "' holds a value that half precision cannot");
      std::memcpy(&e.data[2 * i], &h, 2);
    }
  }
  entries_.emplace(name, std::move(e));
  return Status::Ok();
}

std::string SafetensorsWriter::Serialize() const {
  json header = json::object();
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  uint64_t offset = 0;
  for (const auto& [name, e] : entries_) {
    header[name] = {{"dtype", e.dtype == DType::kF32 ? "F32" : "F16"}, {"shape", e.shape}, {"data_offsets", {offset, offset + e.data.size()}}};
    offset += e.data.size();
  }
  std::string text = header.dump(-1, ' ', true, json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // keeps the data aligned
  std::string out;
  out.reserve(8 + text.size() + offset);
  for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i) & 255);
  out += text;
  for (const auto& [name, e] : entries_) out += e.data;
  return out;
}

Status SafetensorsWriter::Save(const std::string& path) const {
  const std::string bytes = Serialize();
  return WriteFileAtomically(path, bytes.data(), bytes.size());
}

}  // namespace mfs
