#include "compose/compose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace mfs {
namespace {

TEST(Compose, AlphaFadesAtTheBorderAndFollowsTheMask) {
  ImageF mask(64, 64, 1), alpha;
  std::fill(mask.vector().begin(), mask.vector().end(), 1.0f);
  ASSERT_TRUE(PasteAlpha(mask, {}, &alpha).ok());
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(alpha.row(0, 0)[i], 0);
    EXPECT_EQ(alpha.row(0, 63)[i], 0);
    EXPECT_EQ(alpha.row(0, i)[0], 0);
    EXPECT_EQ(alpha.row(0, i)[63], 0);
  }
  EXPECT_EQ(alpha.row(0, 32)[32], 1);
  ComposeOptions half;
  half.strength = 0.5f;
  ASSERT_TRUE(PasteAlpha(mask, half, &alpha).ok());
  EXPECT_FLOAT_EQ(alpha.row(0, 32)[32], 0.5f);
  half.strength = 1.5f;
  EXPECT_FALSE(PasteAlpha(mask, half, &alpha).ok());
}

TEST(Compose, StrengthZeroKeepsEveryBit) {
  std::vector<uint8_t> px(100 * 100 * 3);
  for (size_t i = 0; i < px.size(); ++i) px[i] = static_cast<uint8_t>(i * 7);
  const std::vector<uint8_t> before = px;
  FrameView v = Rgb8View(px.data(), 100, 100, 300);
  ImageF raw(64, 64, 3), mask(64, 64, 1);
  std::fill(mask.vector().begin(), mask.vector().end(), 1.0f);
  ComposeOptions none;
  none.strength = 0;
  ASSERT_TRUE(PasteFace(raw, mask, SquareCrop({50, 50}, 60, 10, 64), none, &v).ok());
  EXPECT_EQ(px, before);
  ASSERT_TRUE(PasteFace(raw, mask, SquareCrop({50, 50}, 60, 10, 64), {}, &v).ok());
  EXPECT_EQ(px[(50 * 100 + 50) * 3], 0);
  EXPECT_EQ(px[0], before[0]);
}

}  // namespace
}  // namespace mfs
