// The operators of ops.h from stock libtorch: what they are tested against, and what other devices than the CPU run.
#ifndef MFS_TRAIN_OPS_STOCK_H_
#define MFS_TRAIN_OPS_STOCK_H_

#include "ops.h"

namespace mfs::train::stock {

torch::Tensor Depthwise(const torch::Tensor& x, const torch::Tensor& kernel, int k, int stride);
torch::Tensor ScaleLeakyRelu(const torch::Tensor& x, const torch::Tensor& scale);
torch::Tensor Upsample2(const torch::Tensor& x);
torch::Tensor BatchNormLeakyRelu(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& running_mean, const torch::Tensor& running_var, bool training,
                                 double momentum, double eps);
torch::Tensor FrozenBiasPrelu(const torch::Tensor& x, const torch::Tensor& bias, const torch::Tensor& slope);
torch::Tensor SmallConv3x3(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);
torch::Tensor Patches(const torch::Tensor& x, int k, int stride, int pad);
torch::Tensor Shrink(const torch::Tensor& x, int64_t height, int64_t width);
torch::Tensor Fuse(const torch::Tensor& image, const torch::Tensor& mask, const torch::Tensor& target);
torch::Tensor WeightedL1(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& weight);
torch::Tensor ReconstructionLoss(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& weight, const ReconstructionWeights& w);

}  // namespace mfs::train::stock

#endif  // MFS_TRAIN_OPS_STOCK_H_
