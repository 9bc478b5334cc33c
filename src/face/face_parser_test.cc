#include "face/face_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace mfs {
namespace {

// Random weights of the right shapes; the logit of `part` is raised by its bias everywhere.
SafetensorsWriter RandomWeights(FacePart part, float raised) {
  std::mt19937 rng(7);
  SafetensorsWriter w;
  w.SetMetadata("format", "mobilefaceswap-parser");
  w.SetMetadata("version", "1");
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, float scale) {
    std::vector<float> v(std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>()));
    std::normal_distribution<float> normal(0, scale);
    for (float& x : v) x = normal(rng);
    if (name == "head.bias") v[static_cast<int>(part)] = raised;
    EXPECT_TRUE(w.Add(name, shape, v.data(), shape.size() > 1 ? DType::kF16 : DType::kF32).ok());
  };
  const auto conv = [&](const std::string& name, std::vector<int64_t> shape) {
    const int64_t out = shape[0], fan = std::accumulate(shape.begin() + 1, shape.end(), int64_t{1}, std::multiplies<int64_t>());
    add(name + ".weight", std::move(shape), std::sqrt(2.0f / fan));
    add(name + ".bias", {out}, 0.1f);
  };
  const auto block = [&](const std::string& name, int in, int out) {
    add(name + ".depthwise.weight", {in, 3, 3}, 0.3f);
    conv(name + ".pointwise", {out, in});
  };
  conv("stem", {kParserStem, 3, 3, 3});
  for (size_t i = 0; i < kParserEncoder.size(); ++i) block("encoder." + std::to_string(i), kParserEncoder[i].in, kParserEncoder[i].out);
  for (size_t i = 0; i < kParserDecoder.size(); ++i) {
    const auto& s = kParserDecoder[i];
    const std::string name = "decoder." + std::to_string(i);
    conv(name + ".narrow", {s.out, s.in});
    for (int r = 0; r <= s.refine; ++r) block(name + ".block." + std::to_string(r), r == 0 ? 2 * s.out : s.out, s.out);
  }
  conv("head", {kParserLogits, kParserStem});
  return w;
}

ImageF RandomCrop() {
  ImageF crop(kParserInput, kParserInput, 3);
  std::mt19937 rng(3);
  std::uniform_real_distribution<float> uniform;
  for (float& v : crop.vector()) v = uniform(rng);
  return crop;
}

TEST(FaceParser, GivesProbabilities) {
  auto file = SafetensorsFile::FromBuffer(RandomWeights(FacePart::kNose, 0).Serialize());
  ASSERT_TRUE(file.ok());
  auto parser = FaceParser::Create(*file);
  ASSERT_TRUE(parser.ok()) << parser.status().message();
  ImageF p, again;
  const ImageF crop = RandomCrop();
  ASSERT_TRUE((*parser)->Run(crop.data(), &p).ok());
  ASSERT_EQ(p.channels(), kFaceParts);
  ASSERT_EQ(p.width(), kParserOutput);
  for (size_t i = 0; i < p.plane_size(); i += 97) {
    float sum = 0;
    for (int k = 0; k < kFaceParts; ++k) {
      EXPECT_GE(p.plane(k)[i], 0);
      sum += p.plane(k)[i];
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  ASSERT_TRUE((*parser)->Run(crop.data(), &again).ok());
  EXPECT_EQ(p.vector(), again.vector());
}

TEST(FaceParser, VisibleIsFaceWithoutWhatLiesInFront) {
  const ImageF crop = RandomCrop();
  for (const auto& [part, plain, with_glasses] : {std::tuple<FacePart, float, float>{FacePart::kSkin, 1, 1}, {FacePart::kHair, 0, 0}, {FacePart::kOccluder, 0, 0}, {FacePart::kGlasses, 0, 1}}) {
    auto file = SafetensorsFile::FromBuffer(RandomWeights(part, 1000).Serialize());
    ASSERT_TRUE(file.ok());
    auto parser = FaceParser::Create(*file);
    ASSERT_TRUE(parser.ok()) << parser.status().message();
    ImageF p, visible;
    ASSERT_TRUE((*parser)->Run(crop.data(), &p).ok());
    for (int size : {112, 224, 96}) {
      VisibleFace(p, {}, size, &visible);
      ASSERT_EQ(visible.width(), size);
      EXPECT_NEAR(visible.data()[size * size / 2], plain, 1e-3) << kFacePartNames[static_cast<int>(part)];
      VisibleFace(p, {1}, size, &visible);
      EXPECT_NEAR(visible.data()[size * size / 2], with_glasses, 1e-3) << kFacePartNames[static_cast<int>(part)];
    }
  }
}

TEST(FaceParser, VisibleKeepsItsPlaceWhenItGrows) {
  ImageF p(kParserOutput, kParserOutput, kFaceParts), visible;
  std::fill(p.vector().begin(), p.vector().end(), 0.0f);
  for (int y = 0; y < kParserOutput; ++y) {
    for (int x = 0; x < kParserOutput; ++x) p.row(x < 56 ? static_cast<int>(FacePart::kSkin) : 0, y)[x] = 1;
  }
  VisibleFace(p, {}, 224, &visible);
  EXPECT_EQ(visible.row(0, 100)[110], 1);
  EXPECT_NEAR(visible.row(0, 100)[111], 0.75f, 1e-6);  // the edge lies between pixels 111 and 112
  EXPECT_NEAR(visible.row(0, 100)[112], 0.25f, 1e-6);
  EXPECT_EQ(visible.row(0, 100)[113], 0);
}

TEST(FaceParser, RefusesOtherFiles) {
  SafetensorsWriter w;
  auto none = SafetensorsFile::FromBuffer(w.Serialize());
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(FaceParser::Create(*none).status().code(), StatusCode::kCorruptData);
  w.SetMetadata("format", "mobilefaceswap-parser");
  w.SetMetadata("version", "2");
  auto other = SafetensorsFile::FromBuffer(w.Serialize());
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(FaceParser::Create(*other).status().code(), StatusCode::kUnsupported);
  w.SetMetadata("version", "1");
  auto cut = SafetensorsFile::FromBuffer(w.Serialize());
  ASSERT_TRUE(cut.ok());
  EXPECT_FALSE(FaceParser::Create(*cut).ok());
  EXPECT_FALSE(FaceParser::Create(*cut, {"", 0}).ok());
}

}  // namespace
}  // namespace mfs
