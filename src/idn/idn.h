// The identity-aware dynamic network (IDN): swaps the face of one aligned crop (paper section 3.1 and 3.3).
#ifndef MFS_IDN_IDN_H_
#define MFS_IDN_IDN_H_

#include <memory>
#include <string>

#include "base/status.h"
#include "weights/idn_weights.h"

namespace mfs {

struct IdnOptions {
  int size = 224;        // side of the crop in pixels, a multiple of 32 from 32 to 1024
  int threads = 1;       // 1..64
  std::string cpu;       // instruction set to use (cpu_level.h); empty: the best one
  bool reference = false;  // the scalar double-precision reference in place of the fast path
};

// What runs the network. Not thread-safe; one per thread, or one with several threads of its own.
class Idn {
 public:
  // Errors: kInvalidArgument (size, threads, weights of a wrong shape or not finite), kUnsupported (cpu).
  static StatusOr<std::unique_ptr<Idn>> Create(const IdnWeights& weights, const IdnOptions& options);
  virtual ~Idn() = default;

  // Another person from the next Run on.
  virtual Status SetIdentity(const IdnWeights& weights) = 0;

  // target: 3 x size x size, RGB in [0,1]. raw (3 planes): what the decoder paints; mask (1 plane, 0..1): where it counts;
  // image (3 planes): raw*mask + (1-mask)*target. raw and image may be null. No pointer may overlap target.
  virtual Status Run(const float* target, float* raw, float* mask, float* image) = 0;

  virtual const char* name() const = 0;  // "reference", or the instruction set in use: "AVX3", "AVX2", ...
};

}  // namespace mfs

#endif  // MFS_IDN_IDN_H_
