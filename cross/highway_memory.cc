// The two functions of Highway's library that rooms call, for builds that have its headers only.
#include <hwy/aligned_allocator.h>

#include <new>

namespace hwy {

void* AllocateAlignedBytes(size_t bytes, AllocPtr, void*) { return ::operator new (bytes, std::align_val_t{HWY_ALIGNMENT}, std::nothrow); }
void FreeAlignedBytes(const void* p, FreePtr, void*) { ::operator delete (const_cast<void*>(p), std::align_val_t{HWY_ALIGNMENT}); }

}  // namespace hwy
