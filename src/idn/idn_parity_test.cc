// The fast path against the scalar reference at every instruction set of the machine, and what Idn promises about its input. Needs nothing but base, weights
// and idn: cross builds run it too (docs/building.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/count_allocations.h"
#include "idn/idn.h"
#include "idn/idn_kernels.h"
#include "idn/idn_testing.h"
#include "nn/cpu_level.h"

namespace mfs {
namespace {

std::vector<float> RandomTarget(int size, int seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> uniform(0, 1);
  std::vector<float> target(3 * size * size);
  for (float& v : target) v = uniform(rng);
  return target;
}

TEST(IdnFast, MatchesTheReferenceAtEveryLevelSizeAndThreadCount) {
  for (int size : {32, 64, 96, 224}) {
    const IdnWeights w = RandomWeights(size, size != 64);  // one of the sizes without the detail branch
    const std::vector<float> target = RandomTarget(size, 7);
    IdnOptions options;
    options.size = size;
    options.reference = true;
    const IdnResult want = RunIdn(Idn::Create(w, options)->get(), target);
    options.reference = false;
#ifndef HWY_COMPILE_ONLY_STATIC  // cross builds have one level
    EXPECT_EQ(CpuLevels().back(), "scalar");
#endif
    for (const std::string& level : CpuLevels()) {
      options.cpu = level;
      IdnResult first;
      for (int threads : {1, 2, 3}) {
        options.threads = threads;
        auto idn = Idn::Create(w, options);
        const IdnResult got = RunIdn(idn->get(), target);
        EXPECT_LT(MaxDifference(got.raw, want.raw), 1e-4f) << (*idn)->name() << " " << size;
        EXPECT_LT(MaxDifference(got.mask, want.mask), 1e-4f) << (*idn)->name() << " " << size;
        EXPECT_LT(MaxDifference(got.image, want.image), 1e-4f) << (*idn)->name() << " " << size;
        if (threads == 1) {
          first = got;
        } else {
          EXPECT_EQ(got.image, first.image) << "the result depends on the thread count at " << (*idn)->name();
        }
      }
    }
    options.cpu = "abacus";
    EXPECT_EQ(Idn::Create(w, options).status().code(), StatusCode::kUnsupported);
  }
}

// One block whose depthwise stage copies its input, so that every level rounds the same numbers: the integer sums must be those of the scalar level.
TEST(IdnFast, EightBitProductIsThatOfTheScalarLevel) {
#ifndef HWY_COMPILE_ONLY_STATIC
  constexpr int kIn = 64, kOut = 96, kSide = 9, kLow = 2 * kSide;
  constexpr size_t kRow = (kLow + 2) * kBlock, kMap = kRow * (kLow + 2), kOutRow = (kSide + 2) * kBlock, kOutMap = kOutRow * (kSide + 2);
  std::mt19937 rng(9);
  std::normal_distribution<float> normal;
  struct alignas(64) Buffers {
    float in[kIn / kBlock * kMap], out[kOut / kBlock * kOutMap], depthwise[kIn * 16], bias[kOut], scale[kOut], sum[kOut], tile[kIn * kSide * kSide], pixels[2 * kTilePixels];
    int8_t matrix[kIn * kOut];
    uint8_t tile8[kIn * kSide * kSide];
  };
  const auto b = std::make_unique<Buffers>();
  std::fill(std::begin(b->depthwise), std::end(b->depthwise), 0.0f);
  for (int c = 0; c < kIn; ++c) b->depthwise[c / kBlock * 16 * kBlock + 5 * kBlock + c % kBlock] = 1;  // the tap of pixel (2x, 2y)
  for (float& v : b->in) v = normal(rng);
  for (float& v : b->bias) v = normal(rng);
  for (float& v : b->scale) v = 0.01f + 0.001f * std::fabs(normal(rng));
  for (int8_t& v : b->matrix) v = static_cast<int8_t>(static_cast<int>(rng() % 255) - 127);
  for (int o = 0; o < kOut; ++o) {
    int sum = 0;
    for (int i = 0; i < kIn; ++i) sum += b->matrix[o / kBlock * kIn * kBlock + i / 4 * 4 * kBlock + o % kBlock * 4 + i % 4];
    b->sum[o] = b->scale[o] * sum;
  }
  PackedBlock block{kIn / kBlock, kOut, b->depthwise, nullptr, b->bias, kLeakySlope};
  block.pointwise8 = b->matrix, block.scale8 = b->scale, block.sum8 = b->sum;
  IdnScratch scratch{b->tile, nullptr, nullptr, nullptr};
  scratch.tile8 = b->tile8, scratch.pixel_scale = b->pixels, scratch.pixel_least = b->pixels + kTilePixels;
  const auto run = [&](const std::string& level) {
    std::fill(std::begin(b->out), std::end(b->out), 0.0f);
    const BlockMap in{b->in + kRow + kBlock, kRow, kMap, kLow, kIn / kBlock}, out{b->out + kOutRow + kBlock, kOutRow, kOutMap, kSide, kOut / kBlock};
    IdnKernelsFor(CpuTarget(level).value()).encoder(block, in, out, 0, kSide, 0, kOut, scratch);
    return std::vector<float>(std::begin(b->out), std::end(b->out));
  };
  const std::vector<float> want = run("scalar");
  // Against the plain definition: the bytes undone.
  for (int o : {0, 31, 95}) {
    float least = b->in[kRow + kBlock], most = least;  // of the first row of pixels
    for (int c = 0; c < kIn; ++c) {
      for (int x = 0; x < kSide; ++x) {
        const float v = b->in[c / kBlock * kMap + kRow + kBlock + 2 * x * kBlock + c % kBlock];
        least = std::min(least, v), most = std::max(most, v);
      }
    }
    double sum = b->bias[o];
    for (int c = 0; c < kIn; ++c) {
      const double byte = std::nearbyint((b->in[c / kBlock * kMap + kRow + kBlock + c % kBlock] - least) * 255.0 / (most - least));
      sum += b->scale[o] * b->matrix[o / kBlock * kIn * kBlock + c / 4 * 4 * kBlock + o % kBlock * 4 + c % 4] * (least + byte * (most - least) / 255);
    }
    EXPECT_NEAR(want[o / kBlock * kOutMap + kOutRow + kBlock + o % kBlock], sum > 0 ? sum : kLeakySlope * sum, 2e-2);
  }
  for (const std::string& level : CpuLevels()) {
    if (!IdnKernelsFor(CpuTarget(level).value()).has_bytes) continue;
    EXPECT_LT(MaxDifference(run(level), want), 1e-4f) << level;
  }
#endif
}

// Values that the levels' orders of addition tip over to the next byte make whole networks differ a little; both must stay near single precision.
TEST(IdnFast, EightBitsStayNearSinglePrecisionAtAnyThreadCount) {
#ifndef HWY_COMPILE_ONLY_STATIC
  for (int size : {32, 96, 224}) {
    const IdnWeights w = RandomWeights(size);
    const std::vector<float> target = RandomTarget(size, 8);
    IdnOptions options;
    options.size = size;
    const IdnResult single = RunIdn(Idn::Create(w, options)->get(), target);
    options.int8 = true;
    options.cpu = "scalar";
    const IdnResult want = RunIdn(Idn::Create(w, options)->get(), target);
    const auto mean = [](const std::vector<float>& a, const std::vector<float>& b) {
      double sum = 0;
      for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]);
      return sum / a.size();
    };
    EXPECT_GT(mean(want.raw, single.raw), 0);
    EXPECT_LT(mean(want.raw, single.raw), 0.02);
    for (const std::string& level : CpuLevels()) {
      options.cpu = level;
      options.threads = 1;
      auto idn = Idn::Create(w, options);
      if (!idn.ok()) {  // levels without a four-byte dot product
        EXPECT_EQ(idn.status().code(), StatusCode::kUnsupported);
        continue;
      }
      const IdnResult got = RunIdn(idn->get(), target);
      EXPECT_LT(mean(got.raw, want.raw), 0.01) << (*idn)->name() << " " << size;
      for (int threads : {2, 3}) {
        options.threads = threads;
        EXPECT_EQ(RunIdn(Idn::Create(w, options)->get(), target).image, got.image) << "the result depends on the thread count at " << (*idn)->name();
      }
      // Another person and back.
      ASSERT_TRUE((*idn)->SetIdentity(RandomWeights(size + 1)).ok());
      EXPECT_NE(RunIdn(idn->get(), target).image, got.image);
      ASSERT_TRUE((*idn)->SetIdentity(w).ok());
      EXPECT_EQ(RunIdn(idn->get(), target).image, got.image);
    }
  }
#endif
}

TEST(Idn, SwitchingTheIdentityLeavesNothingBehind) {
  std::vector<float> target(3 * 64 * 64, 0.3f);
  IdnOptions options;
  options.size = 64;
  for (const bool detail : {false, true}) {  // to the other architecture and back, too
    const IdnWeights a = RandomWeights(1, detail), b = RandomWeights(2);
    auto idn = Idn::Create(a, options);
    const IdnResult first = RunIdn(idn->get(), target);
    ASSERT_TRUE((*idn)->SetIdentity(b).ok());
    EXPECT_EQ(RunIdn(idn->get(), target).image, RunIdn(Idn::Create(b, options)->get(), target).image);
    ASSERT_TRUE((*idn)->SetIdentity(a).ok());
    EXPECT_EQ(RunIdn(idn->get(), target).image, first.image);
  }
}

// Weights that overflow wrote NaN beside the rows that the next person's run takes for zeros.
TEST(Idn, WeightsThatOverflowLeaveNothingBehind) {
  std::vector<float> target(3 * 64 * 64, 0.3f);
  for (const std::string& level : CpuLevels()) {
    for (int threads : {1, 2}) {
      IdnOptions options;
      options.size = 64, options.threads = threads, options.cpu = level;
      const IdnWeights good = RandomWeights(1);
      auto idn = Idn::Create(good, options);
      ASSERT_TRUE(idn.ok());
      const IdnResult before = RunIdn(idn->get(), target);
      for (int part = 0; part < 3; ++part) {
        IdnWeights bad = RandomWeights(2);
        // Two layers in a row: 1e30 alone is finite.
        std::vector<float>* huge[3][2] = {
            {&bad.decoder[3].pointwise, &bad.head[0].weight}, {&bad.encoder[0].pointwise, &bad.encoder[1].pointwise}, {&bad.fusion[3].pointwise, &bad.fusion[4].pointwise}};
        for (std::vector<float>* values : huge[part]) {
          for (float& w : *values) w = w < 0 ? -1e30f : 1e30f;
        }
        ASSERT_TRUE((*idn)->SetIdentity(bad).ok());
        RunIdn(idn->get(), target);
        ASSERT_TRUE((*idn)->SetIdentity(good).ok());
        EXPECT_EQ(RunIdn(idn->get(), target).image, before.image) << level << " threads " << threads << " part " << part;
      }
    }
  }
}

#ifdef MFS_COUNTS_ALLOCATIONS
TEST(Idn, NothingIsAllocatedAfterTheFirstRun) {
  const IdnWeights a = RandomWeights(1), b = RandomWeights(2);
  std::vector<float> target(3 * 64 * 64, 0.3f), raw(target.size()), mask(64 * 64);
  std::vector<uint8_t> pixels(3 * 64 * 64);
  for (const auto& [threads, int8] : {std::pair<int, bool>{1, false}, {2, false}, {3, false}, {1, true}}) {
    IdnOptions options;
    options.size = 64;
    options.threads = threads;
    options.int8 = int8;
    if (int8) options.cpu = "scalar";
    auto idn = Idn::Create(a, options);
    if (int8 && !idn.ok()) continue;  // cross builds have no scalar level
    ASSERT_TRUE(idn.ok());
    ASSERT_TRUE((*idn)->Run(target.data(), raw.data(), mask.data(), nullptr).ok());
    IdnInput input;
    input.pixels = pixels.data(), input.stride = 3 * 64;
    IdnOutput output;
    output.raw = raw.data(), output.mask = mask.data();
    const int64_t before = g_allocations;
    bool ok = true;
    for (int i = 0; i < 3; ++i) {
      ok = ok && (*idn)->SetIdentity(i % 2 == 0 ? b : a).ok();
      ok = ok && (*idn)->Run(target.data(), raw.data(), mask.data(), nullptr).ok() && (*idn)->Run(input, output).ok();
    }
    const int64_t after = g_allocations;
    EXPECT_TRUE(ok);
    EXPECT_EQ(after, before) << threads << " threads";
  }
}
#endif

// Bytes in either order and with gaps between the rows, in and out, at every level.
TEST(Idn, BytesInAndOut) {
  constexpr int kSize = 64;
  constexpr ptrdiff_t kStride = 3 * kSize + 7, kMaskStride = kSize + 5;
  const IdnWeights w = RandomWeights(3);
  std::vector<uint8_t> pixels(kStride * kSize);
  std::mt19937 rng(4);
  for (uint8_t& v : pixels) v = static_cast<uint8_t>(rng());
  for (bool bgr : {false, true}) {
    IdnInput input;
    input.pixels = pixels.data(), input.stride = kStride, input.bgr = bgr;
    std::vector<uint8_t> want, want_mask;
    std::vector<std::string> levels = CpuLevels();
    levels.insert(levels.begin(), "");  // the reference
    for (const std::string& level : levels) {
      IdnOptions options;
      options.size = kSize;
      options.cpu = level;
      options.reference = level.empty();
      auto idn = Idn::Create(w, options);
      ASSERT_TRUE(idn.ok());
      std::vector<uint8_t> image(kStride * kSize, 77), mask(kMaskStride * kSize, 77);
      IdnOutput output;
      output.pixels = image.data(), output.stride = kStride, output.bgr = !bgr;
      output.mask_pixels = mask.data(), output.mask_stride = kMaskStride;
      ASSERT_TRUE((*idn)->Run(input, output).ok());
      if (want.empty()) {
        want = image, want_mask = mask;
        // The same as planes: the pixel in the middle of row 5.
        std::vector<float> target(3 * kSize * kSize), planes(target.size()), plane_mask(kSize * kSize);
        for (int y = 0; y < kSize; ++y) {
          for (int x = 0; x < kSize; ++x) {
            for (int c = 0; c < 3; ++c) target[(c * kSize + y) * kSize + x] = pixels[y * kStride + 3 * x + (bgr ? 2 - c : c)] / 255.0f;
          }
        }
        ASSERT_TRUE((*idn)->Run(target.data(), nullptr, plane_mask.data(), planes.data()).ok());
        for (int c = 0; c < 3; ++c) EXPECT_NEAR(image[5 * kStride + 3 * 32 + (bgr ? c : 2 - c)], 255 * planes[(c * kSize + 5) * kSize + 32], 0.51);
        continue;
      }
      int worst = 0, off = 0;
      for (size_t i = 0; i < image.size(); ++i) worst = std::max(worst, std::abs(image[i] - want[i])), off += image[i] != want[i];
      for (size_t i = 0; i < mask.size(); ++i) worst = std::max(worst, std::abs(mask[i] - want_mask[i])), off += mask[i] != want_mask[i];
      EXPECT_LE(worst, 1) << level;  // a value on the edge between two bytes
      EXPECT_LE(off, 20) << level;
    }
  }
}

// The largest crops: strips and rings at their limits (run under the sanitizers). Levels against each other; the reference would take a minute.
TEST(IdnFast, LargeCrops) {
  const IdnWeights w = RandomWeights(9);
  for (int size : {480, 1024}) {
    IdnOptions options;
    options.size = size;
    std::vector<float> target(3 * static_cast<size_t>(size) * size);
    std::mt19937 rng(3);
    for (float& v : target) v = std::uniform_real_distribution<float>(0, 1)(rng);
    const IdnResult first = RunIdn(Idn::Create(w, options)->get(), target);
    options.threads = 3;
    options.cpu = CpuLevels()[CpuLevels().size() > 1 ? 1 : 0];
    const IdnResult second = RunIdn(Idn::Create(w, options)->get(), target);
    EXPECT_LT(MaxDifference(first.image, second.image), 1e-4f) << size;
    EXPECT_LT(MaxDifference(first.mask, second.mask), 1e-4f) << size;
  }
}

TEST(Idn, StagesAreTimed) {
  auto idn = Idn::Create(RandomWeights(1), {});
  std::vector<float> target(3 * 224 * 224, 0.5f), mask(224 * 224);
  std::vector<IdnStage> stages;
  (*idn)->ProfileInto(&stages);
  ASSERT_TRUE((*idn)->Run(target.data(), nullptr, mask.data(), nullptr).ok());
  double mmac = 0;
  for (const IdnStage& s : stages) mmac += s.mmac;
  EXPECT_EQ(stages.size(), 13u);
  EXPECT_NEAR(mmac, 296.1, 0.5);  // docs/engine.md
}

TEST(Idn, BadInput) {
  IdnWeights w = RandomWeights(1);
  IdnOptions options;
  options.size = 100;
  EXPECT_FALSE(Idn::Create(w, options).ok());
  options.size = 64;
  options.threads = 0;
  EXPECT_FALSE(Idn::Create(w, options).ok());
  options.threads = 1;
  w.decoder[2].pointwise[5] = NAN;
  EXPECT_FALSE(Idn::Create(w, options).ok());
  w = RandomWeights(1);
  w.encoder[0].depthwise.pop_back();
  EXPECT_FALSE(Idn::Create(w, options).ok());
  auto idn = Idn::Create(RandomWeights(1), options);
  ASSERT_TRUE(idn.ok());
  EXPECT_FALSE((*idn)->Run(nullptr, nullptr, nullptr, nullptr).ok());
  std::vector<float> target(3 * 64 * 64), mask(64 * 64);
  std::vector<uint8_t> bytes(3 * 64 * 64);
  EXPECT_FALSE((*idn)->Run(target.data(), nullptr, nullptr, nullptr).ok());
  IdnInput input;
  IdnOutput output;
  output.mask = mask.data();
  input.pixels = bytes.data(), input.stride = 3 * 64 - 1;
  EXPECT_FALSE((*idn)->Run(input, output).ok());
  input.stride = -3 * 64;
  EXPECT_FALSE((*idn)->Run(input, output).ok());
  input.stride = 3 * 64, input.planes = target.data();
  EXPECT_FALSE((*idn)->Run(input, output).ok());
  input.planes = nullptr, output.pixels = bytes.data(), output.stride = 64;
  EXPECT_FALSE((*idn)->Run(input, output).ok());
  output.pixels = nullptr, output.mask_pixels = bytes.data(), output.mask_stride = 63;
  EXPECT_FALSE((*idn)->Run(input, output).ok());
  w = RandomWeights(1);
  w.encoder[3].bias.clear();  // not in identity files, but read by the plan
  EXPECT_FALSE((*idn)->SetIdentity(w).ok());
  w = RandomWeights(1);
  w.fusion_out.weight[3] = INFINITY;
  const Status s = (*idn)->SetIdentity(w);
  EXPECT_EQ(s.message(), "the identity's array fusion.out.weight holds NaN or infinity");
  EXPECT_TRUE((*idn)->SetIdentity(RandomWeights(1)).ok());
}

}  // namespace
}  // namespace mfs
