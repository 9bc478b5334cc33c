#include "live/window_sink.h"

#include <gtest/gtest.h>

#ifdef MFS_HAVE_SDL
#include <SDL.h>

#include <cstdlib>
#include <cstring>

namespace mfs {
namespace {

// A camera's 720p is BT.601, a film's BT.709; SDL by itself would take both for BT.709.
TEST(WindowSink, ColoursGoByTheFramesOwnMatrix) {
  setenv("SDL_VIDEODRIVER", "dummy", 1);
  setenv("SDL_RENDER_DRIVER", "software", 1);
  const std::unique_ptr<LiveSink> sink = MakeWindowSink({}).value();
  const std::atomic<bool> stop{false};
  if (!sink->Start(&stop).ok()) GTEST_SKIP() << "this SDL has no dummy driver";
  LiveFrame frame;
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 1280, 720).ok());
  std::memset(frame.av->data[0], 100, 1280 * 720);
  for (int i = 0; i < 640 * 360; ++i) frame.av->data[1][2 * i] = 100, frame.av->data[1][2 * i + 1] = 180;
  const struct {
    AVColorSpace matrix;
    int red, green;
  } kCases[] = {{AVCOL_SPC_SMPTE170M, 181, 67}, {AVCOL_SPC_BT709, 191, 76}, {AVCOL_SPC_SMPTE170M, 181, 67}};
  for (const auto& c : kCases) {
    frame.av->colorspace = c.matrix;
    ASSERT_TRUE(sink->Write(frame).ok());
    SDL_Window* window = nullptr;
    for (Uint32 id = 1; id < 100 && window == nullptr; ++id) window = SDL_GetWindowFromID(id);
    ASSERT_NE(window, nullptr);
    const SDL_Rect one{200, 200, 1, 1};
    uint8_t rgb[3] = {};
    ASSERT_EQ(SDL_RenderReadPixels(SDL_GetRenderer(window), &one, SDL_PIXELFORMAT_RGB24, rgb, 3), 0) << SDL_GetError();
    EXPECT_NEAR(rgb[0], c.red, 3) << c.matrix;
    EXPECT_NEAR(rgb[1], c.green, 3) << c.matrix;
  }
}

}  // namespace
}  // namespace mfs

#endif  // MFS_HAVE_SDL
