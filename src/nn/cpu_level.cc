#include "nn/cpu_level.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdlib>

namespace mfs {
namespace {

std::string NameOf(int64_t target) {
  switch (target) {
    case HWY_AVX3: return "avx512";
    case HWY_AVX3_DL: return "avx512-vnni";
    case HWY_AVX2: return "avx2";
    case HWY_SSE4: return "sse4";
    case HWY_SSSE3: return "ssse3";
    case HWY_NEON: return "neon";
    case HWY_WASM: return "wasm";
    case HWY_EMU128:
    case HWY_SCALAR: return "scalar";
    default: return hwy::TargetName(target);
  }
}

std::vector<int64_t> Targets() {
  std::vector<int64_t> targets;
#if (HWY_TARGETS & (HWY_TARGETS - 1)) == 0
  const int64_t supported = HWY_TARGETS;  // built for one level: nothing to ask the machine, and no need of Highway's library
#else
  const int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;
#endif
  // A lower bit is a better target.
  for (int64_t bits = supported; bits != 0; bits &= bits - 1) targets.push_back(bits & ~(bits - 1));
  return targets;
}

}  // namespace

std::vector<std::string> CpuLevels() {
  std::vector<std::string> names;
  for (int64_t t : Targets()) names.push_back(NameOf(t));
  return names;
}

StatusOr<int64_t> CpuTarget(const std::string& level) {
  const std::vector<int64_t> targets = Targets();
  if (level.empty() && !targets.empty()) return targets[0];
  std::string known;
  for (int64_t t : targets) {
    if (NameOf(t) == level) return t;
    known += (known.empty() ? "" : ", ") + NameOf(t);
  }
  return Unsupported("CPU level '" + level + "' is not there; this machine has " + known);
}

StatusOr<std::string> ChooseCpuLevel(const std::string& asked) {
  const char* variable = std::getenv("MFS_CPU");
  const std::string level = asked.empty() && variable != nullptr ? variable : asked;
  MFS_RETURN_IF_ERROR(CpuTarget(level).status());
  return level.empty() ? CpuLevels()[0] : level;
}

}  // namespace mfs
