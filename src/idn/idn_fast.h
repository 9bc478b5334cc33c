// Shared by the fast path's dispatcher and its per-instruction-set code (idn_fast.cc is compiled once for each).
#ifndef MFS_IDN_IDN_FAST_H_
#define MFS_IDN_IDN_FAST_H_

#include <cstddef>
#include <memory>

#include "base/thread_pool.h"
#include "idn/idn.h"

namespace mfs {

// Channels are padded to 16 floats: one AVX-512 vector, two of AVX2, four of SSE or NEON.
inline constexpr int kChannelPad = 16;
inline int PadChannels(int c) { return (c + kChannelPad - 1) / kChannelPad * kChannelPad; }
// Zero columns left and right of the planar rows of the last stages, so that a 3x3 needs no border case.
inline constexpr int kRowPad = 16;

// target: Highway's bit of a level that this machine can run (cpu_level.h).
std::unique_ptr<Idn> CreateIdnFast(const IdnWeights& weights, const IdnOptions& options, int64_t target);

}  // namespace mfs

#endif  // MFS_IDN_IDN_FAST_H_
