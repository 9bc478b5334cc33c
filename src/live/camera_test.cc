// Cameras and virtual cameras, played by v4l2_fake.h.
extern "C" {
#include <libavutil/pixdesc.h>
}
#include <gtest/gtest.h>

#include <cstring>

#include "live/camera_source.h"
#include "live/preview_encoder.h"
#include "live/v4l2_fake.h"
#include "live/v4l2_sink.h"

namespace mfs {
namespace {

// A grey frame with a brighter right half.
std::string Jpeg(int width, int height, int left, int right) {
  LiveFrame f;
  EXPECT_TRUE(f.Reset(AV_PIX_FMT_RGB24, width, height).ok());
  for (int y = 0; y < height; ++y) {
    uint8_t* row = f.av->data[0] + y * f.av->linesize[0];
    std::memset(row, left, width / 2 * 3);
    std::memset(row + width / 2 * 3, right, width / 2 * 3);
  }
  PreviewEncoder encoder;
  return encoder.Encode(f, width).value();
}

// The next frame, or the error.
StatusOr<LiveRead> Next(LiveSource* source, LiveFrame* frame, int tries = 100) {
  for (int i = 0; i < tries; ++i) {
    auto r = source->Read(frame);
    if (!r.ok() || *r != LiveRead::kNothing) return r;
  }
  return LiveRead::kNothing;
}

TEST(Camera, MjpegIsDecodedAndGarbageIsLeftOut) {
  FakeV4l2 fake;
  fake.formats = {{V4L2_PIX_FMT_YUYV, 640, 480, 1280}, {V4L2_PIX_FMT_MJPEG, 1280, 720, 0}};
  const std::string good = Jpeg(1280, 720, 60, 200);
  fake.pictures = {good, "no picture at all", good.substr(0, 200), std::string(), good};
  auto camera = CameraSource::Open(&fake, {});
  ASSERT_TRUE(camera.ok()) << camera.status().message();
  EXPECT_NE((*camera)->Describe().find("1280x720 MJPG, 100 fps"), std::string::npos) << (*camera)->Describe();
  LiveFrame frame;
  double last = -1;
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(Next(camera->get(), &frame).value(), LiveRead::kFrame);
    EXPECT_EQ(frame.av->width, 1280);
    EXPECT_GT(frame.seconds, last);
    last = frame.seconds;
    ImageF rgb;
    ASSERT_TRUE(ReadScaled(*frame.View(), 64, 36, &rgb).ok());
    EXPECT_NEAR(rgb.row(0, 18)[10] * 255, 60, 4);
    EXPECT_NEAR(rgb.row(2, 18)[50] * 255, 200, 4);
    EXPECT_LT(LiveClock::now() - frame.captured, std::chrono::seconds(1));
  }
  EXPECT_GE((*camera)->garbage(), 3);
  camera->reset();
  EXPECT_EQ(fake.open_now, 0);
  EXPECT_EQ(fake.mapped, 0);
}

TEST(Camera, RawPixelsWithPaddedRows) {
  for (const auto& [fourcc, pixels] :
       {std::pair{V4L2_PIX_FMT_YUYV, AV_PIX_FMT_YUYV422}, {V4L2_PIX_FMT_NV12, AV_PIX_FMT_NV12}, {V4L2_PIX_FMT_YUV420, AV_PIX_FMT_YUV420P}, {V4L2_PIX_FMT_GREY, AV_PIX_FMT_GRAY8}}) {
    FakeV4l2 fake;
    const int w = 64, h = 48, line = (fourcc == V4L2_PIX_FMT_YUYV ? 128 : 64) + 32;
    fake.formats = {{static_cast<uint32_t>(fourcc), w, h, line}};
    // Sample i of a row holds its row's number, the padding holds 255.
    std::string picture;
    const auto plane = [&](int rows, int bytes, int stride, int first) {
      for (int y = 0; y < rows; ++y) picture += std::string(static_cast<size_t>(bytes), static_cast<char>(first + y)) + std::string(static_cast<size_t>(stride - bytes), '\xff');
    };
    plane(h, line - 32, line, 20);
    if (fourcc == V4L2_PIX_FMT_NV12) plane(h / 2, 64, line, 100);
    if (fourcc == V4L2_PIX_FMT_YUV420) plane(h / 2, 32, line / 2, 100), plane(h / 2, 32, line / 2, 150);
    fake.pictures = {picture};
    auto camera = CameraSource::Open(&fake, {});
    ASSERT_TRUE(camera.ok()) << camera.status().message();
    LiveFrame frame;
    ASSERT_EQ(Next(camera->get(), &frame).value(), LiveRead::kFrame);
    ASSERT_EQ(frame.av->format, pixels);
    for (int y = 0; y < h; ++y) EXPECT_EQ(frame.av->data[0][y * frame.av->linesize[0] + line - 33], 20 + y);
    if (frame.av->data[1] != nullptr) {
      EXPECT_EQ(frame.av->data[1][5 * frame.av->linesize[1] + 31], 105);
    }
    if (frame.av->data[2] != nullptr) {
      EXPECT_EQ(frame.av->data[2][5 * frame.av->linesize[2] + 31], 155);
    }
    // A picture that is cut, and one that the driver marks as broken.
    {
      const auto lock = fake.Lock();
      fake.pictures = {picture.substr(0, picture.size() / 2)};
    }
    EXPECT_EQ(Next(camera->get(), &frame, 8).value(), LiveRead::kNothing);
    {
      const auto lock = fake.Lock();
      fake.pictures = {picture};
      fake.error_every = 1;
    }
    EXPECT_EQ(Next(camera->get(), &frame, 8).value(), LiveRead::kNothing);
  }
}

TEST(Camera, TheNewestPictureIsTaken) {
  FakeV4l2 fake;
  fake.formats = {{V4L2_PIX_FMT_GREY, 16, 16, 16}};
  for (int i = 0; i < 250; ++i) fake.pictures.push_back(std::string(256, static_cast<char>(i)));
  fake.fps = 200;
  auto camera = CameraSource::Open(&fake, {});
  ASSERT_TRUE(camera.ok());
  LiveFrame frame;
  ASSERT_EQ(Next(camera->get(), &frame).value(), LiveRead::kFrame);
  std::this_thread::sleep_for(std::chrono::milliseconds(40));  // four buffers fill meanwhile
  ASSERT_EQ(Next(camera->get(), &frame).value(), LiveRead::kFrame);
  const auto lock = fake.Lock();
  EXPECT_EQ(frame.av->data[0][0], fake.delivered - 1);
  EXPECT_GE(fake.delivered, 4);
}

TEST(Camera, UnpluggedAndWrongDevicesSaySo) {
  FakeV4l2 fake;
  fake.formats = {{V4L2_PIX_FMT_GREY, 16, 16, 16}};
  fake.pictures = {std::string(256, 'a')};
  auto camera = CameraSource::Open(&fake, {});
  ASSERT_TRUE(camera.ok());
  LiveFrame frame;
  ASSERT_EQ(Next(camera->get(), &frame).value(), LiveRead::kFrame);
  {
    const auto lock = fake.Lock();
    fake.plugged = false;
  }
  const auto gone = Next(camera->get(), &frame);
  ASSERT_FALSE(gone.ok());
  EXPECT_NE(gone.status().message().find("unplugged"), std::string::npos) << gone.status().message();
  camera->reset();
  EXPECT_EQ(fake.open_now, 0);
  EXPECT_EQ(CameraSource::Open(&fake, {}).status().code(), StatusCode::kNotFound);
  fake.plugged = true;
  fake.busy = true;
  EXPECT_NE(CameraSource::Open(&fake, {}).status().message().find("another program"), std::string::npos);
  fake.busy = false;
  CameraOptions yuyv;
  yuyv.format = "yuyv";
  EXPECT_NE(CameraSource::Open(&fake, yuyv).status().message().find("it has GREY"), std::string::npos);
  yuyv.format = "foo";
  EXPECT_FALSE(CameraSource::Open(&fake, yuyv).ok());
  fake.output = true;
  EXPECT_NE(CameraSource::Open(&fake, {}).status().message().find("takes no pictures"), std::string::npos);
  EXPECT_EQ(fake.open_now, 0);
  CameraOptions missing;
  missing.device = "/dev/video987";
  EXPECT_EQ(CameraSource::Open(SystemV4l2(), missing).status().code(), StatusCode::kNotFound);
  missing.device = "/dev/null";
  EXPECT_NE(CameraSource::Open(SystemV4l2(), missing).status().message().find("no camera"), std::string::npos);
}

TEST(VirtualCamera, TakesFramesInItsOwnFormat) {
  FakeV4l2 fake;
  fake.output = true;
  fake.formats = {{V4L2_PIX_FMT_YUYV, 0, 0, 0}};  // does not know YU12
  V4l2Sink sink(&fake, {});
  std::atomic<bool> stop{false};
  ASSERT_TRUE(sink.Start(&stop).ok());
  LiveFrame frame;
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 64, 48).ok());
  std::memset(frame.av->data[0], 90, 64 * 48);
  std::memset(frame.av->data[1], 128, 64 * 24);
  ASSERT_TRUE(sink.Write(frame).ok());
  ASSERT_EQ(fake.written.size(), 1u);
  ASSERT_EQ(fake.written[0].size(), 64u * 48 * 2);
  EXPECT_EQ(static_cast<uint8_t>(fake.written[0][1000]), 90);
  EXPECT_EQ(static_cast<uint8_t>(fake.written[0][1001]), 128);
  // The camera came back with another size: the device keeps its own.
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 128, 128).ok());
  ASSERT_TRUE(sink.Write(frame).ok());
  EXPECT_EQ(fake.written[1].size(), 64u * 48 * 2);
  fake.write_error = EAGAIN;
  EXPECT_TRUE(sink.Write(frame).ok());
  fake.write_error = EIO;
  EXPECT_EQ(sink.Write(frame).code(), StatusCode::kIoError);

  FakeV4l2 camera;
  V4l2Sink wrong(&camera, {});
  EXPECT_NE(wrong.Start(&stop).message().find("nothing can be written"), std::string::npos);
  V4l2Sink missing(SystemV4l2(), {"/dev/video987", 0, 0});
  EXPECT_NE(missing.Start(&stop).message().find("v4l2loopback"), std::string::npos);
}

}  // namespace
}  // namespace mfs
