// Raw frames from a pipe: `ffmpeg ... -f rawvideo - | mfs live --raw 1280x720:nv12@30 -i -`.
#ifndef MFS_LIVE_RAW_SOURCE_H_
#define MFS_LIVE_RAW_SOURCE_H_

#include "live/live_source.h"

namespace mfs {

struct RawFormat {
  int width = 0, height = 0;
  AVPixelFormat pixels = AV_PIX_FMT_NV12;
  double fps = 0;  // 0: frames come when they come
};

// "1280x720", "1280x720:nv12", "1280x720:yuyv422@30". Errors: kInvalidArgument, which says how it is written.
StatusOr<RawFormat> ParseRawFormat(const std::string& text);
std::string ToString(const RawFormat& format);

// Frames without gaps from a file descriptor that stays the caller's. A frame that is cut off by the end counts as garbage.
class RawSource : public LiveSource {
 public:
  RawSource(int fd, const RawFormat& format);
  StatusOr<LiveRead> Read(LiveFrame* frame) override;
  std::string Describe() const override;
  int64_t garbage() const override { return garbage_; }

 private:
  const int fd_;
  const RawFormat format_;
  const size_t frame_bytes_;
  size_t filled_ = 0;  // bytes of the frame that is being read
  int64_t frames_ = 0;
  std::atomic<int64_t> garbage_{0};
  LiveClock::time_point first_;
};

}  // namespace mfs

#endif  // MFS_LIVE_RAW_SOURCE_H_
