#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "ops_stock.h"

namespace mfs::train {
namespace {

using torch::Tensor;

Tensor ToNchw(const Tensor& x) { return x.permute({0, 3, 1, 2}); }
Tensor ToNhwc(const Tensor& x) { return x.permute({0, 2, 3, 1}); }

// Both functions on the same inputs: equal values, and equal gradients of a random projection.
void ExpectSame(const std::function<Tensor(const std::vector<Tensor>&)>& ours, const std::function<Tensor(const std::vector<Tensor>&)>& stock, const std::vector<Tensor>& inputs,
                double tolerance = 2e-4) {
  std::vector<std::vector<Tensor>> grads;
  std::vector<Tensor> outputs;
  Tensor projection;
  for (const auto* f : {&ours, &stock}) {
    std::vector<Tensor> in;
    for (const Tensor& t : inputs) in.push_back(t.clone().detach().requires_grad_(t.requires_grad()));
    const Tensor y = (*f)(in);
    if (!projection.defined()) projection = torch::randn_like(y);
    (y * projection).sum().backward();
    outputs.push_back(y.detach());
    grads.emplace_back();
    for (const Tensor& t : in) grads.back().push_back(t.requires_grad() ? t.grad() : torch::zeros({1}));
  }
  EXPECT_TRUE(outputs[0].sizes() == outputs[1].sizes());
  EXPECT_LT((outputs[0] - outputs[1]).abs().max().item<double>(), tolerance);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double scale = std::max(1.0, grads[1][i].abs().max().item<double>());
    EXPECT_LT((grads[0][i] - grads[1][i]).abs().max().item<double>() / scale, tolerance) << "gradient of input " << i;
  }
}

Tensor Random(at::IntArrayRef sizes) { return torch::randn(sizes).requires_grad_(true); }

TEST(Ops, DepthwiseMatchesGroupedConvolution) {
  for (const auto& [k, stride] : {std::pair<int, int>{3, 1}, {3, 2}, {4, 2}}) {
    for (int c : {1, 3, 8, 13, 16, 24, 48}) {
      for (const auto& [h, w] : {std::pair<int, int>{4, 6}, {14, 14}, {2, 2}}) {
        for (int kernels : {1, 3}) {
          const auto stock = [k = k, stride = stride](const std::vector<Tensor>& in) { return stock::Depthwise(in[0], in[1], k, stride); };
          SCOPED_TRACE(std::to_string(k) + " " + std::to_string(stride) + " " + std::to_string(c) + " " + std::to_string(h));
          ExpectSame([k = k, stride = stride](const std::vector<Tensor>& in) { return Depthwise(in[0], in[1], k, stride); }, stock, {Random({3, h, w, c}), Random({kernels, k * k, c})});
        }
      }
    }
  }
}

TEST(Ops, ScaleLeakyRelu) {
  ExpectSame([](const auto& in) { return ScaleLeakyRelu(in[0], in[1]); }, [](const auto& in) { return stock::ScaleLeakyRelu(in[0], in[1]); },
             {Random({3, 5, 4, 20}), (torch::rand({3, 20}) + 0.2).requires_grad_(true)});
}

// Every tensor lies right behind a hole of 32 bytes, which the next array of eight floats but `others` fills (with glibc's malloc; elsewhere this is just another allocator).
class NextToSmallArrays : public c10::Allocator {
 public:
  explicit NextToSmallArrays(int others) : others_(others) {}
  ~NextToSmallArrays() override {
    for (void* p : kept_) std::free(p);
  }
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
  c10::DataPtr allocate(size_t n) override { return Allocate(n); }
  void copy_data(void* to, const void* from, size_t n) const override { default_copy_data(to, from, n); }
#else
  c10::DataPtr allocate(size_t n) const override { return Allocate(n); }
#endif
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }

 private:
  c10::DataPtr Allocate(size_t n) const {
    const auto keep = [&](void* p) { kept_.push_back(p); };
    for (int i = 0; i < 16; ++i) keep(std::malloc(kHole));  // old holes
    void* hole = std::malloc(kHole);
    void* data = std::malloc(n);
    for (int i = 0; i < 64 && static_cast<char*>(data) != static_cast<char*>(hole) + kHole + 16; ++i) {
      keep(hole), keep(data);
      hole = std::malloc(kHole), data = std::malloc(n);
    }
    std::vector<void*> free{hole};
    for (int i = 0; i < others_; ++i) free.push_back(std::malloc(kHole));
    for (void* p : free) std::free(p);  // what is freed last is given first
    return {data, data, &std::free, c10::Device(c10::DeviceType::CPU)};
  }

  static constexpr size_t kHole = 32;
  const int others_;
  mutable std::vector<void*> kept_;
};

// A resumed run ends in the same bits only if no loop rounds by where its small arrays happen to lie: GCC compiles a loop whose arrays might overlap twice, and contracts the two differently.
TEST(Ops, NormBackwardHasTheSameBitsWhereverItsArraysLie) {
  torch::manual_seed(3);
  const Tensor x = torch::randn({1, 4, 5, 8}), projection = torch::randn({1, 4, 5, 8}), weight = torch::randn({8}), bias = torch::randn({8});
  const auto gradient = [&] {
    const Tensor in = x.clone().requires_grad_(true);
    Tensor mean = torch::zeros({8}), variance = torch::ones({8});
    (BatchNormLeakyRelu(in, weight, bias, mean, variance, true) * projection).sum().backward();
    return in.grad().clone();
  };
  const Tensor far = gradient();
  for (int others = 0; others < 6; ++others) {
    NextToSmallArrays allocator(others);
    c10::Allocator* const usual = c10::GetCPUAllocator();
    c10::SetCPUAllocator(&allocator);
    const Tensor near = gradient();
    c10::SetCPUAllocator(usual);
    EXPECT_TRUE(torch::equal(near, far)) << (near != far).sum().item<int64_t>() << " values differ";
  }
}

TEST(Ops, Upsample2) {
  for (const auto& [h, w] : {std::pair<int, int>{1, 1}, {2, 3}, {7, 7}, {14, 10}}) {
    ExpectSame([](const auto& in) { return Upsample2(in[0]); }, [](const auto& in) { return stock::Upsample2(in[0]); }, {Random({2, h, w, 18})});
  }
}

TEST(Ops, BatchNormLeakyReluInBothModes) {
  for (bool training : {true, false}) {
    Tensor mean = torch::randn({6}), var = torch::rand({6}) + 0.5, mean2 = mean.clone(), var2 = var.clone();
    ExpectSame([&](const auto& in) { return BatchNormLeakyRelu(in[0], in[1], in[2], mean, var, training, 0.1); },
               [&](const auto& in) { return stock::BatchNormLeakyRelu(in[0], in[1], in[2], mean2, var2, training, 0.1, 1e-5); },
               {Random({3, 4, 5, 6}), (torch::rand({6}) + 0.5).requires_grad_(true), Random({6})}, 5e-4);
    EXPECT_LT((mean - mean2).abs().max().item<double>(), 1e-5);
    EXPECT_LT((var - var2).abs().max().item<double>(), 1e-4);
  }
}

TEST(Ops, FrozenBiasPrelu) {
  ExpectSame([](const auto& in) { return FrozenBiasPrelu(in[0], in[1], in[2]); }, [](const auto& in) { return stock::FrozenBiasPrelu(in[0], in[1], in[2]); },
             {Random({3, 4, 5, 7}), torch::randn({7}), torch::randn({7})});
}

TEST(Ops, SmallConv3x3) {
  for (const auto& [ci, co, w] : {std::tuple<int, int, int>{8, 3, 6}, {3, 3, 40}, {2, 1, 32}}) {
    ExpectSame([](const auto& in) { return SmallConv3x3(in[0], in[1], in[2]); }, [](const auto& in) { return stock::SmallConv3x3(in[0], in[1], in[2]); },
               {Random({2, 9, w, ci}), Random({co, ci, 3, 3}), Random({co})});
  }
}

TEST(Ops, Patches) {
  for (const auto& [k, stride, pad] : {std::tuple<int, int, int>{3, 2, 1}, {4, 2, 1}, {4, 1, 0}, {2, 1, 0}, {3, 1, 1}}) {
    ExpectSame(
        [k = k, stride = stride, pad = pad](const auto& in) {
          return Patches(in[0], k, stride, pad).matmul(in[1].permute({2, 3, 1, 0}).reshape({-1, in[1].size(0)}));
        },
        [stride = stride, pad = pad](const auto& in) { return ToNhwc(torch::conv2d(ToNchw(in[0]), in[1], {}, stride, pad)); }, {Random({2, 8, 6, 5}), Random({4, 5, k, k})});
    ExpectSame([k = k, stride = stride, pad = pad](const auto& in) { return Patches(in[0], k, stride, pad); },
               [k = k, stride = stride, pad = pad](const auto& in) { return stock::Patches(in[0], k, stride, pad); }, {Random({2, 8, 6, 5})});
  }
}

TEST(Ops, Convolution) {
  for (const auto& [k, stride, pad] : {std::tuple<int, int, int>{3, 2, 1}, {4, 2, 1}, {1, 1, 0}, {3, 1, 1}}) {
    ExpectSame([stride = stride, pad = pad](const auto& in) { return Convolution(in[0], in[1], in[2], stride, pad); },
               [k = k, stride = stride, pad = pad](const auto& in) {
                 return Patches(in[0], k, stride, pad).matmul(in[1].permute({2, 3, 1, 0}).reshape({-1, in[1].size(0)})) + in[2];
               },
               {Random({2, 8, 6, 5}), Random({4, 5, k, k}), Random({4})});
  }
}

TEST(Ops, Pointwise) {
  for (const auto& [ci, co] : {std::pair<int, int>{16, 32}, {48, 16}, {3, 32}, {32, 8}}) {
    for (int n : {2, 16}) {
      ExpectSame([](const auto& in) { return Pointwise(in[0], in[1]); }, [](const auto& in) { return torch::matmul(in[0], in[1].t()); }, {Random({n, 6, 5, ci}), Random({co, ci})});
      ExpectSame([](const auto& in) { return Pointwise(in[0], in[1], in[2]); }, [](const auto& in) { return torch::matmul(in[0], in[1].t()) + in[2]; },
                 {Random({n, 6, 5, ci}), Random({co, ci}), Random({co})});
    }
  }
}

TEST(Ops, ShrinkTakesMeansOfAreas) {
  const auto area = [](int64_t h, int64_t w) { return [=](const std::vector<Tensor>& in) { return ToNhwc(torch::adaptive_avg_pool2d(ToNchw(in[0]), {h, w})); }; };
  ExpectSame([](const auto& in) { return Shrink(in[0], 4, 3); }, area(4, 3), {Random({2, 8, 9, 3})});
  ExpectSame([](const auto& in) { return Shrink(in[0], 4, 5); }, area(4, 5), {Random({2, 8, 10, 3})});
  // Fractional: 8 -> 7 as 8 x 7 pixels shrunk by 8.
  ExpectSame([](const auto& in) { return Shrink(in[0], 7, 7); }, [&](const auto& in) { return area(7, 7)({in[0].repeat_interleave(7, 1).repeat_interleave(7, 2)}); }, {Random({2, 8, 8, 3})});
  for (const auto& [h, w, height, width] : {std::tuple<int, int, int, int>{14, 28, 8, 16}, {9, 5, 4, 5}, {6, 6, 1, 1}}) {
    ExpectSame([height = height, width = width](const auto& in) { return Shrink(in[0], height, width); },
               [height = height, width = width](const auto& in) { return stock::Shrink(in[0], height, width); }, {Random({3, h, w, 3})});
  }
  const Tensor same = torch::randn({1, 4, 4, 3});
  EXPECT_TRUE(torch::equal(Shrink(same, 4, 4), same));
}

TEST(Ops, Fuse) {
  ExpectSame([](const auto& in) { return Fuse(in[0], in[1], in[2]); }, [](const auto& in) { return stock::Fuse(in[0], in[1], in[2]); },
             {Random({2, 4, 5, 3}), Random({2, 4, 5, 1}), torch::randn({2, 4, 5, 3})});
}

TEST(Ops, WeightedL1) {
  ExpectSame([](const auto& in) { return WeightedL1(in[0], in[1], in[2]); }, [](const auto& in) { return stock::WeightedL1(in[0], in[1], in[2]); },
             {Random({2, 20, 16, 3}), torch::randn({2, 20, 16, 3}), torch::rand({2, 20, 16, 1})});
}

TEST(Ops, ReconstructionLoss) {
  const Tensor weight = torch::rand({2});
  ExpectSame(
      [&](const auto& in) {
        return ReconstructionLoss(in[0], in[1], weight, {10, 7, 20, 30});
      },
      [&](const auto& in) {
        return stock::ReconstructionLoss(in[0], in[1], weight, {10, 7, 20, 30});
      },
      {Random({2, 32, 48, 3}), torch::randn({2, 32, 48, 3})});
}

}  // namespace
TEST(Ops, SharpnessLossAsksForTheTeachersDetailAndForNothingElse) {
  torch::manual_seed(7);
  const Tensor b = torch::rand({2, 64, 64, 3}) * 0.3 + 0.3, one = torch::ones({2, 64, 64, 1});
  const auto blurred = [](const Tensor& x) { return torch::avg_pool2d(x.permute({0, 3, 1, 2}), 3, 1, 1, false, false).permute({0, 2, 3, 1}).contiguous(); };
  const auto loss = [&](const Tensor& a) { return SharpnessLoss(a, b, b, one).item<float>(); };
  const Tensor soft = blurred(b);
  EXPECT_NEAR(loss(b), 0, 0.02);
  EXPECT_NEAR(loss(torch::full_like(b, 0.5)), 1, 0.02);
  EXPECT_GT(loss(soft), loss(soft + 0.3 * (b - soft)) + 0.1);
  EXPECT_LT(loss(b + 0.5 * (b - soft)), 0.001) << "sharper than the teacher is not judged";
  // A chequered pattern has as much detail, but not the teacher's.
  const Tensor line = torch::arange(64).remainder(2).mul(2).sub(1).to(torch::kFloat);
  EXPECT_NEAR(loss(soft + 0.03 * line.reshape({1, 64, 1, 1}) * line.reshape({1, 1, 64, 1})), loss(soft), 0.1);
  // Blurred targets want no more than they have; outside the weight nothing is asked.
  EXPECT_LT(SharpnessLoss(soft, b, soft, one).item<float>(), 0.5 * loss(soft));
  EXPECT_EQ(SharpnessLoss(soft, b, b, 0 * one).item<float>(), 0);
  // Flat cells: no division by nothing.
  EXPECT_EQ(SharpnessLoss(0 * b, 0 * b, 0 * b, one).item<float>(), 0);
  Tensor a = soft.clone().set_requires_grad(true);
  SharpnessLoss(a, b, b, one).backward();
  EXPECT_LT(loss(soft - 20 * a.grad()), loss(soft));
}

}  // namespace mfs::train
