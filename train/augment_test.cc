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

TEST(Augment, PixelsMeshAndLandmarksMoveTogether) {
  std::mt19937_64 rng(3);
  for (int i = 0; i < 20; ++i) {
    const auto face = Spot(150, 70);
    std::vector<float> visible(kCropSize * kCropSize);
    for (int p = 0; p < kCropSize * kCropSize; ++p) visible[p] = face->crop[3 * p] / 255.0f;
    MoveFace(face.get(), &visible, &rng);
    double sx = 0, sy = 0, sum = 0;
    for (int p = 0; p < kCropSize * kCropSize; ++p) {
      ASSERT_NEAR(visible[p], face->crop[3 * p] / 255.0f, 0.15);  // bilinear and Catmull-Rom
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
  std::vector<float> visible(kCropSize * kCropSize);
  for (int p = 0; p < kCropSize * kCropSize; ++p) visible[p] = face->crop[3 * p] / 255.0f;
  MirrorFace(face.get(), &visible);
  for (int p = 0; p < kCropSize * kCropSize; ++p) {
    const int y = p / kCropSize, x = p % kCropSize, other = y * kCropSize + kCropSize - 1 - x;
    for (int c = 0; c < 3; ++c) ASSERT_EQ(face->crop[3 * p + c], before->crop[3 * other + c]);
    ASSERT_EQ(visible[p], before->crop[3 * other] / 255.0f);
  }
  // The right eye's outer corner is where the left one's was, mirrored; the nose's tip is its own other side.
  EXPECT_FLOAT_EQ(face->mesh[3 * 33], kCropSize - 1 - before->mesh[3 * 263]);
  EXPECT_FLOAT_EQ(face->mesh[3 * 1], kCropSize - 1 - before->mesh[3 * 1]);
  EXPECT_FLOAT_EQ(face->landmarks[2 * 36], kCropSize - 1 - before->landmarks[2 * 45]);
  MirrorFace(face.get(), &visible);
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

TEST(Augment, RelightingKeepsBlackAndOrder) {
  std::mt19937_64 rng(7);
  const auto face = Spot(100, 100);
  RelightFace(face.get(), &rng);
  EXPECT_EQ(face->crop[0], 0);
  EXPECT_GT(face->crop[3 * (100 * kCropSize + 100)], 200);
}

}  // namespace
}  // namespace mfs::train
