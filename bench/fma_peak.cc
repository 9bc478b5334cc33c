// The multiply-add loop that every engine is measured against. Assembly, since a compiler may spill or fuse what it must not here.
#include <algorithm>
#include <cstdint>

#include "race.h"

namespace mfs::bench {
namespace {

#if defined(__x86_64__)
constexpr int64_t kLoops = 1000000;
#define MFS_TWELVE(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)
#define MFS_ZMM(r) "vfmadd231ps %%zmm12,%%zmm13,%%zmm" #r "\n"
#define MFS_YMM(r) "vfmadd231ps %%ymm12,%%ymm13,%%ymm" #r "\n"
#define MFS_XMM(r) "movaps %%xmm12,%%xmm14\nmulps %%xmm13,%%xmm14\naddps %%xmm14,%%xmm" #r "\n"
#define MFS_CLOBBERS "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "cc"

// Zeros times zeros: no denormals, the same speed as any number.
__attribute__((target("avx512f"))) void Loop512() {
  int64_t n = kLoops;
  asm volatile("vpxorq %%zmm12,%%zmm12,%%zmm12\nvpxorq %%zmm13,%%zmm13,%%zmm13\n1:\n" MFS_TWELVE(MFS_ZMM) "dec %0\njnz 1b\nvzeroupper\n" : "+r"(n) : : MFS_CLOBBERS);
}
__attribute__((target("avx2,fma"))) void Loop256() {
  int64_t n = kLoops;
  asm volatile("vpxor %%ymm12,%%ymm12,%%ymm12\nvpxor %%ymm13,%%ymm13,%%ymm13\n1:\n" MFS_TWELVE(MFS_YMM) "dec %0\njnz 1b\nvzeroupper\n" : "+r"(n) : : MFS_CLOBBERS);
}
void Loop128() {
  int64_t n = kLoops;
  asm volatile("xorps %%xmm12,%%xmm12\nxorps %%xmm13,%%xmm13\n1:\n" MFS_TWELVE(MFS_XMM) "dec %0\njnz 1b\n" : "+r"(n) : : MFS_CLOBBERS);
}
#endif

}  // namespace

double FmaPeak(const std::string& level) {
#if defined(__x86_64__)
  const bool has512 = __builtin_cpu_supports("avx512f"), has256 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  void (*loop)() = nullptr;
  int lanes = 0;
  if (has512 && (level.empty() || level.rfind("avx512", 0) == 0)) {
    loop = Loop512, lanes = 16;
  } else if (has256 && (level.empty() || level == "avx2")) {
    loop = Loop256, lanes = 8;
  } else if (level.empty() || level == "sse4" || level == "ssse3" || level == "sse2") {
    loop = Loop128, lanes = 4;
  }
  if (loop == nullptr) return 0;
  double best = 0;
  for (int i = 0; i < 9; ++i) {
    const double start = Seconds();
    loop();
    best = std::max(best, 12.0 * lanes * kLoops / (Seconds() - start) / 1e9);
  }
  return best;
#else
  (void)level;
  return 0;
#endif
}

}  // namespace mfs::bench
