// For one source file of a test program: g_allocations counts what the code under test allocates,
// where MFS_COUNTS_ALLOCATIONS is defined (the sanitizers have replacements of their own).
#ifndef MFS_BASE_COUNT_ALLOCATIONS_H_
#define MFS_BASE_COUNT_ALLOCATIONS_H_

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> g_allocations{0};
}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MFS_COUNTS_ALLOCATIONS 1
__attribute__((noinline)) void* operator new(size_t n) {
  ++g_allocations;
  if (void* p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void* operator new(size_t n, std::align_val_t alignment) {
  ++g_allocations;
  const size_t a = static_cast<size_t>(alignment);
  if (void* p = std::aligned_alloc(a, (n + a - 1) / a * a)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
__attribute__((noinline)) void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
__attribute__((noinline)) void operator delete(void* p) noexcept { std::free(p); }
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept { std::free(p); }
#endif

#endif  // MFS_BASE_COUNT_ALLOCATIONS_H_
