// The identity-aware dynamic network (IDN): swaps the face of one aligned crop (paper section 3.1 and 3.3).
#ifndef MFS_IDN_IDN_H_
#define MFS_IDN_IDN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "weights/idn_weights.h"

namespace mfs {

struct IdnOptions {
  int size = 224;          // side of the crop in pixels, a multiple of 32 from 32 to 1024
  int threads = 1;         // 1..64
  std::string cpu;         // instruction set to use (cpu_level.h); empty: the best one
  bool int8 = false;       // the matrices of encoder 1..4, the decoder and fusion 0..2 in 8 bits: AVX-512 VNNI, or the scalar level (docs/engine.md says what it costs)
  bool reference = false;  // the scalar double-precision reference in place of the fast path
};

// The aligned crop: either `planes` or `pixels`.
struct IdnInput {
  const float* planes = nullptr;    // 3 x size x size, RGB in [0,1]
  const uint8_t* pixels = nullptr;  // size rows of size pixels, three bytes each
  ptrdiff_t stride = 0;             // bytes between rows of pixels, at least 3*size
  bool bgr = false;                 // byte order of pixels
};

// What is wanted; null: not wanted. No buffer may overlap another one or the input.
struct IdnOutput {
  float* raw = nullptr;            // 3 planes, RGB in [0,1]: what the decoder paints
  float* mask = nullptr;           // 1 plane in [0,1]: where that counts
  float* image = nullptr;          // 3 planes: raw*mask + (1-mask)*target
  uint8_t* pixels = nullptr;       // image as bytes, rounded to nearest
  ptrdiff_t stride = 0;            // bytes between their rows, at least 3*size
  bool bgr = false;                // their order
  uint8_t* mask_pixels = nullptr;  // mask as bytes
  ptrdiff_t mask_stride = 0;       // at least size
};

// Time of one stage (IdnStages).
struct IdnStage {
  std::string name;
  double mmac = 0;     // multiply-adds of the network as published that are done here
  double seconds = 0;  // sum over the runs
};

// What runs the network. Not thread-safe; one per thread, or one with several threads of its own.
class Idn {
 public:
  // Errors: kInvalidArgument (size, threads, weights of a wrong shape or not finite), kUnsupported (cpu; int8 on it).
  static StatusOr<std::unique_ptr<Idn>> Create(const IdnWeights& weights, const IdnOptions& options);
  virtual ~Idn() = default;

  // Another person from the next Run on; kInvalidArgument (as in Create) leaves the present one. Allocates nothing.
  virtual Status SetIdentity(const IdnWeights& weights) = 0;

  // Errors: kInvalidArgument (no input or two, nothing wanted, a stride too small). Allocates nothing. A target that is not finite gives pixels that are not.
  Status Run(const IdnInput& input, const IdnOutput& output);
  // Planes in, planes out; raw and image may be null.
  Status Run(const float* target, float* raw, float* mask, float* image);

  virtual const char* name() const = 0;  // "reference", or the instruction set in use: "AVX3", "AVX2", ...

  // Where the time goes: Run adds to `stages` (filled by the first run) until null is given. Only the fast path fills it.
  void ProfileInto(std::vector<IdnStage>* stages) { stages_ = stages; }

 protected:
  explicit Idn(int size) : size_(size) {}
  virtual void Compute(const IdnInput& input, const IdnOutput& output) = 0;

  const int size_;
  std::vector<IdnStage>* stages_ = nullptr;
};

}  // namespace mfs

#endif  // MFS_IDN_IDN_H_
