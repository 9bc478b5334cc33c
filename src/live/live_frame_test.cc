#include "live/live_frame.h"

extern "C" {
#include <libavutil/pixdesc.h>
}
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>

namespace mfs {
namespace {

void FillRandom(LiveFrame* f, unsigned seed) {
  std::mt19937 rng(seed);
  const size_t size = PackedSize(static_cast<AVPixelFormat>(f->av->format), f->av->width, f->av->height);
  for (size_t i = 0; i < size; ++i) f->av->data[0][i] = static_cast<uint8_t>(rng());
}

// What a frame shows at a place, component by component, read one sample at a time.
std::array<int, 3> At(const FrameView& f, int x, int y) {
  const Point p = StoredFromDisplay(f).Apply({float(x), float(y)});
  std::array<int, 3> v{};
  for (int c = 0; c < f.num_components(); ++c) {
    const FrameComponent& k = f.component[c];
    v[c] = k.data[(std::lround(p.y) >> k.shift_y) * k.stride + (std::lround(p.x) >> k.shift_x) * k.step];
  }
  return v;
}

TEST(LiveFrame, MirrorShowsEveryColumnOnTheOtherSide) {
  for (const AVPixelFormat format : {AV_PIX_FMT_NV12, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUYV422, AV_PIX_FMT_RGB24, AV_PIX_FMT_BGRA, AV_PIX_FMT_GRAY8, AV_PIX_FMT_YUV444P}) {
    for (const int orientation : {1, 3, 6, 8}) {
      LiveFrame before, after;
      ASSERT_TRUE(before.Reset(format, 12, 8).ok());
      ASSERT_TRUE(after.Reset(format, 12, 8).ok());
      FillRandom(&before, 1);
      FillRandom(&after, 1);
      before.orientation = after.orientation = orientation;
      FrameView b = *before.View(), a = *after.View();
      MirrorFrame(&a);
      for (int y = 0; y < b.height(); ++y) {
        for (int x = 0; x < b.width(); ++x) ASSERT_EQ(At(a, x, y), At(b, b.width() - 1 - x, y)) << av_get_pix_fmt_name(format) << " " << orientation << " " << x << "," << y;
      }
      MirrorFrame(&a);
      EXPECT_EQ(std::memcmp(before.av->data[0], after.av->data[0], PackedSize(format, 12, 8)), 0);
    }
  }
}

TEST(LiveFrame, ResetKeepsItsMemoryAndRefusesNonsense) {
  LiveFrame f;
  ASSERT_TRUE(f.Reset(AV_PIX_FMT_NV12, 640, 480).ok());
  const uint8_t* memory = f.av->data[0];
  ASSERT_TRUE(f.Reset(AV_PIX_FMT_YUV420P, 640, 480).ok());
  EXPECT_EQ(f.av->data[0], memory);
  ASSERT_TRUE(f.Reset(AV_PIX_FMT_NV12, 320, 240).ok());
  EXPECT_EQ(f.av->data[0], memory);
  EXPECT_FALSE(f.Reset(AV_PIX_FMT_NV12, 0, 240).ok());
  EXPECT_FALSE(f.Reset(AV_PIX_FMT_NV12, 1 << 20, 1 << 20).ok());
  EXPECT_FALSE(PixelFormatByName("nv13").ok());
  EXPECT_EQ(PixelFormatByName("yuyv").value(), AV_PIX_FMT_YUYV422);
}

TEST(LiveFrame, ThePoolGivesFramesAgain) {
  FramePool pool;
  const LiveFrame* first = nullptr;
  {
    const LiveFramePtr a = pool.Take();
    first = a.get();
  }
  EXPECT_EQ(pool.Take().get(), first);
  EXPECT_EQ(pool.made(), 1);
}

// A grey picture with a white block: colours and places survive conversions, scaling and the black bars.
TEST(FrameFitter, ConvertsScalesAndPads) {
  LiveFrame in;
  ASSERT_TRUE(in.Reset(AV_PIX_FMT_RGB24, 64, 32).ok());
  std::memset(in.av->data[0], 100, 64 * 32 * 3);
  for (int y = 8; y < 24; ++y) std::memset(in.av->data[0] + y * in.av->linesize[0] + 3 * 8, 255, 3 * 16);
  FrameFitter fitter;
  for (const AVPixelFormat format : {AV_PIX_FMT_NV12, AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUYV422, AV_PIX_FMT_UYVY422, AV_PIX_FMT_RGB24, AV_PIX_FMT_BGRA}) {
    const AVFrame* out = nullptr;
    ASSERT_TRUE(fitter.Fit(in, format, 128, 128, &out).ok());
    ASSERT_EQ(out->width, 128);
    ImageF rgb;
    ASSERT_TRUE(ReadScaled(MakeView(out, 1), 128, 128, &rgb).ok());
    for (int c = 0; c < 3; ++c) {  // bars above and below: 128 x 64 in the middle
      EXPECT_NEAR(rgb.row(c, 16)[64], 0, 0.02) << av_get_pix_fmt_name(format);
      EXPECT_NEAR(rgb.row(c, 111)[64], 0, 0.02) << av_get_pix_fmt_name(format);
      EXPECT_NEAR(rgb.row(c, 64)[100], 100 / 255.0, 0.03) << av_get_pix_fmt_name(format);
      EXPECT_NEAR(rgb.row(c, 64)[30], 1, 0.03) << av_get_pix_fmt_name(format);
      EXPECT_NEAR(rgb.row(c, 40)[4], 100 / 255.0, 0.03) << av_get_pix_fmt_name(format);
    }
    ASSERT_TRUE(fitter.Fit(in, format, 64, 32, &out).ok());
    ASSERT_TRUE(ReadScaled(MakeView(out, 1), 64, 32, &rgb).ok());
    EXPECT_NEAR(rgb.row(1, 16)[40], 100 / 255.0, 0.03) << av_get_pix_fmt_name(format);
    EXPECT_NEAR(rgb.row(1, 16)[14], 1, 0.03) << av_get_pix_fmt_name(format);
  }
}

// Strong colours survive any chain of formats, whatever range and matrix lie between.
TEST(FrameFitter, KeepsColours) {
  const uint8_t colours[6][3] = {{230, 30, 40}, {20, 200, 60}, {30, 40, 220}, {240, 220, 30}, {128, 128, 128}, {200, 140, 110}};
  for (const int height : {96, 720}) {  // BT.601 and BT.709
    const int width = height * 4 / 3, band = height / 6;
    LiveFrame in;
    ASSERT_TRUE(in.Reset(AV_PIX_FMT_RGB24, width, height).ok());
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) std::memcpy(in.av->data[0] + y * in.av->linesize[0] + 3 * x, colours[y / band], 3);
    }
    for (const AVPixelFormat first : {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_NV12, AV_PIX_FMT_YUYV422}) {
      for (const AVPixelFormat second : {AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P, AV_PIX_FMT_RGB24, AV_PIX_FMT_UYVY422}) {
        FrameFitter one, two;
        const AVFrame *a = nullptr, *b = nullptr;
        ASSERT_TRUE(one.Fit(in, first, width, height, &a).ok());
        LiveFrame middle;
        ASSERT_EQ(av_frame_ref(middle.av, a), 0);
        ASSERT_TRUE(two.Fit(middle, second, width / 2, height / 2, &b).ok());
        ImageF rgb;
        ASSERT_TRUE(ReadScaled(MakeView(b, 1), width / 2, height / 2, &rgb).ok());
        for (int i = 0; i < 6; ++i) {
          for (int c = 0; c < 3; ++c)
            EXPECT_NEAR(255 * rgb.row(c, band * i / 2 + band / 4)[width / 4], colours[i][c], 6) << av_get_pix_fmt_name(first) << " " << av_get_pix_fmt_name(second) << " " << height << " " << i;
        }
      }
    }
  }
}

// A screen recording says full range of a format that means limited range to whoever gets it.
TEST(FrameFitter, FullRangeIsConvertedThoughTheFormatFits) {
  LiveFrame in;
  ASSERT_TRUE(in.Reset(AV_PIX_FMT_YUV420P, 64, 48).ok());
  in.av->color_range = AVCOL_RANGE_JPEG;
  for (int y = 0; y < 48; ++y) std::memset(in.av->data[0] + y * in.av->linesize[0], 255, 64);
  for (int c = 1; c < 3; ++c) {
    for (int y = 0; y < 24; ++y) std::memset(in.av->data[c] + y * in.av->linesize[c], 128, 32);
  }
  FrameFitter fitter;
  const AVFrame* out = nullptr;
  ASSERT_TRUE(fitter.Fit(in, AV_PIX_FMT_YUV420P, 64, 48, &out).ok());
  EXPECT_NEAR(out->data[0][10 * out->linesize[0] + 10], 235, 1);
  // Nothing to scale, another layout; the reverse; a border around.
  ASSERT_TRUE(fitter.Fit(in, AV_PIX_FMT_NV12, 64, 48, &out).ok());
  EXPECT_NEAR(out->data[0][10 * out->linesize[0] + 10], 235, 1);
  ASSERT_TRUE(fitter.Fit(in, AV_PIX_FMT_YUV420P, 96, 48, &out).ok());
  EXPECT_NEAR(out->data[0][10 * out->linesize[0] + 48], 235, 1);
  in.av->color_range = AVCOL_RANGE_MPEG;
  ASSERT_TRUE(fitter.Fit(in, AV_PIX_FMT_YUV420P, 64, 48, &out).ok());
  EXPECT_EQ(out, in.av);
  for (int y = 0; y < 48; ++y) std::memset(in.av->data[0] + y * in.av->linesize[0], 16, 64);
  ASSERT_TRUE(fitter.Fit(in, AV_PIX_FMT_YUVJ420P, 64, 48, &out).ok());
  EXPECT_NEAR(out->data[0][10 * out->linesize[0] + 10], 0, 1);
}

TEST(FrameFitter, TurnsSidewaysFramesUpright) {
  LiveFrame in;
  ASSERT_TRUE(in.Reset(AV_PIX_FMT_YUV420P, 16, 8).ok());
  FillRandom(&in, 3);
  in.orientation = 6;
  FrameFitter fitter;
  const AVFrame* out = nullptr;
  ASSERT_TRUE(fitter.Fit(in, AV_PIX_FMT_YUV420P, 8, 16, &out).ok());
  const FrameView shown = *in.View(), upright = MakeView(out, 1);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 8; ++x) EXPECT_EQ(At(upright, x, y)[0], At(shown, x, y)[0]) << x << "," << y;
  }
}

}  // namespace
}  // namespace mfs
