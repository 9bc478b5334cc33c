// Safetensors files from strangers, and the model store's checks.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/file.h"
#include "base/sha256.h"
#include "weights/float16.h"
#include "weights/model_store.h"
#include "weights/safetensors.h"

namespace mfs {
namespace {

TEST(Float16, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = HalfToFloat(static_cast<uint16_t>(h));
    if (std::isnan(f)) {
      EXPECT_NE(FloatToHalf(f) & 0x3ff, 0);
    } else {
      EXPECT_EQ(FloatToHalf(f), h);
    }
  }
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(1 + 1.0f / 2048), 0x3c00) << "ties go to even";
  EXPECT_EQ(FloatToHalf(1 + 3.0f / 2048), 0x3c02);
}

std::string File(const std::string& header, size_t body) {
  std::string s;
  for (int i = 0; i < 8; ++i) s += static_cast<char>(header.size() >> (8 * i) & 255);
  return s + header + std::string(body, '\0');
}

TEST(Safetensors, RoundTrip) {
  SafetensorsWriter w;
  w.SetMetadata("k", "v\"\n");
  const float a[6] = {1, 2.5f, -3, 0, 1e-7f, 60000};
  ASSERT_TRUE(w.Add("a", {2, 3}, a, DType::kF32).ok());
  ASSERT_TRUE(w.Add("b", {6}, a, DType::kF16).ok());
  EXPECT_FALSE(w.Add("a", {2, 3}, a, DType::kF32).ok()) << "name twice";
  const float large = 1e6f, nan = NAN;
  EXPECT_FALSE(w.Add("c", {1}, &large, DType::kF16).ok());
  EXPECT_FALSE(w.Add("c", {1}, &nan, DType::kF32).ok());
  auto f = SafetensorsFile::FromBuffer(w.Serialize());
  ASSERT_TRUE(f.ok()) << f.status().message();
  EXPECT_EQ(f->Metadata("k"), "v\"\n");
  EXPECT_EQ(f->ReadFloat("a", {2, 3}).value(), std::vector<float>(a, a + 6));
  EXPECT_EQ(f->ReadFloat("a", {-1, 3}).value().size(), 6u);
  EXPECT_NEAR(f->ReadFloat("b", {6}).value()[1], 2.5f, 1e-6);
  EXPECT_FALSE(f->ReadFloat("a", {3, 2}).ok());
  EXPECT_FALSE(f->ReadFloat("missing", {1}).ok());
}

TEST(Safetensors, HostileHeadersAreRefused) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_TRUE(SafetensorsFile::FromBuffer(File(good, 8)).ok());
  const struct {
    const char* what;
    std::string bytes;
  } kCases[] = {
      {"empty", ""},
      {"only a length", std::string(8, '\xff')},
      {"header longer than the file", File(good, 8).substr(0, 30)},
      {"body cut", File(good, 7)},
      {"bytes left over", File(good, 9)},
      {"no object", File("[1,2,3,4]", 0)},
      {"no JSON", File("{\"a\":", 0)},
      {"huge length", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + good},
      {"deep nesting", File("{\"a\":" + std::string(5000, '[') + std::string(5000, ']') + "}", 0)},
      {"key twice", File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)},
      {"overlap", File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)},
      {"hole", File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8)},
      {"offsets reversed", File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4)},
      {"outside", File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}})", 4)},
      {"size and shape differ", File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4)},
      {"product overflows", File(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0)},
      {"negative length", File(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4)},
      {"float length", File(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4)},
      {"unknown dtype", File(R"({"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8)},
      {"missing field", File(R"({"a":{"dtype":"F32","shape":[1]}})", 0)},
      {"metadata no strings", File(R"({"__metadata__":{"a":1}})", 0)},
  };
  for (const auto& c : kCases) {
    auto f = SafetensorsFile::FromBuffer(c.bytes);
    EXPECT_FALSE(f.ok()) << c.what;
    EXPECT_EQ(f.status().message().find('\n'), std::string::npos) << c.what;
  }
}

TEST(Safetensors, RandomDamageNeverCrashes) {
  SafetensorsWriter w;
  const std::vector<float> values(64, 0.5f);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(w.Add(name, {8, 8}, values.data(), DType::kF16).ok());
  const std::string good = w.Serialize();
  std::mt19937 rng(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bad = good;
    for (int k = 0; k < 1 + i % 4; ++k) bad[rng() % bad.size()] = static_cast<char>(rng());
    if (i % 3 == 0) bad.resize(rng() % bad.size());
    auto f = SafetensorsFile::FromBuffer(bad);
    if (!f.ok()) continue;
    for (const TensorView& t : f->tensors()) (void)f->ReadFloat(t.name, t.shape);
  }
}

TEST(ModelStore, FindsTamperingAndMissingFiles) {
  const std::string dir = testing::TempDir() + "mfs_store_test";
  mkdir(dir.c_str(), 0755);
  mkdir((dir + "/cache").c_str(), 0755);
  mkdir((dir + "/cache/models").c_str(), 0755);
  const std::string sha = Sha256Hex("abc", 3), tab = "\t";
  const auto write = [&](const std::string& name, const std::string& text) { ASSERT_TRUE(WriteFileAtomically(dir + "/" + name, text.data(), text.size()).ok()); };
  write("manifest.tsv", "# own\nown.bin" + tab + sha + tab + "trained" + tab + "free" + tab + "test\n");
  write("third_party.tsv", "models\tthere.bin\tp@1\t" + sha + "\tx\t-\t" + sha + "\tMIT\ttest\nmodels\tgone.bin\tp@1\t" + sha + "\tx\t-\t" + sha + "\tMIT\ttest\n");
  write("own.bin", "abc");
  write("cache/models/there.bin", "abd");
  auto store = ModelStore::Open({dir, dir + "/cache"});
  ASSERT_TRUE(store.ok()) << store.status().message();
  EXPECT_EQ(store->Load("own.bin").value(), "abc");
  EXPECT_EQ(store->Load("there.bin").status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(store->Load("gone.bin").status().code(), StatusCode::kNotFound);
  EXPECT_NE(store->Load("gone.bin").status().message().find("mfs models fetch"), std::string::npos);
  EXPECT_EQ(store->Load("unheard-of").status().code(), StatusCode::kNotFound);
  write("manifest.tsv", "own.bin\tshort\n");
  EXPECT_EQ(ModelStore::Open({dir, dir + "/cache"}).status().code(), StatusCode::kCorruptData);
  EXPECT_EQ(ModelStore::Open({dir + "/nowhere", ""}).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace mfs
