// The reference and the fast path against the golden case of the trained weights and against ONNX Runtime.
#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "identity/identity.h"
#include "identity/iin.h"
#include "idn/idn_onnx.h"
#include "idn/idn_testing.h"
#include "oracle/ort_session.h"
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
  constexpr int kSize = 96;
  std::vector<float> target(3 * kSize * kSize);
  std::mt19937 rng(6);
  for (float& v : target) v = std::uniform_real_distribution<float>(0, 1)(rng);
  IdnOptions options;
  options.size = kSize;
  options.reference = true;
  for (const bool detail : {false, true}) {
    const IdnWeights w = RandomWeights(5, detail);
    const IdnResult want = RunIdn(Idn::Create(w, options)->get(), target);
    for (const bool plain : {false, true}) {
      auto session = OrtSession::Create(IdnToOnnx(w, kSize, plain));
      ASSERT_TRUE(session.ok()) << session.status().message();
      std::vector<std::vector<float>> got;
      ASSERT_TRUE((*session)->Run(target.data(), {1, 3, kSize, kSize}, &got).ok());
      ASSERT_EQ(got.size(), 2u);
      EXPECT_LT(MaxDifference(got[0], want.image), 1e-4f);
      EXPECT_LT(MaxDifference(got[1], want.mask), 1e-4f);
    }
  }
}

// Whatever is damaged in an identity file: a status, or a network that runs.
TEST(Idn, DamagedIdentityFilesNeverCrashThePlan) {
  Identity identity;
  identity.weights = RandomWeights(8);
  identity.sources = 1;
  identity.model_sha256 = std::string(64, 'b');
  identity.created_by = "test";
  identity.z[0] = 1;
  const std::string path = testing::TempDir() + "damaged_identity.safetensors";
  ASSERT_TRUE(SaveIdentity(identity, path).ok());
  const std::string whole = *ReadFile(path);
  IdnOptions options;
  options.size = 32;
  auto idn = Idn::Create(identity.weights, options);
  std::vector<float> target(3 * 32 * 32, 0.5f), mask(32 * 32);
  std::mt19937 rng(11);
  const size_t header = 8 + static_cast<unsigned char>(whole[0]) + 256u * static_cast<unsigned char>(whole[1]);
  int refused = 0;
  for (int i = 0; i < 120; ++i) {
    std::string bytes = whole;
    switch (i % 4) {
      case 0:  // digits of shapes and offsets, letters of names
        for (int k = 0; k < 3; ++k) bytes[8 + rng() % (header - 8)] = "0123456789[]{},:\"-"[rng() % 18];
        break;
      case 1:  // the header's length
        bytes[rng() % 8] = static_cast<char>(rng());
        break;
      case 2:  // NaN, infinity, huge values
        for (int k = 0; k < 8; ++k) bytes[header + rng() % (bytes.size() - header)] = static_cast<char>(0x7c + rng() % 4);
        break;
      default:  // too short, too long
        bytes.resize(rng() % (2 * bytes.size()), '\x7f');
    }
    ASSERT_TRUE(WriteFileAtomically(path, bytes.data(), bytes.size()).ok());
    const auto loaded = LoadIdentity(path);
    if (!loaded.ok()) {
      EXPECT_FALSE(loaded.status().message().empty());
      ++refused;
      continue;
    }
    EXPECT_TRUE((*idn)->SetIdentity(loaded->weights).ok());
    EXPECT_TRUE((*idn)->Run(target.data(), nullptr, mask.data(), nullptr).ok());
  }
  EXPECT_GT(refused, 60);
  RemoveFile(path);
}

}  // namespace
}  // namespace mfs
