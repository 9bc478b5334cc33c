// Moved: the levels belong to all kernels.
#ifndef MFS_IDN_CPU_LEVEL_H_
#define MFS_IDN_CPU_LEVEL_H_

#include "nn/cpu_level.h"

#endif  // MFS_IDN_CPU_LEVEL_H_
