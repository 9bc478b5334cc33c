// The identity injection network (IIN): one person's embedding -> the weights of that person's IDN (paper section 3.2).
#ifndef MFS_IDENTITY_IIN_H_
#define MFS_IDENTITY_IIN_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "nn/plan.h"
#include "weights/idn_weights.h"
#include "weights/safetensors.h"

namespace mfs {

// Depthwise kernels before modulation, in the IDN's order: encoder[i] is C x 4 x 4, decoder[i] C x 3 x 3.
struct PredictedKernels {
  std::array<std::vector<float>, 5> encoder;
  std::array<std::vector<float>, 4> decoder;
};

// Not thread-safe. One implementation for the slim and the public variant; the file's metadata says which (docs/models.md):
//   iin_norm      group8 | batch         normalisation  composite-l1 | demodulation
//   f_scale, z_scale, kernel_scale, demodulation_gain, modulation_eps, norm_eps
// iin.reduce and iin.kernel_base.* are used where the file has them. Widths come from the shapes.
class InjectionNetwork {
 public:
  // Errors: kCorruptData (a tensor is missing or of a wrong shape), kUnsupported (unknown variant or version).
  static StatusOr<std::unique_ptr<InjectionNetwork>> Create(const SafetensorsFile& file, const PlanOptions& options = {});
  // The convolutional part: f_scale * map, 7 x 7 x 512 -> the kernels of the IDN's encoder blocks 4 to 0 (4 x 4 x C), then of the decoder
  // blocks 0 to 3 (3 x 3 x C), before kernel_scale and base.
  static StatusOr<Graph> LoadGraph(const SafetensorsFile& file);
  ~InjectionNetwork();

  // z: 512 floats, L2-normalised embedding. map: the embedder's last feature map, 512 x 7 x 7.
  StatusOr<IdnWeights> Run(const float* z, const float* map) const;
  PredictedKernels PredictKernels(const float* map) const;

 private:
  struct Impl;
  explicit InjectionNetwork(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_IDENTITY_IIN_H_
