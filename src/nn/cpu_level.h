// Instruction sets that the kernels are compiled for, by name: avx512, avx2, sse4, ssse3, neon, wasm, scalar.
#ifndef MFS_NN_CPU_LEVEL_H_
#define MFS_NN_CPU_LEVEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

// Those that this machine can run, best first; on x86 "scalar" is the last.
std::vector<std::string> CpuLevels();
// Highway's bit of a level; the best one for "". Errors: kUnsupported (unknown, or not on this machine; names those that are).
StatusOr<int64_t> CpuTarget(const std::string& level);

// The level to use: `asked`, else $MFS_CPU, else the best one. Errors: as CpuTarget.
StatusOr<std::string> ChooseCpuLevel(const std::string& asked);

}  // namespace mfs

#endif  // MFS_NN_CPU_LEVEL_H_
