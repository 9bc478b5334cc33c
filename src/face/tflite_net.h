// Runs the few TFLite networks that we use: plain float operators, one input, constants in single or half precision.
#ifndef MFS_FACE_TFLITE_NET_H_
#define MFS_FACE_TFLITE_NET_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "nn/nhwc.h"

namespace mfs {

class TfliteNet {
 public:
  // bytes: a .tflite file. Errors: kCorruptData, kUnsupported (an operator that our networks do not have).
  static StatusOr<std::unique_ptr<TfliteNet>> Create(const std::string& bytes);
  ~TfliteNet();

  // The graph's outputs in their order. The batch is one, whatever the file says.
  StatusOr<std::vector<NhwcMap>> Run(const NhwcMap& input) const;

 private:
  struct Impl;
  explicit TfliteNet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_FACE_TFLITE_NET_H_
