// The fast path: weights packed for the kernels of one instruction set, buffers, the order of the stages and their threads.
#ifndef MFS_IDN_IDN_FAST_H_
#define MFS_IDN_IDN_FAST_H_

#include <cstdint>
#include <memory>

#include "idn/idn.h"

namespace mfs {

// target: Highway's bit of a level that this machine can run (cpu_level.h). Errors: kUnsupported (int8 where the CPU or the level has no such arithmetic).
StatusOr<std::unique_ptr<Idn>> CreateIdnFast(const IdnWeights& weights, const IdnOptions& options, int64_t target);

}  // namespace mfs

#endif  // MFS_IDN_IDN_FAST_H_
