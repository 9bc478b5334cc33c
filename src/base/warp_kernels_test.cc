// Every CPU level against the scalar reference, and any number of threads against one.
#include "base/warp_kernels.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstring>
#include <random>

#include "base/thread_pool.h"

namespace mfs {
namespace {

SampleGrid RandomGrid(int width, int height, unsigned seed) {
  SampleGrid g;
  g.Reset(width, height);
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> value(0, 255), weight(-0.2f, 1.2f);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) g.row(y)[4 * x + c] = value(rng);
      g.row(y)[4 * x + 3] = weight(rng);
    }
  }
  g.RepeatBorder();
  return g;
}

class WarpKernels : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(WarpKernels, SampleRowIsTheReference) {
  for (const auto& [w, h] : {std::pair{1, 1}, {2, 3}, {17, 9}, {64, 40}}) {
    const SampleGrid g = RandomGrid(w, h, w);
    for (int n : {1, 7, 128, 300}) {
      std::vector<float> got(4 * n), want(4 * n);
      SampleRow(g, -3.3f, -1.7f, (w + 6.0f) / n, (h + 4.0f) / n, n, got.data());
      SampleRowReference(g, -3.3f, -1.7f, (w + 6.0f) / n, (h + 4.0f) / n, n, want.data());
      for (int i = 0; i < 4 * n; ++i) ASSERT_NEAR(got[i], want[i], 0.03f) << w << "x" << h << " " << n << " " << i;
    }
  }
}

TEST_P(WarpKernels, BlendRowIsTheReference) {
  const SampleGrid g = RandomGrid(40, 30, 1), luma = RandomGrid(40, 30, 2);
  std::mt19937 rng(3);
  for (int components = 1; components <= 3; ++components) {
    for (int packed = 0; packed < 2; ++packed) {
      for (const bool wide : {false, true}) {
        for (const bool detail : {false, true}) {
          constexpr int kWidth = 301;
          std::vector<uint16_t> memory(kWidth * 3 + 8);
          for (uint16_t& v : memory) v = static_cast<uint16_t>(wide ? (rng() & 1023) << 2 : rng());
          std::vector<uint16_t> want = memory;
          PlaneBlend b;
          b.grid = &g;
          b.components = components;
          b.wide = wide, b.sample_shift = wide ? 2 : 0, b.peak = wide ? 1023 : 255;
          b.keeps_detail = detail && components != 2, b.amount = 0.8f, b.inverse_limit = 0.05f, b.detail_in_all = components == 3;
          if (b.keeps_detail && components == 3) b.luma_grid = &luma, b.luma_weights[0] = 0.3f, b.luma_weights[1] = 0.6f, b.luma_weights[2] = 0.1f;
          const auto place = [&](std::vector<uint16_t>* m) {
            const int bytes = wide ? 2 : 1;
            for (int c = 0; c < components; ++c) b.component[c] = {reinterpret_cast<uint8_t*>(m->data()) + bytes * (packed != 0 ? c : c * kWidth), 0, bytes * (packed != 0 ? components : 1), 0, 0};
          };
          place(&memory);
          BlendRow(b, 1, 0, kWidth - 2, -0.4f, 3, 0.13f, 0.08f);
          place(&want);
          BlendRowReference(b, 1, 0, kWidth - 2, -0.4f, 3, 0.13f, 0.08f);
          for (size_t i = 0; i < memory.size(); ++i) {
            const int got_high = wide ? memory[i] >> 2 : memory[i] >> 8, want_high = wide ? want[i] >> 2 : want[i] >> 8;
            ASSERT_LE(std::abs(got_high - want_high), 1) << components << packed << wide << detail << " " << i;
            const int got_low = wide ? 0 : memory[i] & 255, want_low = wide ? 0 : want[i] & 255;
            ASSERT_LE(std::abs(got_low - want_low), 1) << components << packed << detail << " " << i;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, WarpKernels, testing::ValuesIn([] {
                           std::vector<int64_t> targets;
                           for (int64_t bits = hwy::SupportedTargets(); bits != 0; bits &= bits - 1) targets.push_back(bits & ~(bits - 1));
                           return targets;
                         }()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST(BlendWarpedThreads, GiveTheSameFrame) {
  constexpr int kW = 320, kH = 240, kCrop = 64;
  ImageF rgb(kCrop, kCrop, 3), alpha(kCrop, kCrop, 1), luma(kCrop, kCrop, 1);
  std::mt19937 rng(1);
  std::uniform_real_distribution<float> value(0, 1);
  for (ImageF* i : {&rgb, &alpha, &luma}) {
    for (float& v : i->vector()) v = value(rng);
  }
  const auto run = [&](int threads) {
    std::vector<uint8_t> px(kW * kH * 3 / 2);
    for (size_t i = 0; i < px.size(); ++i) px[i] = static_cast<uint8_t>(i * 7);
    FrameView f;
    f.model = ColorModel::kYuv;
    f.full_range = false;
    f.stored_width = kW, f.stored_height = kH;
    f.component[0] = {px.data(), kW, 1, 0, 0};
    f.component[1] = {px.data() + kW * kH, kW, 2, 1, 1};
    f.component[2] = {px.data() + kW * kH + 1, kW, 2, 1, 1};
    ThreadPool pool(threads);
    BlendDetail detail;
    detail.luma = &luma;
    EXPECT_TRUE(BlendWarped(rgb, alpha, SquareCrop({150, 110}, 190, 12, kCrop), &f, nullptr, &detail, threads == 0 ? nullptr : &pool).ok());
    return px;
  };
  const std::vector<uint8_t> want = run(0);
  for (int threads : {1, 2, 3, 7}) EXPECT_EQ(run(threads), want) << threads;
}

}  // namespace
}  // namespace mfs
