// The IDN of one person as an ONNX network: the oracle and the opponent of the benchmarks, and a way into other engines.
#ifndef MFS_IDN_IDN_ONNX_H_
#define MFS_IDN_IDN_ONNX_H_

#include <string>

#include "weights/idn_weights.h"

namespace mfs {

// Input `target` [1,3,size,size] RGB in [0,1]; outputs `image` [1,3,size,size] (fused) and `mask` [1,1,size,size].
// plain: without DepthToSpace, which older readers (OpenCV 4.6) do not know.
std::string IdnToOnnx(const IdnWeights& weights, int size, bool plain = false);

}  // namespace mfs

#endif  // MFS_IDN_IDN_ONNX_H_
