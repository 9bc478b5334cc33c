// Plain loops compiled for several CPUs, the best one chosen when the program starts: the trainer is used on the machine it is built
// for or a similar one, so this takes the place of hand-written kernels.
#ifndef MFS_TRAIN_SIMD_H_
#define MFS_TRAIN_SIMD_H_

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MFS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MFS_CLONES
#endif

#endif  // MFS_TRAIN_SIMD_H_
