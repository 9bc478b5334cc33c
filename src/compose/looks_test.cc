// Colour, light, sharpness, grain, mouth and feather, on made-up crops with known statistics.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compose/compose.h"

namespace mfs {
namespace {

constexpr int kSide = 96;

ImageF Constant(float value, int channels = 1, int side = kSide) {
  ImageF i(side, side, channels);
  std::fill(i.vector().begin(), i.vector().end(), value);
  return i;
}

// Skin of a mean colour with smooth shading and noise.
ImageF Skin(const std::array<float, 3>& mean, float shading, float noise, unsigned seed, float slope_x = 0) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, 1);
  ImageF i(kSide, kSide, 3);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const float shade = shading * std::sin(x * 0.2f) * std::cos(y * 0.15f), grain = noise * normal(rng);
      for (int c = 0; c < 3; ++c) i.row(c, y)[x] = mean[c] * (1 + shade + slope_x * (static_cast<float>(x) / kSide - 0.5f)) + grain;
    }
  }
  return i;
}

double Mean(const ImageF& i, int c, int x0 = 0, int x1 = kSide) {
  double sum = 0;
  for (int y = 0; y < i.height(); ++y) {
    for (int x = x0; x < x1; ++x) sum += i.row(c, y)[x];
  }
  return sum / (i.height() * (x1 - x0));
}

// Standard deviation of the horizontal first difference of a channel: how grainy or sharp it is.
double Roughness(const ImageF& i, int c) {
  double sum = 0;
  for (int y = 0; y < i.height(); ++y) {
    for (int x = 1; x < i.width(); ++x) sum += std::pow(i.row(c, y)[x] - i.row(c, y)[x - 1], 2);
  }
  return std::sqrt(sum / (i.height() * (i.width() - 1)));
}

TEST(ColorMatch, TakesMeanContrastAndLightOfTheTarget) {
  const ImageF target = Skin({0.45f, 0.30f, 0.20f}, 0.10f, 0.002f, 1, 0.3f);
  ImageF raw = Skin({0.70f, 0.60f, 0.55f}, 0.09f, 0.002f, 2);
  ColorMatch match;
  UpdateColorMatch(raw, target, Constant(1), 0.1f, &match);
  ApplyColorMatch(match, &raw);
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(Mean(raw, c), Mean(target, c), 0.006) << c;
    // Light from the right.
    EXPECT_NEAR(Mean(raw, c, 0, kSide / 3), Mean(target, c, 0, kSide / 3), 0.012) << c;
    EXPECT_NEAR(Mean(raw, c, 2 * kSide / 3, kSide), Mean(target, c, 2 * kSide / 3, kSide), 0.012) << c;
  }
}

// Red lips and brown eyes have no place in a film without colours.
TEST(ColorMatch, ABlackAndWhiteTargetStaysSo) {
  ImageF target = Skin({0.5f, 0.5f, 0.5f}, 0.10f, 0, 1, 0.3f), raw = Skin({0.70f, 0.55f, 0.45f}, 0.09f, 0.002f, 2);
  for (int y = 40; y < 60; ++y) {
    for (int x = 30; x < 70; ++x) raw.row(0, y)[x] = 0.7f, raw.row(1, y)[x] = 0.3f, raw.row(2, y)[x] = 0.3f;
  }
  for (const float tint : {1.0f, 0.8f}) {  // grey, sepia
    ImageF shown = target, face = raw;
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) shown.row(1, y)[x] = shown.row(0, y)[x], shown.row(2, y)[x] = tint * shown.row(0, y)[x];
    }
    ColorMatch match;
    UpdateColorMatch(face, shown, Constant(1), 0.1f, &match);
    ApplyColorMatch(match, &face);
    float off = 0;
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) off = std::max({off, std::fabs(face.row(1, y)[x] - face.row(0, y)[x]), std::fabs(face.row(2, y)[x] - tint * face.row(0, y)[x])});
    }
    EXPECT_LT(off, 0.02f) << tint;
    EXPECT_NEAR(Mean(face, 0), Mean(shown, 0), 0.01);
  }
}

// Neither is a dark scene, nor skin whose colours a codec has flattened.
TEST(ColorMatch, DarkOrFlatColoursAreNoBlackAndWhite) {
  for (const float level : {0.1f, 1.0f}) {
    ImageF target = Skin({0.6f * level, 0.42f * level, 0.35f * level}, 0.10f * level, 0, 1, 0.3f), raw = Skin({0.70f, 0.55f, 0.45f}, 0.09f, 0, 2);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const float luma = target.row(0, y)[x] - 0.6f * level;
        for (int c = 0; c < 3; ++c) target.row(c, y)[x] = (c == 0 ? 0.6f : c == 1 ? 0.42f : 0.35f) * level + luma;  // constant chroma
      }
    }
    for (int y = 40; y < 60; ++y) {
      for (int x = 30; x < 70; ++x) raw.row(0, y)[x] = 0.7f, raw.row(1, y)[x] = 0.3f, raw.row(2, y)[x] = 0.3f;
    }
    ColorMatch match;
    UpdateColorMatch(raw, target, Constant(1), 0.1f, &match);
    ApplyColorMatch(match, &raw);
    // The lips stay redder than the skin.
    const float lips = raw.row(1, 50)[50] / raw.row(0, 50)[50], skin = raw.row(1, 10)[50] / raw.row(0, 10)[50];
    EXPECT_LT(lips, 0.85f * skin) << level;
  }
}

TEST(ColorMatch, DarkStaysDark) {
  const ImageF target = Skin({0.8f, 0.6f, 0.5f}, 0.05f, 0.002f, 1);
  ImageF raw = Skin({0.5f, 0.5f, 0.5f}, 0.05f, 0.002f, 2), skin = Constant(1);
  for (int y = 20; y < 28; ++y) {
    for (int x = 20; x < 50; ++x) {
      skin.row(0, y)[x] = 0;
      for (int c = 0; c < 3; ++c) raw.row(c, y)[x] = 0.05f;
    }
  }
  ColorMatch match;
  UpdateColorMatch(raw, target, skin, 0.1f, &match);
  ApplyColorMatch(match, &raw);
  EXPECT_LT(raw.row(0, 24)[30], 0.2f);
  EXPECT_LT(raw.row(0, 24)[30] - raw.row(2, 24)[30], 0.08f);
}

TEST(ColorMatch, MovesSlowlyAfterTheFirstFrameAndNotAtAllWithoutSkin) {
  const ImageF raw = Skin({0.5f, 0.5f, 0.5f}, 0.05f, 0.002f, 2);
  ColorMatch match;
  UpdateColorMatch(raw, Skin({0.5f, 0.5f, 0.5f}, 0.05f, 0.002f, 3), Constant(1), 0.1f, &match);
  const float before = match.ratio[0];
  UpdateColorMatch(raw, Skin({0.7f, 0.5f, 0.5f}, 0.05f, 0.002f, 3), Constant(1), 0.1f, &match);
  EXPECT_NEAR(match.ratio[0] - before, 0.1f * (1.4f - before), 0.01f);
  const ColorMatch still = match;
  UpdateColorMatch(raw, Skin({0.9f, 0.1f, 0.1f}, 0.05f, 0.002f, 3), Constant(0), 0.1f, &match);
  EXPECT_EQ(match.ratio, still.ratio);
}

TEST(DetailMatch, GrainOfTheTargetComesOver) {
  const ImageF target = Skin({0.5f, 0.5f, 0.5f}, 0.05f, 0.02f, 1);
  ImageF raw = Skin({0.5f, 0.5f, 0.5f}, 0.05f, 0, 2), luma;
  const std::array<float, 3> k = {0.299f, 0.587f, 0.114f};
  LumaOf(target, k, &luma);
  DetailMatcher matcher;
  DetailMatch match;
  EXPECT_LT(Roughness(raw, 1), 0.4 * Roughness(target, 1));
  matcher.Run(luma, Constant(1), k, 0.1f, &match, &raw);
  EXPECT_GT(Roughness(raw, 1), 0.75 * Roughness(target, 1));
  EXPECT_LT(Roughness(raw, 1), 1.1 * Roughness(target, 1));
}

// Wrinkles and brows over most of the target's face are no grain: laid over the new face, they would show the old one.
TEST(DetailMatch, FeaturesOfTheOldFaceStayAway) {
  ImageF target = Skin({0.5f, 0.5f, 0.5f}, 0.02f, 0.003f, 1), raw = Skin({0.5f, 0.5f, 0.5f}, 0.02f, 0.003f, 2), luma;
  constexpr int kQuiet = kSide / 4;
  const auto line = [](int x, int y) { return x >= kQuiet && (x + y / 8) % 5 == 0 ? -0.04f : 0.0f; };
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      for (int c = 0; c < 3; ++c) target.row(c, y)[x] += line(x, y);
    }
  }
  const ImageF before = raw;
  const std::array<float, 3> k = {0.299f, 0.587f, 0.114f};
  LumaOf(target, k, &luma);
  DetailMatch match;
  DetailMatcher().Run(luma, Constant(1), k, 0.1f, &match, &raw);
  double lines = 0, all = 0;  // what was added, along the lines
  for (int y = 0; y < kSide; ++y) {
    for (int x = kQuiet; x < kSide; ++x) {
      const double added = raw.row(1, y)[x] - before.row(1, y)[x], own = line(x, y) + 0.008;
      lines += added * own, all += own * own;
    }
  }
  EXPECT_LT(std::fabs(lines / all), 0.1);
}

TEST(DetailMatch, SharpensASoftFaceAndSoftensASharpOne) {
  // Bars whose edges are sharp in one picture and blurred in the other; both without grain.
  const auto bars = [](float edge) {
    ImageF i(kSide, kSide, 3);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const float v = 0.5f + 0.2f * std::tanh(std::sin(x * 0.26f) / edge);
        for (int c = 0; c < 3; ++c) i.row(c, y)[x] = v;
      }
    }
    return i;
  };
  const ImageF sharp = bars(0.15f), soft = bars(0.6f);
  const std::array<float, 3> k = {0.299f, 0.587f, 0.114f};
  for (const bool soften : {false, true}) {
    const ImageF& target = soften ? soft : sharp;
    ImageF raw = soften ? sharp : soft, luma;
    const double before = Roughness(raw, 0);
    LumaOf(target, k, &luma);
    DetailMatch match;
    DetailMatcher().Run(luma, Constant(1), k, 0.1f, &match, &raw);
    const double gap = std::fabs(before - Roughness(target, 0));
    EXPECT_LT(std::fabs(Roughness(raw, 0) - Roughness(target, 0)), 0.75 * gap) << soften;
  }
}

// A frame of fine checks, twice as fine as the crop can hold: with detail the paste keeps them, without it they are gone.
TEST(BlendDetail, KeepsWhatTheCropCannotHold) {
  constexpr int kFrame = 200;
  for (const bool yuv : {false, true}) {
    std::vector<uint8_t> px(kFrame * kFrame * 3, 128);
    FrameView f = Rgb8View(px.data(), kFrame, kFrame, kFrame * 3);
    if (yuv) {
      f.model = ColorModel::kYuv;
      for (int c = 0; c < 3; ++c) f.component[c] = {px.data() + c * kFrame * kFrame, kFrame, 1, 0, 0};
    }
    for (int c = 0; c < (yuv ? 1 : 3); ++c) {
      for (int y = 0; y < kFrame; ++y) {
        for (int x = 0; x < kFrame; ++x) f.component[c].data[y * f.component[c].stride + x * f.component[c].step] = static_cast<uint8_t>(126 + 4 * ((x + y) & 1));
      }
    }
    const auto contrast = [&] {
      const uint8_t* p = f.component[0].data + 100 * f.component[0].stride + 100 * f.component[0].step;
      return std::abs(p[0] - p[f.component[0].step]);
    };
    const std::vector<uint8_t> original = px;
    const Affine map = SquareCrop({100, 100}, 192, 0, kSide);
    ImageF crop, luma;
    ASSERT_TRUE(ReadWarped(f, map, kSide, kSide, &crop).ok());
    LumaOf(crop, {f.kr, 1 - f.kr - f.kb, f.kb}, &luma);
    const ImageF other = Constant(0.8f, 3), alpha = Constant(1);
    ASSERT_TRUE(BlendWarped(other, alpha, map, &f).ok());
    EXPECT_EQ(contrast(), 0);
    px = original;
    BlendDetail detail;
    detail.luma = &luma;
    ASSERT_TRUE(BlendWarped(other, alpha, map, &f, nullptr, &detail).ok());
    EXPECT_GE(contrast(), 3);
    // An edge of the old face stays out.
    px = original;
    detail.limit = 0.001f;
    ASSERT_TRUE(BlendWarped(other, alpha, map, &f, nullptr, &detail).ok());
    EXPECT_LE(contrast(), 1);
    const ImageF wrong(3, 3, 1);
    detail.luma = &wrong;
    EXPECT_FALSE(BlendWarped(other, alpha, map, &f, nullptr, &detail).ok());
  }
}

class Composer : public testing::Test {
 protected:
  Composer() : px(kFrame * kFrame * 3, 100), frame(Rgb8View(px.data(), kFrame, kFrame, kFrame * 3)) {
    for (int i = 0; i < 68; ++i) landmarks[i] = {80.0f + i % 10 * 4, 80.0f + i / 10 * 6};
    for (int i = 48; i < 60; ++i) landmarks[i] = {100 + 20 * std::cos((i - 48) * 0.5236f), 130 + 10 * std::sin((i - 48) * 0.5236f)};
    face.target = &target, face.raw = &raw, face.mask = &mask, face.landmarks = &landmarks;
    face.crop_from_frame = SquareCrop({100, 100}, 120, 0, kSide);
  }
  int At(int x, int y) const { return px[(static_cast<size_t>(y) * kFrame + x) * 3]; }
  Status Run(const ComposeOptions& options, LookState* state = nullptr) {
    std::fill(px.begin(), px.end(), uint8_t{100});
    FaceComposer composer;
    MFS_RETURN_IF_ERROR(composer.Prepare(face, options, frame, state));
    return composer.Paste(&frame);
  }

  static constexpr int kFrame = 200;
  std::vector<uint8_t> px;
  FrameView frame;
  ImageF target = Constant(100 / 255.0f, 3), raw = Constant(0.8f, 3), mask = Constant(1);
  std::array<Point, 68> landmarks;
  SwappedFace face;
};

TEST_F(Composer, KeepMouthLeavesTheMouthAlone) {
  ComposeOptions plain;
  plain.color_match = plain.detail_match = false;
  ASSERT_TRUE(Run(plain).ok());
  EXPECT_EQ(At(100, 130), 204);
  EXPECT_EQ(At(100, 90), 204);
  plain.keep_mouth = true;
  ASSERT_TRUE(Run(plain).ok());
  EXPECT_LE(At(100, 130), 105);
  EXPECT_EQ(At(100, 90), 204);
  face.landmarks = nullptr;
  EXPECT_FALSE(Run(plain).ok());
}

TEST_F(Composer, ColorsOfAFlatFaceBecomeTheTargets) {
  ASSERT_TRUE(Run({}).ok());
  EXPECT_NEAR(At(100, 100), 100, 2);
}

// A face that the frame's border cuts: the crop beyond it holds the border's pixels drawn out, which say nothing of the face.
TEST_F(Composer, OnlyWhatTheFrameShowsCounts) {
  face.crop_from_frame = SquareCrop({0, 100}, 120, 0, kSide);
  face.landmarks = nullptr;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < kSide; ++y) std::fill(target.row(c, y), target.row(c, y) + kSide / 2, 0.05f);
  }
  ASSERT_TRUE(Run({}).ok());
  EXPECT_NEAR(At(15, 100), 100, 4);
}

TEST_F(Composer, WhatLiesInFrontStays) {
  ImageF visible = Constant(1);
  for (int y = 0; y < kSide; ++y) std::fill(visible.row(0, y), visible.row(0, y) + kSide / 2, 0.0f);
  face.visible = &visible;
  ComposeOptions plain;
  plain.color_match = plain.detail_match = false;
  ASSERT_TRUE(Run(plain).ok());
  EXPECT_EQ(At(80, 100), 100);
  EXPECT_EQ(At(98, 100), 100) << "the feather goes inwards";
  EXPECT_EQ(At(115, 100), 204);
}

TEST_F(Composer, AHandIsTakenAtOnceAndAWobbleIsCalmed) {
  ComposeOptions plain;
  plain.color_match = plain.detail_match = false;
  plain.feather = 0;
  LookState state;
  ASSERT_TRUE(Run(plain, &state).ok());
  mask = Constant(0.9f);
  ASSERT_TRUE(Run(plain, &state).ok());
  EXPECT_GT(At(100, 100), 198) << "a tenth less mask is hardly followed in one frame";
  mask = Constant(0);
  ASSERT_TRUE(Run(plain, &state).ok());
  EXPECT_LE(At(100, 100), 101);
}

TEST_F(Composer, SmallFacesAreComposedAtTheirOwnSize) {
  face.crop_from_frame = SquareCrop({100, 100}, 40, 10, kSide);
  ASSERT_TRUE(Run({}).ok());
  face.crop_from_frame = SquareCrop({100, 100}, 8, 10, kSide);
  ASSERT_TRUE(Run({}).ok());
  face.crop_from_frame = {0, 0, 0, 0, 0, 0};
  EXPECT_FALSE(Run({}).ok());
}

TEST_F(Composer, OverlaysAreDrawn) {
  ComposeOptions o;
  o.show = ShowOverlay::kMask;
  ASSERT_TRUE(Run(o).ok());
  EXPECT_GT(px[(100 * kFrame + 100) * 3 + 1], px[(100 * kFrame + 100) * 3] + 50) << "tinted green";
  std::fill(px.begin(), px.end(), uint8_t{100});
  ASSERT_TRUE(ShowBox({20, 30, 150, 170}, &frame).ok());
  EXPECT_NE(At(20, 100), 100);
  EXPECT_EQ(At(85, 100), 100);
  ASSERT_TRUE(ShowPoints(landmarks, {}, &frame).ok());
  EXPECT_NE(At(84, 80), 100);
}

}  // namespace
}  // namespace mfs
