// The safetensors file format (https://github.com/huggingface/safetensors): 8 bytes of header length, a JSON header, data.
// Files come from strangers, so every number in the header is checked before it is used.
#ifndef MFS_WEIGHTS_SAFETENSORS_H_
#define MFS_WEIGHTS_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

enum class DType { kF32, kF16 };

// A tensor inside an open file; valid as long as the file object.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;  // little-endian, perhaps unaligned
  size_t bytes = 0;
};

class SafetensorsFile {
 public:
  // Reads the file; one of more than max_bytes is refused before that. Errors: kNotFound, kIoError, kCorruptData (cut, overlapping or lying header), kUnsupported (dtypes
  // other than F32 and F16).
  static StatusOr<SafetensorsFile> Open(const std::string& path, uint64_t max_bytes = uint64_t{1} << 32);
  static StatusOr<SafetensorsFile> FromBuffer(std::string bytes);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // "" when the key is missing.
  std::string Metadata(const std::string& key) const;
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const TensorView* Find(const std::string& name) const;
  // As floats, with the shape checked and NaN and infinity refused. -1 in shape stands for any length.
  StatusOr<std::vector<float>> ReadFloat(const std::string& name, const std::vector<int64_t>& shape) const;

 private:
  Status Parse(const char* data, size_t size);

  std::shared_ptr<std::string> buffer_;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t> index_;
};

class SafetensorsWriter {
 public:
  void SetMetadata(const std::string& key, const std::string& value) { metadata_[key] = value; }
  // Errors: kInvalidArgument (name twice, negative length), kCorruptData (NaN, infinity, or a value too large for F16).
  Status Add(const std::string& name, const std::vector<int64_t>& shape, const float* values, DType store_as);
  std::string Serialize() const;
  Status Save(const std::string& path) const;  // whole or not at all

 private:
  struct Entry {
    DType dtype;
    std::vector<int64_t> shape;
    std::string data;
  };
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Entry> entries_;
};

// "128x512x1x1", for messages.
std::string ShapeToString(const std::vector<int64_t>& shape);

}  // namespace mfs

#endif  // MFS_WEIGHTS_SAFETENSORS_H_
