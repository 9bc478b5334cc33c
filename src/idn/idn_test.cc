// The reference against the golden case of the trained weights, and the fast path against the reference at every
// instruction set that this machine has.
#include "idn/idn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "oracle/ort_session.h"
#include "identity/iin.h"
#include "idn/cpu_level.h"
#include "idn/idn_onnx.h"
#include "weights/safetensors.h"

namespace mfs {
namespace {

IdnWeights RandomWeights(int seed) {
  IdnWeights w = EmptyIdnWeights();
  std::mt19937 rng(seed);
  for (IdnArray& a : ListIdnArrays(&w)) {
    // He-like scale so that nothing dies or explodes.
    size_t fan = 1;
    for (size_t i = 1; i < a.shape.size(); ++i) fan *= a.shape[i];
    std::normal_distribution<float> normal(0, a.shape.size() == 1 ? 0.1f : 1.4f / std::sqrt(static_cast<float>(fan)));
    for (float& v : *a.values) v = normal(rng);
  }
  return w;
}

struct Output {
  std::vector<float> raw, mask, image;
};

Output RunIdn(Idn* idn, const std::vector<float>& target) {
  Output o;
  o.raw.resize(target.size());
  o.image.resize(target.size());
  o.mask.resize(target.size() / 3);
  EXPECT_TRUE(idn->Run(target.data(), o.raw.data(), o.mask.data(), o.image.data()).ok());
  return o;
}

float MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::isfinite(a[i]) ? std::fabs(a[i] - b[i]) : INFINITY);
  return worst;
}

class Golden : public testing::Test {
 protected:
  void SetUp() override {
    auto g = SafetensorsFile::Open(MFS_SOURCE_DIR "/tests/golden/golden.safetensors");
    ASSERT_TRUE(g.ok()) << g.status().message();
    golden = std::move(g).value();
    // The golden case belongs to the first weights; later ones have their own tests.
    auto w = SafetensorsFile::Open(MFS_SOURCE_DIR "/tests/golden/bootstrap-slim-224.safetensors");
    ASSERT_TRUE(w.ok()) << w.status().message();
    auto n = InjectionNetwork::Create(*w);
    ASSERT_TRUE(n.ok()) << n.status().message();
    iin = std::move(n).value();
  }
  std::vector<float> Read(const char* name, std::vector<int64_t> shape) { return golden.ReadFloat(name, shape).value(); }
  SafetensorsFile golden;
  std::unique_ptr<InjectionNetwork> iin;
};

TEST_F(Golden, PredictedKernels) {
  const PredictedKernels k = iin->PredictKernels(Read("f", {512, 7, 7}).data());
  EXPECT_LT(MaxDifference(k.encoder[4], Read("kernels.encoder.4", {256, 4, 4})), 1e-4f);
  EXPECT_LT(MaxDifference(k.decoder[0], Read("kernels.decoder.0", {512, 3, 3})), 1e-4f);
}

TEST_F(Golden, ReferenceAndFastPath) {
  auto w = iin->Run(Read("z", {512}).data(), Read("f", {512, 7, 7}).data());
  ASSERT_TRUE(w.ok()) << w.status().message();
  const std::vector<float> target = Read("target", {3, 224, 224});
  for (bool reference : {true, false}) {
    IdnOptions options;
    options.reference = reference;
    auto idn = Idn::Create(*w, options);
    ASSERT_TRUE(idn.ok());
    const Output o = RunIdn(idn->get(), target);
    EXPECT_LT(MaxDifference(o.raw, Read("raw", {3, 224, 224})), 1e-4f) << (*idn)->name();
    EXPECT_LT(MaxDifference(o.mask, Read("mask", {1, 224, 224})), 1e-4f) << (*idn)->name();
    EXPECT_LT(MaxDifference(o.image, Read("image", {3, 224, 224})), 1e-4f) << (*idn)->name();
  }
}

TEST(IdnFast, MatchesTheReferenceAtEveryLevelSizeAndThreadCount) {
  for (int size : {32, 64, 96, 224}) {
    const IdnWeights w = RandomWeights(size);
    std::mt19937 rng(7);
    std::uniform_real_distribution<float> uniform(0, 1);
    std::vector<float> target(3 * size * size);
    for (float& v : target) v = uniform(rng);
    IdnOptions options;
    options.size = size;
    options.reference = true;
    const Output want = RunIdn(Idn::Create(w, options)->get(), target);
    options.reference = false;
    EXPECT_EQ(CpuLevels().back(), "scalar");
    for (const std::string& level : CpuLevels()) {
      options.cpu = level;
      Output first;
      for (int threads : {1, 2, 3}) {
        options.threads = threads;
        auto idn = Idn::Create(w, options);
        const Output got = RunIdn(idn->get(), target);
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

// Somebody else's engine on the same weights: the exported network computes the same.
TEST(Idn, OnnxExportMatchesInOnnxRuntime) {
  const IdnWeights w = RandomWeights(5);
  constexpr int kSize = 96;
  std::vector<float> target(3 * kSize * kSize);
  std::mt19937 rng(6);
  for (float& v : target) v = std::uniform_real_distribution<float>(0, 1)(rng);
  IdnOptions options;
  options.size = kSize;
  options.reference = true;
  const Output want = RunIdn(Idn::Create(w, options)->get(), target);
  auto session = OrtSession::Create(IdnToOnnx(w, kSize));
  ASSERT_TRUE(session.ok()) << session.status().message();
  std::vector<std::vector<float>> got;
  ASSERT_TRUE((*session)->Run(target.data(), {1, 3, kSize, kSize}, &got).ok());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_LT(MaxDifference(got[0], want.image), 1e-4f);
  EXPECT_LT(MaxDifference(got[1], want.mask), 1e-4f);
}

TEST(Idn, SwitchingTheIdentityLeavesNothingBehind) {
  const IdnWeights a = RandomWeights(1), b = RandomWeights(2);
  std::vector<float> target(3 * 64 * 64, 0.3f);
  IdnOptions options;
  options.size = 64;
  auto idn = Idn::Create(a, options);
  const Output first = RunIdn(idn->get(), target);
  ASSERT_TRUE((*idn)->SetIdentity(b).ok());
  EXPECT_NE(RunIdn(idn->get(), target).image, first.image);
  ASSERT_TRUE((*idn)->SetIdentity(a).ok());
  EXPECT_EQ(RunIdn(idn->get(), target).image, first.image);
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
}

}  // namespace
}  // namespace mfs
