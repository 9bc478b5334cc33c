// Raw frames into a pipe: `mfs live ... --stdout | ffmpeg -f rawvideo -pix_fmt nv12 -video_size 1280x720 -i - ...`.
#ifndef MFS_LIVE_RAW_SINK_H_
#define MFS_LIVE_RAW_SINK_H_

#include <functional>
#include <string>

#include "live/live_sink.h"

namespace mfs {

struct RawSinkOptions {
  AVPixelFormat pixels = AV_PIX_FMT_NONE;  // AV_PIX_FMT_NONE: that of the first frame
  // Called once with "1280x720:nv12" before the first byte is written; may be empty.
  std::function<void(const std::string&)> announce;
};

// Every frame has the format and size of the first one; frames of another size (a camera that came back changed) are fitted into it.
// When the loop stops, a frame that was begun is still finished (half a second at most).
// The descriptor stays the caller's and is switched to non-blocking while the sink lives, where it is a pipe.
class RawSink : public LiveSink {
 public:
  RawSink(int fd, const RawSinkOptions& options) : fd_(fd), options_(options) {}
  ~RawSink() override;
  std::string Name() const override { return "stdout"; }
  Status Start(const std::atomic<bool>* stop) override;
  Status Write(const LiveFrame& frame) override;

 private:
  Status WriteAll(const uint8_t* data, size_t size);

  const int fd_;
  RawSinkOptions options_;
  const std::atomic<bool>* stop_ = nullptr;
  int old_flags_ = -1;
  int width_ = 0, height_ = 0;
  FrameFitter fitter_;
  std::vector<uint8_t> packed_;
};

}  // namespace mfs

#endif  // MFS_LIVE_RAW_SINK_H_
