// The kernels of all networks but the IDN: rows of channel-last maps, compiled by Highway for every level (cpu_level.h). Plan
// (plan.h) calls them; graph_reference.h says what they compute. docs/engine.md tells why they are shaped so.
//
// A pixel is `channels` floats and padded to a multiple of kChannelBlock; what stands in the padding is never read into a
// channel. A row has zero pixels on either side where a kernel reaches over the edge; rows outside the map are a row of zeros.
#ifndef MFS_NN_KERNELS_H_
#define MFS_NN_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "nn/activation.h"

namespace mfs {

// What happens to a sum before it is stored.
struct Epilogue {
  const float* bias = nullptr;  // padded channels
  Activation activation = Activation::kNone;
  const float* slope = nullptr;  // kPrelu: padded channels
  bool add_after = false;        // the residual is added behind the activation, not before it
};

struct ConvRow {
  const float* const* segments;  // of the row's first pixel: ConvKernel.num_segments pointers
  const float* residual;         // first pixel of the map that is added, or null
  float* out;
};

// A convolution is a sum over segments of consecutive floats: one for a pointwise layer, one per kernel row or per tap else.
struct ConvKernel {
  int num_segments = 1, segment_length = 0;
  int a_stride = 0;    // floats from one output pixel to the next in the input
  int out_pad = 0;     // padded output channels
  int out_stride = 0;  // floats from one output pixel to the next
  int residual_stride = 0;
  const float* weight = nullptr;  // blocks of BlockWidth channels: [segment][k][channel of the block]
  Epilogue epilogue;
};

struct DepthwiseKernel {
  int kernel_h = 3, kernel_w = 3, stride = 1;
  int pad = 0;                    // padded channels, which are also the stride of both maps
  const float* weight = nullptr;  // [tap][padded channel]
  Epilogue epilogue;              // no residual
};

// The kernels of one level.
struct Kernels {
  // Output channels from `from` on go into a block of this many; decreasing towards the end.
  int (*block_width)(int out_pad, int from);
  // Each row has `pixels` outputs.
  void (*conv_rows)(const ConvKernel& conv, const ConvRow* rows, int num_rows, int pixels);
  // rows: kernel_h pointers to the leftmost input pixel of the first output.
  void (*depthwise_row)(const DepthwiseKernel& d, const float* const* rows, float* out, int pixels);
  // rows: `kernel` pointers to the row's pixel 0, null outside the map; pad: pixels on the left; width: of the input. Outside
  // pixels do not take part. Channels beyond the input's become zero.
  void (*max_pool_row)(const float* const* rows, int kernel, int stride, int pad, int width, int in_pad, float* out, int pixels, int out_pad);
  void (*average_pool_row)(const float* const* rows, int kernel_h, int kernel_w, int stride, int in_pad, float* out, int pixels);
  // out = activation(a + b); b may be null.
  void (*add_row)(const float* a, const float* b, const Epilogue& e, int pad, float* out, int pixels);
  // Between rows a and b of the input (weight of b), doubled along x with align_corners; the first `channels` of every pixel.
  void (*upsample_row)(const float* a, const float* b, float weight, int width, int pad, float* out, int out_stride);
};

// target: a bit that CpuTarget gave.
Kernels KernelsFor(int64_t target);

}  // namespace mfs

#endif  // MFS_NN_KERNELS_H_
