// Differentiable operators on channel-last tensors [batch, height, width, channels], contiguous, float32. They stand in for stock
// libtorch operators that are slow on a CPU for the shapes of this project; each has a test against them (ops_test.cc). On other devices the stock ones run (ops_stock.h).
#ifndef MFS_TRAIN_OPS_H_
#define MFS_TRAIN_OPS_H_

#include <torch/torch.h>

namespace mfs::train {

// Depthwise convolution with zero padding. x [n,h,w,c]; kernel [n or 1, k*k, c] (1: shared by all samples). k, stride: 3,1; 3,2; 4,2;
// padding 1 in all of them.
torch::Tensor Depthwise(const torch::Tensor& x, const torch::Tensor& kernel, int k, int stride);

// LeakyReLU(scale * x), slope 0.1. scale [n,c], positive.
torch::Tensor ScaleLeakyRelu(const torch::Tensor& x, const torch::Tensor& scale);

// Bilinear doubling, align_corners = true.
torch::Tensor Upsample2(const torch::Tensor& x);

// Batch norm and LeakyReLU (slope 0.1). While training: statistics of the batch, and the running ones move by `momentum`.
torch::Tensor BatchNormLeakyRelu(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, torch::Tensor running_mean, torch::Tensor running_var, bool training,
                                 double momentum = 0.01, double eps = 1e-5);

// x + bias, then PReLU with one slope per channel; no gradients for bias and slope (frozen networks). The slopes may be negative.
// bias may be undefined.
torch::Tensor FrozenBiasPrelu(const torch::Tensor& x, const torch::Tensor& bias, const torch::Tensor& slope);

// 3x3 convolution, padding 1, with few channels. x [n,h,w,ci]; weight [co,ci,3,3]; bias [co].
torch::Tensor SmallConv3x3(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);

// The k x k neighbourhoods as rows: [n,h,w,c] -> [n,ho,wo,k*k*c], taps outer, channels inner; a convolution is Patches and a matrix product.
torch::Tensor Patches(const torch::Tensor& x, int k, int stride, int pad);

// A convolution with zero padding. x [n,h,w,ci]; weight [co,ci,k,k]; bias [co] or undefined -> [n,ho,wo,co].
torch::Tensor Convolution(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, int stride, int pad);

// x [n,h,w,ci] times weight [co,ci] at every pixel, plus bias [co] where it is defined.
torch::Tensor Pointwise(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias = {});

// [n,h,w,c] -> [n,height,width,c], not larger than before: every pixel is the mean of the area it covers.
torch::Tensor Shrink(const torch::Tensor& x, int64_t height, int64_t width);

// image*m + (1-m)*target. image [n,h,w,3], m [n,h,w,1], target without gradient.
torch::Tensor Fuse(const torch::Tensor& image, const torch::Tensor& mask, const torch::Tensor& target);

// sum of weight |a-b| over 3 sum of weight + 1: the mean over the pixels that count. a, b [n,h,w,3], b and weight [n,h,w,1] without gradient.
torch::Tensor WeightedL1(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& weight);

struct ReconstructionWeights {
  double l1 = 10, gradient = 10;
  double colour = 0;  // of the picture averaged over 16 x 16 pixels
  double chroma = 0;  // of the picture averaged over 2 x 2 pixels, without what the three colours have in common; in larger cells a wrong hue pays for its opposite beside it
};
// sum over n of weight[n] * (l1 |a-b| + gradient (|dx(a-b)| + |dy(a-b)|) + colour |avg16(a-b)| + chroma |chroma(avg2(a-b))|) / batch, each a mean over its elements.
// a [n,h,w,3] with gradient, b without. h and w are multiples of 16.
torch::Tensor ReconstructionLoss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& weight, const ReconstructionWeights& w);

// How far a picture's fine detail stays behind that of another one, 0 to about 1: in cells of 32 x 32 pixels the slope of the regression of the Laplacian of `a`'s brightness on that of `b`'s, below 1 or, where
// `like` has less detail than b, below the ratio of the two; mean by weight. An L1 loss alone is smallest at a blur of what cannot be foretold. A slope asks for more of the detail that is in the right
// place; an energy would as well be reached by a pattern. a, b, like: [n,h,w,3], weight: [n,h,w,1], h and w multiples of 32. Ours.
torch::Tensor SharpnessLoss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& like, const torch::Tensor& weight);

}  // namespace mfs::train

#endif  // MFS_TRAIN_OPS_H_
