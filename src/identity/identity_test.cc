#include "identity/identity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "base/file.h"
#include "weights/safetensors.h"

namespace mfs {
namespace {

Embedding RandomEmbedding(int seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  Embedding e;
  double squares = 0;
  for (float& v : e.z) v = normal(rng), squares += double{v} * v;
  for (float& v : e.z) v /= static_cast<float>(std::sqrt(squares));
  e.map.assign(512 * 49, static_cast<float>(seed));
  return e;
}

// The same person as `e`, a little different.
Embedding Near(const Embedding& e, int seed) {
  Embedding n = RandomEmbedding(seed);
  double squares = 0;
  for (int i = 0; i < 512; ++i) n.z[i] = e.z[i] + 0.5f * n.z[i], squares += double{n.z[i]} * n.z[i];
  for (float& v : n.z) v /= static_cast<float>(std::sqrt(squares));
  return n;
}

TEST(AverageEmbeddings, NamesAndLeavesOutTheOutlier) {
  const Embedding a = RandomEmbedding(1);
  std::vector<std::string> warnings;
  int used = 0;
  auto mean = AverageEmbeddings({{"a1.jpg", Near(a, 2)}, {"stranger.jpg", RandomEmbedding(9)}, {"a2.jpg", Near(a, 3)}}, &used, &warnings);
  ASSERT_TRUE(mean.ok());
  EXPECT_EQ(used, 2);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("stranger.jpg"), std::string::npos);
  EXPECT_FLOAT_EQ(mean->map[0], 2.5f);
  EXPECT_NEAR(CosineSimilarity(mean->z, mean->z), 1, 1e-5);
  warnings.clear();
  mean = AverageEmbeddings({{"first.jpg", a}, {"second.jpg", RandomEmbedding(9)}}, &used, &warnings);
  EXPECT_EQ(used, 1);
  EXPECT_NE(warnings.at(0).find("second.jpg"), std::string::npos);
  EXPECT_FALSE(AverageEmbeddings({}, &used, &warnings).ok());
}

class IdentityFile : public testing::Test {
 protected:
  void SetUp() override {
    identity.weights = EmptyIdnWeights(true);
    std::mt19937 rng(4);
    std::normal_distribution<float> normal(0, 0.3f);
    for (IdnArray& a : ListIdnArrays(&identity.weights)) {
      for (float& v : *a.values) v = normal(rng);
    }
    identity.z = RandomEmbedding(5).z;
    identity.sources = 3;
    identity.model_sha256 = std::string(64, 'a');
    identity.created_by = "test";
    // A name of its own: ctest runs the cases of this file side by side.
    path = testing::TempDir() + "identity_test." + testing::UnitTest::GetInstance()->current_test_info()->name() + ".safetensors";
  }
  void TearDown() override { RemoveFile(path); }
  // Saves with one thing changed and returns the loading error.
  Status LoadAfter(const std::function<void(SafetensorsWriter*)>& metadata, const char* replaced = "", std::vector<int64_t> shape = {}) {
    SafetensorsWriter w;
    w.SetMetadata("format", "mobilefaceswap-identity");
    w.SetMetadata("version", "1");
    metadata(&w);
    EXPECT_TRUE(w.Add("z", {512}, identity.z.data(), DType::kF32).ok());
    for (IdnArray& a : ListIdnArrays(&identity.weights)) {
      EXPECT_TRUE(w.Add(a.name, a.name == replaced ? shape : a.shape, a.values->data(), DType::kF16).ok());
    }
    EXPECT_TRUE(w.Save(path).ok());
    return LoadIdentity(path).status();
  }
  Identity identity;
  std::string path;
};

TEST_F(IdentityFile, RoundTripWithinHalfPrecisionAndSmall) {
  ASSERT_TRUE(SaveIdentity(identity, path).ok());
  EXPECT_LE(ReadFile(path)->size(), 1100000u);
  auto back = LoadIdentity(path);
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back->sources, 3);
  EXPECT_EQ(back->z, identity.z);
  const auto a = ListIdnArrays(&identity.weights), b = ListIdnArrays(&back->weights);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < a[i].values->size(); ++j) EXPECT_NEAR((*a[i].values)[j], (*b[i].values)[j], 1e-3f);
  }
}

TEST_F(IdentityFile, ValuesThatHalfPrecisionCannotHoldSurvive) {
  identity.weights.decoder[1].depthwise[7] = 1e6f;
  ASSERT_TRUE(SaveIdentity(identity, path).ok());
  EXPECT_EQ(LoadIdentity(path)->weights.decoder[1].depthwise[7], 1e6f);
}

TEST_F(IdentityFile, BadFilesGiveOneClearLine) {
  EXPECT_EQ(LoadAfter([](SafetensorsWriter* w) { w->SetMetadata("version", "9"); }).code(), StatusCode::kUnsupported);
  EXPECT_EQ(LoadAfter([](SafetensorsWriter* w) { w->SetMetadata("format", "something"); }).code(), StatusCode::kCorruptData);
  EXPECT_NE(LoadAfter([](SafetensorsWriter* w) { w->SetMetadata("format", "mobilefaceswap-model"); }).message().find("not an identity"), std::string::npos);
  EXPECT_EQ(LoadAfter([](SafetensorsWriter*) {}, "decoder.1.pointwise", {512, 128}).code(), StatusCode::kCorruptData);
  ASSERT_TRUE(SaveIdentity(identity, path).ok());
  const std::string bytes = *ReadFile(path);
  for (size_t keep : {size_t{0}, size_t{7}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    ASSERT_TRUE(WriteFileAtomically(path, bytes.data(), keep).ok());
    EXPECT_EQ(LoadIdentity(path).status().code(), StatusCode::kCorruptData) << keep;
  }
  std::string nan = bytes;
  // All bits set are NaN in half and in single precision.
  for (int i = 1; i <= 1024; ++i) nan[nan.size() - i] = static_cast<char>(0xff);
  ASSERT_TRUE(WriteFileAtomically(path, nan.data(), nan.size()).ok());
  EXPECT_NE(LoadIdentity(path).status().message().find("NaN"), std::string::npos);
  EXPECT_EQ(LoadIdentity(path + ".missing").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace mfs
