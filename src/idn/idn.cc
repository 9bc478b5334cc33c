#include "idn/idn.h"

#include "idn/idn_fast.h"
#include "idn/idn_reference.h"
#include "nn/cpu_level.h"

namespace mfs {

StatusOr<std::unique_ptr<Idn>> Idn::Create(const IdnWeights& weights, const IdnOptions& options) {
  if (options.size < 32 || options.size > 1024 || options.size % 32 != 0) {
    return InvalidArgument("the crop's size must be a multiple of 32 from 32 to 1024");
  }
  if (options.threads < 1 || options.threads > 64) return InvalidArgument("the number of threads must be 1 to 64");
  MFS_RETURN_IF_ERROR(ValidateIdnWeights(weights));
  if (options.reference) return CreateIdnReference(weights, options.size);
  MFS_ASSIGN_OR_RETURN(const int64_t target, CpuTarget(options.cpu));
  return CreateIdnFast(weights, options, target);
}

Status Idn::Run(const IdnInput& input, const IdnOutput& output) {
  if ((input.planes == nullptr) == (input.pixels == nullptr)) return InvalidArgument("the IDN needs a target, either as planes or as pixels");
  if (output.raw == nullptr && output.mask == nullptr && output.image == nullptr && output.pixels == nullptr && output.mask_pixels == nullptr) {
    return InvalidArgument("the IDN is given no place for a result");
  }
  if ((input.pixels != nullptr && input.stride < 3 * size_) || (output.pixels != nullptr && output.stride < 3 * size_) || (output.mask_pixels != nullptr && output.mask_stride < size_)) {
    return InvalidArgument("a stride is smaller than a row of the crop");
  }
  Compute(input, output);
  return Status::Ok();
}

Status Idn::Run(const float* target, float* raw, float* mask, float* image) {
  IdnInput input;
  input.planes = target;
  IdnOutput output;
  output.raw = raw, output.mask = mask, output.image = image;
  return Run(input, output);
}

}  // namespace mfs
