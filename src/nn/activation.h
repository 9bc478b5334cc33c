#ifndef MFS_NN_ACTIVATION_H_
#define MFS_NN_ACTIVATION_H_

namespace mfs {

// Channels of a map are padded to a multiple of this.
inline constexpr int kChannelBlock = 8;
inline int PadToBlock(int channels) { return (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock; }

enum class Activation {
  kNone,
  kRelu,
  kRelu6,
  kPrelu,  // a slope per channel for what is below zero; LeakyReLU is one with equal slopes
};

}  // namespace mfs

#endif  // MFS_NN_ACTIVATION_H_
