#include "glasses.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace mfs::train {
namespace {

// A face whose mesh has eyes and mouth only. turn: radians about the vertical axis; above 0 the face's left side goes back.
std::unique_ptr<FaceRecord> TurnedFace(float turn) {
  auto face = std::make_unique<FaceRecord>();
  *face = {};
  std::fill(std::begin(face->crop), std::end(face->crop), uint8_t{180});
  const auto put = [&](const auto& points, float x, float y) {
    for (int i : points) face->mesh[3 * i] = 112 + x * std::cos(turn), face->mesh[3 * i + 1] = y, face->mesh[3 * i + 2] = x * std::sin(turn);
  };
  put(kMeshRightEye, -35, 104), put(kMeshLeftEye, 35, 104), put(kMeshInnerLips, 0, 180);
  return face;
}

TEST(Glasses, SitBeforeTheEyesAndTurnWithTheFace) {
  const GlassesPlane ahead = PlaneOfGlasses(*TurnedFace(0)), aside = PlaneOfGlasses(*TurnedFace(0.7f));
  EXPECT_NEAR(ahead.middle.x, 112, 1e-3);
  EXPECT_NEAR(ahead.middle.y, 104, 1e-3);
  EXPECT_NEAR(ahead.x.x, 70, 1e-2);
  EXPECT_NEAR(ahead.y.y, 70, 1e-2);
  EXPECT_NEAR(std::hypot(ahead.backward.x, ahead.backward.y), 0, 1e-2);
  EXPECT_NEAR(aside.x.x, 70 * std::cos(0.7f), 1e-2);
  EXPECT_NEAR(aside.y.y, 70, 1e-2);
  // The face looks to the side that comes forward, so the ears are on the other one.
  EXPECT_NEAR(aside.backward.x, -70 * std::sin(0.7f), 1e-2);
  EXPECT_GT(aside.middle.x, 112);
}

TEST(Glasses, AreAProperLayerWithLensesOverBothEyes) {
  const auto face = TurnedFace(0);
  FaceInfo info;
  info.luma = 0.7f, info.scale = 1, info.sharpness = 100;
  std::mt19937_64 rng(3);
  int dark = 0, clear = 0;
  for (int i = 0; i < 60; ++i) {
    GlassesLayer g;
    DrawGlasses(*face, info, &rng, &g);
    double covered = 0;
    for (int p = 0; p < kCropSize * kCropSize; ++p) {
      ASSERT_TRUE(g.alpha[p] >= 0 && g.alpha[p] <= 1.0001f && g.inside[p] >= 0 && g.inside[p] <= 1 && g.frame[p] >= 0 && g.frame[p] <= g.alpha[p] + 1e-3f);
      for (int k = 0; k < 3; ++k) ASSERT_TRUE(g.colour[3 * p + k] >= 0 && g.colour[3 * p + k] <= g.alpha[p] + 1e-3f);
      covered += g.inside[p];
    }
    EXPECT_GT(covered, 1500);
    EXPECT_LT(covered, 14000);
    for (int x : {77, 147}) EXPECT_GT(g.inside[104 * kCropSize + x], 0.5f) << i;
    EXPECT_LT(g.inside[190 * kCropSize + 112], 0.5f);
    const float over_eye = g.alpha[104 * kCropSize + 77];
    dark += over_eye > 0.6f, clear += over_eye < 0.2f;
  }
  EXPECT_GT(clear, dark);
  EXPECT_GT(dark, 0);
  GlassesLayer a, b;
  std::mt19937_64 one(9), two(9);
  DrawGlasses(*face, info, &one, &a);
  DrawGlasses(*face, info, &two, &b);
  EXPECT_EQ(a.colour, b.colour);
  EXPECT_EQ(a.alpha, b.alpha);
}

TEST(Glasses, TheTeachersPictureGetsTheSamePair) {
  const auto face = TurnedFace(0);
  FaceInfo info;
  info.luma = 0.7f, info.scale = 1, info.sharpness = 100;
  std::mt19937_64 rng(5);
  GlassesLayer g;
  DrawGlasses(*face, info, &rng, &g);
  constexpr int n = kCropSize * kCropSize;
  TeacherPicture picture;
  picture.image.assign(3 * n, 180 / 255.0f);
  picture.alpha.assign(n, 0.8f), picture.open.assign(n, 0.2f), picture.background.assign(n, 0.0f), picture.occluder.assign(n, 0.0f), picture.frame.assign(n, 0.0f);
  PutOn(g, face.get());
  PutOn(g, &picture);
  for (int p = 0; p < n; ++p) {
    for (int k = 0; k < 3; ++k) ASSERT_NEAR(picture.image[3 * p + k], face->crop[3 * p + k] / 255.0f, 0.003f);
    ASSERT_NEAR(picture.alpha[p], 0.8f * (1 - g.alpha[p]), 1e-5);
    ASSERT_NEAR(picture.open[p], 1 - picture.alpha[p], 1e-5);
    ASSERT_EQ(picture.frame[p], g.frame[p]);
    ASSERT_EQ(picture.occluder[p], g.alpha[p] > 0.7f && g.frame[p] < 0.1f ? 1 : 0);
  }
}

}  // namespace
}  // namespace mfs::train
