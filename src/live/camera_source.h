// A camera through Video4Linux: memory-mapped buffers, MJPEG or raw pixels.
#ifndef MFS_LIVE_CAMERA_SOURCE_H_
#define MFS_LIVE_CAMERA_SOURCE_H_

#include <string>

#include "live/live_source.h"
#include "live/v4l2.h"

namespace mfs {

struct CameraOptions {
  std::string device = "/dev/video0";
  int width = 1280, height = 720;  // the camera takes the nearest that it can do
  double fps = 30;
  std::string format;  // mjpeg, yuyv, uyvy, nv12, yu12, rgb24, bgr24, grey; empty: MJPEG above 640x480 where the camera has it, since USB 2 has no room for raw pixels
};

class CameraSource : public LiveSource {
 public:
  // Errors: kNotFound (no such device), kInvalidArgument (no camera, or not that format), kIoError (in use, no permission), each with what to do.
  static StatusOr<std::unique_ptr<LiveSource>> Open(V4l2Calls* calls, const CameraOptions& options);
  ~CameraSource() override;
  // Of all pictures that lie ready the newest is taken. kIoError when the camera was unplugged, or sends nothing for 5 seconds.
  StatusOr<LiveRead> Read(LiveFrame* frame) override;
  std::string Describe() const override;
  int64_t garbage() const override;

 private:
  struct Impl;
  CameraSource();
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_LIVE_CAMERA_SOURCE_H_
