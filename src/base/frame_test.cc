#include "base/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace mfs {
namespace {

// A smooth colourful picture in display coordinates.
float Truth(int c, float x, float y) { return 0.5f + 0.3f * std::sin(x * 0.05f + c) * std::cos(y * 0.04f - c * 0.5f); }

enum class Kind { kRgb8, kRgba8, kGray8, kRgb16, kYuv420, kYuv422, kYuv444p10, kYuv420p10Shifted, kNv12 };

// A frame of one kind with its memory, filled from Truth.
struct TestFrame {
  FrameView view;
  std::vector<uint8_t> memory;

  TestFrame(Kind kind, int w, int h, int orientation, bool full_range = true) {
    view.stored_width = orientation >= 5 ? h : w;
    view.stored_height = orientation >= 5 ? w : h;
    view.orientation = orientation;
    view.full_range = full_range;
    const int sw = view.stored_width, sh = view.stored_height;
    memory.assign(static_cast<size_t>(sw + 8) * (sh + 8) * 8, 77);
    uint8_t* p = memory.data();
    const auto planar = [&](int bytes, int sx, int sy) {
      view.model = ColorModel::kYuv;
      ptrdiff_t offset = 0;
      for (int c = 0; c < 3; ++c) {
        const int cw = c == 0 ? sw : (sw + (1 << sx) - 1) >> sx, ch = c == 0 ? sh : (sh + (1 << sy) - 1) >> sy;
        view.component[c] = {p + offset, cw * bytes, bytes, c == 0 ? 0 : sx, c == 0 ? 0 : sy};
        offset += static_cast<ptrdiff_t>(cw) * ch * bytes;
      }
    };
    switch (kind) {
      case Kind::kRgb8: view = With(Rgb8View(p, sw, sh, sw * 3), orientation); break;
      case Kind::kRgba8: view = With(Rgb8View(p, sw, sh, sw * 4, 4), orientation); break;
      case Kind::kGray8:
        view.model = ColorModel::kGray;
        view.component[0] = {p, sw, 1, 0, 0};
        break;
      case Kind::kRgb16:
        view.bits = 16;
        for (int c = 0; c < 3; ++c) view.component[c] = {p + 2 * c, sw * 6, 6, 0, 0};
        break;
      case Kind::kYuv420: planar(1, 1, 1); break;
      case Kind::kYuv422: planar(1, 1, 0); break;
      case Kind::kYuv444p10:
        view.bits = 10;
        planar(2, 0, 0);
        break;
      case Kind::kYuv420p10Shifted:
        view.bits = 10;
        view.sample_shift = 6;
        planar(2, 1, 1);
        break;
      case Kind::kNv12: {
        view.model = ColorModel::kYuv;
        view.component[0] = {p, sw, 1, 0, 0};
        const int cw = (sw + 1) / 2;
        for (int c = 1; c < 3; ++c) view.component[c] = {p + sw * sh + c - 1, cw * 2, 2, 1, 1};
        break;
      }
    }
    Fill();
  }
  static FrameView With(FrameView v, int orientation) {
    v.orientation = orientation;
    return v;
  }
  void Fill() {
    const Affine display = StoredFromDisplay(view).Inverse();
    const float peak = (1 << view.bits) - 1, unit = (1 << view.bits) / 256.0f;
    for (int c = 0; c < view.num_components(); ++c) {
      const FrameComponent& k = view.component[c];
      for (int y = 0; y < (view.stored_height + (1 << k.shift_y) - 1) >> k.shift_y; ++y) {
        for (int x = 0; x < (view.stored_width + (1 << k.shift_x) - 1) >> k.shift_x; ++x) {
          const Point p = display.Apply({float(x << k.shift_x), (y << k.shift_y) + (k.shift_y == 1 ? 0.5f : 0.0f)});
          const float r = Truth(0, p.x, p.y), g = Truth(1, p.x, p.y), b = Truth(2, p.x, p.y);
          const float luma = view.kr * r + (1 - view.kr - view.kb) * g + view.kb * b;
          float v;
          if (view.model == ColorModel::kRgb) {
            v = (c == 0 ? r : c == 1 ? g : b) * peak;
          } else if (c == 0) {
            v = view.model == ColorModel::kGray || view.full_range ? luma * peak : luma * 219 * unit + 16 * unit;
          } else {
            const float d = c == 1 ? (b - luma) / (2 * (1 - view.kb)) : (r - luma) / (2 * (1 - view.kr));
            v = d * (view.full_range ? peak : 224 * unit) + 128 * unit;
          }
          uint8_t* q = k.data + y * k.stride + x * k.step;
          const int value = static_cast<int>(v + 0.5f) << view.sample_shift;
          if (view.bits + view.sample_shift > 8) {
            const uint16_t s = static_cast<uint16_t>(value);
            std::memcpy(q, &s, 2);
          } else {
            *q = static_cast<uint8_t>(value);
          }
        }
      }
    }
  }
};

class FrameLayouts : public testing::TestWithParam<std::tuple<Kind, int, bool>> {};

TEST_P(FrameLayouts, WarpShowsThePictureUpright) {
  const auto [kind, orientation, full] = GetParam();
  TestFrame t(kind, 151, 98, orientation, full);
  ASSERT_TRUE(ValidateFrame(t.view).ok());
  ASSERT_EQ(t.view.width(), 151);
  const Affine m = SquareCrop({70, 48}, 60, 20, 80);
  ImageF crop;
  ASSERT_TRUE(ReadWarped(t.view, m, 80, 80, &crop).ok());
  const Affine back = m.Inverse();
  for (int y = 0; y < 80; y += 7) {
    for (int x = 0; x < 80; x += 7) {
      const Point p = back.Apply({float(x), float(y)});
      float want[3];
      for (int c = 0; c < 3; ++c) want[c] = Truth(c, p.x, p.y);
      if (kind == Kind::kGray8) want[0] = want[1] = want[2] = 0.299f * want[0] + 0.587f * want[1] + 0.114f * want[2];
      for (int c = 0; c < 3; ++c) EXPECT_NEAR(crop.row(c, y)[x], want[c], 0.02f) << x << "," << y << " c" << c;
    }
  }
}

TEST_P(FrameLayouts, BlendTouchesOnlyTheRegion) {
  const auto [kind, orientation, full] = GetParam();
  TestFrame t(kind, 151, 98, orientation, full);
  const std::vector<uint8_t> before = t.memory;
  const Affine m = SquareCrop({70, 48}, 50, -15, 90);
  ImageF rgb(90, 90, 3), alpha(90, 90, 1);
  std::fill(rgb.plane(0), rgb.plane(0) + 8100, 0.9f);
  std::fill(rgb.plane(1), rgb.plane(1) + 8100, 0.2f);
  std::fill(rgb.plane(2), rgb.plane(2) + 8100, 0.4f);
  ImageF zero = alpha;
  ASSERT_TRUE(BlendWarped(rgb, zero, m, &t.view).ok());
  EXPECT_EQ(before, t.memory) << "alpha 0 changed something";
  for (int y = 20; y < 70; ++y) {
    for (int x = 20; x < 70; ++x) alpha.row(0, y)[x] = 1;
  }
  IntRect region;
  ASSERT_TRUE(BlendWarped(rgb, alpha, m, &t.view, &region).ok());
  EXPECT_FALSE(region.empty());
  ImageF whole;
  ASSERT_TRUE(ReadScaled(t.view, 151, 98, &whole).ok());
  TestFrame untouched(kind, 151, 98, orientation, full);
  ImageF original;
  ASSERT_TRUE(ReadScaled(untouched.view, 151, 98, &original).ok());
  const float gray = 0.299f * 0.9f + 0.587f * 0.2f + 0.114f * 0.4f;
  const float want[3] = {kind == Kind::kGray8 ? gray : 0.9f, kind == Kind::kGray8 ? gray : 0.2f, kind == Kind::kGray8 ? gray : 0.4f};
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(whole.row(c, 48)[70], want[c], 0.02f);
  for (int y = 0; y < 98; ++y) {
    for (int x = 0; x < 151; ++x) {
      const Point p = m.Apply({float(x), float(y)});
      if (p.x > 10 && p.x < 80 && p.y > 10 && p.y < 80) continue;
      for (int c = 0; c < 3; ++c) ASSERT_EQ(whole.row(c, y)[x], original.row(c, y)[x]) << x << "," << y;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, FrameLayouts,
                         testing::Combine(testing::Values(Kind::kRgb8, Kind::kRgba8, Kind::kGray8, Kind::kRgb16, Kind::kYuv420, Kind::kYuv422, Kind::kYuv444p10, Kind::kYuv420p10Shifted, Kind::kNv12),
                                          testing::Values(1, 2, 3, 4, 5, 6, 7, 8), testing::Bool()));

TEST(Frame, MinificationAverages) {
  // A one-pixel checkerboard shrunk four times must become even grey, not an alias pattern.
  std::vector<uint8_t> px(256 * 256 * 3);
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) std::memset(&px[(y * 256 + x) * 3], (x + y) % 2 ? 255 : 0, 3);
  }
  const FrameView v = Rgb8View(px.data(), 256, 256, 256 * 3);
  ImageF out;
  ASSERT_TRUE(ReadScaled(v, 64, 64, &out).ok());
  for (int i = 0; i < 64 * 64; ++i) ASSERT_NEAR(out.plane(0)[i], 0.5f, 0.01f);
  ASSERT_TRUE(ReadWarped(v, SquareCrop({128, 128}, 180, 30, 60), 60, 60, &out).ok());
  for (int i = 0; i < 60 * 60; ++i) ASSERT_NEAR(out.plane(0)[i], 0.5f, 0.06f);
}

// Television of 4:3 pixels: shown twice as wide, a circle is a circle, and a paste lands where it was read.
TEST(Frame, PixelsThatAreNotSquare) {
  for (const int orientation : {1, 2, 6, 7}) {
    std::vector<uint8_t> px(60 * 80 * 3);
    FrameView v = Rgb8View(px.data(), 60, 80, 60 * 3);
    v.pixel_aspect = 2, v.orientation = orientation;
    ASSERT_TRUE(ValidateFrame(v).ok());
    EXPECT_EQ(v.width(), orientation < 5 ? 120 : 80);
    EXPECT_EQ(v.height(), orientation < 5 ? 80 : 120);
    const Affine display = StoredFromDisplay(v).Inverse();
    const Point centre{39.5f, 44.5f};
    for (int y = 0; y < 80; ++y) {
      for (int x = 0; x < 60; ++x) std::memset(&px[(y * 60 + x) * 3], Distance(display.Apply({float(x), float(y)}), centre) < 20 ? 200 : 40, 3);
    }
    ImageF shown;
    ASSERT_TRUE(ReadScaled(v, v.width(), v.height(), &shown).ok());
    for (const Point p : {Point{17, 0}, Point{0, 17}, Point{-17, 0}, Point{0, -17}}) EXPECT_NEAR(shown.row(0, int(centre.y + p.y))[int(centre.x + p.x)], 200 / 255.0f, 0.05f) << orientation;
    for (const Point p : {Point{24, 0}, Point{0, 24}, Point{-24, 0}, Point{0, -24}}) EXPECT_NEAR(shown.row(0, int(centre.y + p.y))[int(centre.x + p.x)], 40 / 255.0f, 0.05f) << orientation;
    const std::vector<uint8_t> before = px;
    ImageF crop, alpha(64, 64, 1);
    const Affine m = SquareCrop(centre, 70, 10, 64);
    ASSERT_TRUE(ReadWarped(v, m, 64, 64, &crop).ok());
    std::fill(alpha.plane(0), alpha.plane(0) + 64 * 64, 1.0f);
    ASSERT_TRUE(BlendWarped(crop, alpha, m, &v).ok());
    double change = 0;
    for (size_t i = 0; i < px.size(); ++i) change += std::abs(px[i] - before[i]);
    EXPECT_LT(change / px.size(), 4) << orientation;
  }
  uint8_t one[3] = {};
  FrameView v = Rgb8View(one, 1, 1, 3);
  for (const float wrong : {0.0f, -1.0f, NAN, 100.0f}) {
    v.pixel_aspect = wrong;
    EXPECT_FALSE(ValidateFrame(v).ok()) << wrong;
  }
}

TEST(Frame, BadInputIsRefused) {
  uint8_t px[3] = {1, 2, 3};
  FrameView v = Rgb8View(px, 1, 1, 3);
  ImageF out;
  EXPECT_TRUE(ReadScaled(v, 8, 8, &out).ok());
  EXPECT_NEAR(out.plane(1)[5], 2 / 255.0f, 1e-6);
  EXPECT_FALSE(ReadWarped(v, {0, 0, 0, 0, 0, 0}, 8, 8, &out).ok());
  EXPECT_FALSE(ReadWarped(v, {NAN, 0, 0, 0, 1, 0}, 8, 8, &out).ok());
  EXPECT_FALSE(ReadScaled(v, 0, 8, &out).ok());
  v.component[1].data = nullptr;
  EXPECT_FALSE(ValidateFrame(v).ok());
  v = Rgb8View(px, 2, 1, 3);
  EXPECT_FALSE(ValidateFrame(v).ok());
  v = Rgb8View(px, 1, 1, 3);
  v.orientation = 9;
  EXPECT_FALSE(ValidateFrame(v).ok());
  // A crop far away from the frame reads the border and blends nothing.
  v = Rgb8View(px, 1, 1, 3);
  EXPECT_TRUE(ReadWarped(v, Affine::Translation(1e6f, -1e6f), 4, 4, &out).ok());
  ImageF alpha(4, 4, 1);
  EXPECT_TRUE(BlendWarped(out, alpha, Affine::Translation(1e6f, -1e6f), &v).ok());
}

}  // namespace
}  // namespace mfs
