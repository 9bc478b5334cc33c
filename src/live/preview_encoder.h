// Small JPEGs of a running picture, for the local page.
#ifndef MFS_LIVE_PREVIEW_ENCODER_H_
#define MFS_LIVE_PREVIEW_ENCODER_H_

#include <string>

#include "live/live_frame.h"

struct AVCodecContext;
struct AVPacket;

namespace mfs {

// Keeps its encoder and memory from picture to picture of one size. Not thread-safe.
class PreviewEncoder {
 public:
  PreviewEncoder() = default;
  ~PreviewEncoder();
  PreviewEncoder(const PreviewEncoder&) = delete;
  PreviewEncoder& operator=(const PreviewEncoder&) = delete;
  // A JPEG of the frame, at most max_width pixels wide (never enlarged). Errors: kUnsupported, kOutOfMemory.
  StatusOr<std::string> Encode(const LiveFrame& frame, int max_width);

 private:
  FrameFitter fitter_;
  AVCodecContext* encoder_ = nullptr;
  AVPacket* packet_ = nullptr;
  AVFrame* reference_ = nullptr;
  int64_t pts_ = 0;
};

}  // namespace mfs

#endif  // MFS_LIVE_PREVIEW_ENCODER_H_
