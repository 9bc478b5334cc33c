#include "augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

namespace mfs::train {
namespace {

// A white spot on black under one mesh point and one landmark.
std::unique_ptr<FaceRecord> Spot(int x, int y) {
  auto r = std::make_unique<FaceRecord>();
  *r = {};
  for (int dy = -3; dy <= 3; ++dy) {
    for (int dx = -3; dx <= 3; ++dx) std::fill_n(&r->crop[3 * ((y + dy) * kCropSize + x + dx)], 3, uint8_t{255});
  }
  r->mesh[3 * 7] = r->landmarks[2 * 5] = static_cast<float>(x);
  r->mesh[3 * 7 + 1] = r->landmarks[2 * 5 + 1] = static_cast<float>(y);
  return r;
}

// Visible where the crop is white, glasses where it is black.
FaceLabels LabelsOf(const FaceRecord& face) {
  FaceLabels labels;
  for (int p = 0; p < kCropSize * kCropSize; ++p) labels.visible.push_back(face.crop[3 * p] / 255.0f), labels.glasses.push_back(1 - face.crop[3 * p] / 255.0f);
  return labels;
}

TEST(Augment, PixelsMeshAndLandmarksMoveTogether) {
  std::mt19937_64 rng(3);
  for (int i = 0; i < 20; ++i) {
    const auto face = Spot(150, 70);
    FaceLabels labels = LabelsOf(*face);
    MoveFace(face.get(), &labels, &rng);
    double sx = 0, sy = 0, sum = 0;
    for (int p = 0; p < kCropSize * kCropSize; ++p) {
      ASSERT_NEAR(labels.visible[p], face->crop[3 * p] / 255.0f, 0.15);  // bilinear and Catmull-Rom
      ASSERT_NEAR(labels.glasses[p], 1 - labels.visible[p], 1e-5);
      const double v = face->crop[3 * p];
      sx += v * (p % kCropSize), sy += v * (p / kCropSize), sum += v;
    }
    EXPECT_NEAR(sx / sum, face->mesh[3 * 7], 0.2);
    EXPECT_NEAR(sy / sum, face->mesh[3 * 7 + 1], 0.2);
    EXPECT_NEAR(face->landmarks[2 * 5], face->mesh[3 * 7], 1e-3);
    EXPECT_LE(std::hypot(face->mesh[3 * 7] - 150, face->mesh[3 * 7 + 1] - 70), 16);
  }
}

TEST(Augment, TheMirroredFaceIsTheSameFaceMirrored) {
  const auto face = Spot(150, 70);
  for (int i = 0; i < kMeshPoints; ++i) face->mesh[3 * i] = 0.3f * static_cast<float>(i), face->mesh[3 * i + 1] = static_cast<float>(i % 100), face->mesh[3 * i + 2] = 1;
  const auto before = std::make_unique<FaceRecord>(*face);
  FaceLabels labels = LabelsOf(*face);
  MirrorFace(face.get(), &labels);
  for (int p = 0; p < kCropSize * kCropSize; ++p) {
    const int y = p / kCropSize, x = p % kCropSize, other = y * kCropSize + kCropSize - 1 - x;
    for (int c = 0; c < 3; ++c) ASSERT_EQ(face->crop[3 * p + c], before->crop[3 * other + c]);
    ASSERT_EQ(labels.visible[p], before->crop[3 * other] / 255.0f);
    ASSERT_EQ(labels.glasses[p], 1 - labels.visible[p]);
  }
  // The right eye's outer corner is where the left one's was, mirrored; the nose's tip is its own other side.
  EXPECT_FLOAT_EQ(face->mesh[3 * 33], kCropSize - 1 - before->mesh[3 * 263]);
  EXPECT_FLOAT_EQ(face->mesh[3 * 1], kCropSize - 1 - before->mesh[3 * 1]);
  EXPECT_FLOAT_EQ(face->landmarks[2 * 36], kCropSize - 1 - before->landmarks[2 * 45]);
  MirrorFace(face.get(), &labels);
  EXPECT_EQ(std::memcmp(face->crop, before->crop, sizeof face->crop), 0);
  for (int i = 0; i < 3 * kMeshPoints; ++i) ASSERT_NEAR(face->mesh[i], before->mesh[i], 1e-3);
  for (int i = 0; i < 136; ++i) ASSERT_NEAR(face->landmarks[i], before->landmarks[i], 1e-3);
}

TEST(Augment, DegradedSourceKeepsMeanAndPlace) {
  std::mt19937_64 rng(5);
  const auto face = Spot(111, 111);
  std::vector<float> out(112 * 112 * 3);
  for (int i = 0; i < 10; ++i) {
    DegradeSource(*face, &rng, out.data());
    const auto [least, most] = std::minmax_element(out.begin(), out.end());
    EXPECT_GE(*least, 0);
    EXPECT_LE(*most, 1);
    double sx = 0, sum = 0;
    for (int p = 0; p < 112 * 112; ++p) {
      const double v = out[3 * p] > 0.2f ? out[3 * p] : 0;
      sx += v * (p % 112), sum += v;
    }
    ASSERT_GT(sum, 0);
    EXPECT_NEAR(sx / sum, 55.5, 3);
  }
}

TEST(Augment, TheTargetsLightIsItsMeanColour) {
  auto source = std::make_unique<FaceRecord>(), target = std::make_unique<FaceRecord>();
  for (int i = 0; i < 3 * kCropSize * kCropSize; ++i) source->crop[i] = static_cast<uint8_t>(60 + 20 * (i % 3)), target->crop[i] = static_cast<uint8_t>(190 - 30 * (i % 3));
  std::fill_n(source->crop, 3, uint8_t{255});
  std::vector<float> out(112 * 112 * 3);
  EXPECT_FALSE(LightSource(*source, *source, 0.05f, out.data()));
  ASSERT_TRUE(LightSource(*source, *target, 0.1f, out.data()));
  const int middle = 3 * (75 * 112 + 56);
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(out[middle + c], (190 - 30 * c) / 255.0f, 0.03) << c;
  for (float v : out) ASSERT_TRUE(v >= 0 && v <= 1);
  // As bright, of another hue.
  auto grey = std::make_unique<FaceRecord>(*source);
  TakeColours(grey.get());
  for (int i = 0; i < 3 * kCropSize * kCropSize; i += 3) ASSERT_TRUE(grey->crop[i] == grey->crop[i + 1] && grey->crop[i] == grey->crop[i + 2]);
  ASSERT_TRUE(LightSource(*source, *grey, 0.05f, out.data()));
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(out[middle + c], grey->crop[3] / 255.0f, 0.03) << c;
  HalveSource(*source, out.data());
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(out[middle + c], (60 + 20 * c) / 255.0f, 1e-5) << c;
}

TEST(Augment, RelightingKeepsBlackAndOrder) {
  std::mt19937_64 rng(7);
  const auto face = Spot(100, 100);
  RelightFace(face.get(), &rng);
  EXPECT_EQ(face->crop[0], 0);
  EXPECT_GT(face->crop[3 * (100 * kCropSize + 100)], 200);
}

TEST(Augment, LightFromTwoSidesDiffersAcrossTheFaceAndHasNoSteps) {
  std::mt19937_64 rng(11);
  double least = 1e9, most = 0;
  for (int i = 0; i < 50; ++i) {
    auto face = std::make_unique<FaceRecord>();
    std::fill_n(face->crop, 3 * kCropSize * kCropSize, uint8_t{160});
    LightFromTwoSides(face.get(), &rng);
    for (int y = 0; y < kCropSize; ++y) {
      for (int k = 3; k < 3 * kCropSize; ++k) {
        const uint8_t* p = face->crop + 3 * y * kCropSize + k;
        ASSERT_LE(std::abs(p[0] - p[-3]), 12);
      }
    }
    const auto mean = [&](int x0, int y0) {
      double sum = 0;
      for (int y = y0; y < y0 + 40; ++y) {
        for (int x = x0; x < x0 + 40; ++x) sum += face->crop[3 * (y * kCropSize + x)] / 1600.0;
      }
      return sum;
    };
    for (const auto& [a, b] : {std::pair(mean(0, 92), mean(184, 92)), std::pair(mean(92, 0), mean(92, 184))}) least = std::min(least, a / b), most = std::max(most, a / b);
  }
  EXPECT_LT(least, 0.5);
  EXPECT_GT(most, 2);
}

}  // namespace
}  // namespace mfs::train
