#include "idn/idn.h"

#include "idn/cpu_level.h"
#include "idn/idn_fast.h"
#include "idn/idn_reference.h"

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

}  // namespace mfs
