// A virtual camera: a Video4Linux output device (the kernel module v4l2loopback), from which calls and OBS read as from any camera.
#ifndef MFS_LIVE_V4L2_SINK_H_
#define MFS_LIVE_V4L2_SINK_H_

#include <string>

#include "live/live_sink.h"
#include "live/v4l2.h"

namespace mfs {

struct V4l2SinkOptions {
  std::string device = "/dev/video10";
  int width = 0, height = 0;  // 0: those of the first frame
};

// The format is fixed with the first frame (YU12, or YUYV where the device wants it); frames of another size are fitted into it.
class V4l2Sink : public LiveSink {
 public:
  V4l2Sink(V4l2Calls* calls, const V4l2SinkOptions& options) : calls_(calls), options_(options) {}
  ~V4l2Sink() override;
  std::string Name() const override { return "virtual camera " + options_.device; }
  // Opens the device, so that a wrong one is found before anything runs. Errors: kNotFound, kInvalidArgument, kIoError.
  Status Start(const std::atomic<bool>* stop) override;
  Status Write(const LiveFrame& frame) override;
  bool wants_repeats() const override { return true; }

 private:
  Status SetFormat(int width, int height, bool bt709);

  V4l2Calls* calls_;
  V4l2SinkOptions options_;
  int fd_ = -1;
  AVPixelFormat pixels_ = AV_PIX_FMT_NONE;
  int width_ = 0, height_ = 0;
  FrameFitter fitter_;
  std::vector<uint8_t> packed_;
};

}  // namespace mfs

#endif  // MFS_LIVE_V4L2_SINK_H_
