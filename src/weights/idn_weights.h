// The weights of the identity-aware dynamic network for one person, folded for inference.
#ifndef MFS_WEIGHTS_IDN_WEIGHTS_H_
#define MFS_WEIGHTS_IDN_WEIGHTS_H_

#include <array>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

// y = pointwise * depthwise(x) (+ bias), then LeakyReLU(0.1). Depthwise kernels hold the modulation (1+s), the pointwise
// matrix the normalisation d_o (network.md, factored form); batch norms are folded into matrix and bias.
struct SeparableWeights {
  int in = 0, out = 0, kernel = 0;
  std::vector<float> depthwise;  // in x kernel x kernel
  std::vector<float> pointwise;  // out x in
  std::vector<float> bias;       // out; all zero in the dynamic blocks
};

struct ConvWeights {
  int in = 0, out = 0, kernel = 0;
  std::vector<float> weight;  // out x in x kernel x kernel
  std::vector<float> bias;    // out
};

struct IdnWeights {
  std::array<SeparableWeights, 5> encoder;  // 3>32>64>128>256>512, 4x4 stride 2
  std::array<SeparableWeights, 4> decoder;  // 512>256, 512>128, 256>64, 128>32, 3x3 behind an upsampling
  std::array<ConvWeights, 3> head;          // 1x1 32>8, 3x3 8>3, 3x3 3>3
  std::array<SeparableWeights, 5> fusion;   // 512>128>64>32>8>2, 3x3 behind an upsampling
  ConvWeights fusion_out;                   // 3x3 2>1
  // 1x1 32>4 of the last decoder map: 2x2 pixels at full size (DepthToSpace), added to the three colours before the tanh (docs/method.md).
  // out = 0: the public architecture, which has none.
  ConvWeights detail;
};

inline constexpr int kEncoderChannels[6] = {3, 32, 64, 128, 256, 512};
inline constexpr int kDecoderIn[4] = {512, 512, 256, 128};
inline constexpr int kDecoderOut[4] = {256, 128, 64, 32};
inline constexpr int kFusionChannels[6] = {512, 128, 64, 32, 8, 2};
inline constexpr float kLeakySlope = 0.1f;

inline constexpr int kHeadChannels = 8, kDetailChannels = 4;

// Sets every shape and fills all weights with zeros. detail: with the detail branch.
IdnWeights EmptyIdnWeights(bool detail = false);

// One named array of the weights, for files and checks.
struct IdnArray {
  std::string name;  // as in identity files: encoder.0.depthwise, ...
  std::vector<int64_t> shape;
  std::vector<float>* values;
};
// All arrays in a fixed order; the pointers lead into `weights`.
std::vector<IdnArray> ListIdnArrays(IdnWeights* weights);

// Sizes as above and every value finite; kInvalidArgument names the array. Allocates nothing when all is well.
Status ValidateIdnWeights(const IdnWeights& weights);

}  // namespace mfs

#endif  // MFS_WEIGHTS_IDN_WEIGHTS_H_
