// The reference and the fast path against the golden case of the trained weights and against ONNX Runtime.
#include <gtest/gtest.h>

#include <random>

#include "oracle/ort_session.h"
#include "identity/iin.h"
#include "idn/idn_onnx.h"
#include "idn/idn_testing.h"
#include "weights/safetensors.h"

namespace mfs {
namespace {

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
    const IdnResult o = RunIdn(idn->get(), target);
    EXPECT_LT(MaxDifference(o.raw, Read("raw", {3, 224, 224})), 1e-4f) << (*idn)->name();
    EXPECT_LT(MaxDifference(o.mask, Read("mask", {1, 224, 224})), 1e-4f) << (*idn)->name();
    EXPECT_LT(MaxDifference(o.image, Read("image", {3, 224, 224})), 1e-4f) << (*idn)->name();
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
  const IdnResult want = RunIdn(Idn::Create(w, options)->get(), target);
  auto session = OrtSession::Create(IdnToOnnx(w, kSize));
  ASSERT_TRUE(session.ok()) << session.status().message();
  std::vector<std::vector<float>> got;
  ASSERT_TRUE((*session)->Run(target.data(), {1, 3, kSize, kSize}, &got).ok());
  ASSERT_EQ(got.size(), 2u);
  EXPECT_LT(MaxDifference(got[0], want.image), 1e-4f);
  EXPECT_LT(MaxDifference(got[1], want.mask), 1e-4f);
}

}  // namespace
}  // namespace mfs
