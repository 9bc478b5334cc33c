// A function of Highway's tables for the level that an object has chosen, where HWY_DYNAMIC_DISPATCH knows one choice per process.
// Include behind foreach_target, below HWY_ONCE.
#ifndef MFS_NN_DISPATCH_H_
#define MFS_NN_DISPATCH_H_

#include <hwy/highway.h>

namespace mfs {

// MFS_DISPATCH_AT(function, index): index from DispatchIndex of a target that CpuTarget gave.
#if (HWY_TARGETS & (HWY_TARGETS - 1)) == 0
#define MFS_DISPATCH_AT(function, index) HWY_STATIC_DISPATCH(function)
inline size_t DispatchIndex(int64_t) { return 0; }
#else
#define MFS_DISPATCH_AT(function, index) (*(HWY_DISPATCH_TABLE(function)[index]))
inline size_t DispatchIndex(int64_t target) {
  hwy::ChosenTarget chosen;
  chosen.Update(target);
  return chosen.GetIndex();
}
#endif

}  // namespace mfs

#endif  // MFS_NN_DISPATCH_H_
