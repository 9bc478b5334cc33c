// A frame on its way through a live loop, and the pool that its memory comes from.
#ifndef MFS_LIVE_LIVE_FRAME_H_
#define MFS_LIVE_LIVE_FRAME_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "live/latency.h"
#include "media/av_frame.h"

namespace mfs {

struct LiveFrame {
  LiveFrame() : av(av_frame_alloc()) {}
  ~LiveFrame() { av_frame_free(&av); }
  LiveFrame(const LiveFrame&) = delete;
  LiveFrame& operator=(const LiveFrame&) = delete;

  // Memory for a packed frame (rows and planes without gaps, as raw video has them); kept from call to call where it fits. Colours are reset
  // to "not said". Errors: kInvalidArgument, kOutOfMemory.
  Status Reset(AVPixelFormat format, int width, int height);
  // A writable view. Errors: kUnsupported for a format that FrameView cannot describe, kOutOfMemory.
  StatusOr<FrameView> View();
  // Takes a decoder's frame: its reference if nobody else holds the planes, else a copy into our own memory, or converted if FrameView cannot
  // describe it. decoded is empty afterwards. *scaler: see ConvertFrame.
  Status Adopt(AVFrame* decoded, SwsContext** scaler);

  AVFrame* av;
  LiveClock::time_point captured;  // when the picture was taken, as nearly as the source knows
  double seconds = 0;              // on the source's own clock, rising; what smoothing over time counts by
  int64_t number = 0;              // of the source's frames, counted from 0
  int orientation = 1;             // EXIF 1..8
};
using LiveFramePtr = std::shared_ptr<LiveFrame>;

// Frames return here when the last holder lets go of them, so that a loop takes no new memory after its first frames. Thread-safe.
class FramePool {
 public:
  FramePool() : state_(std::make_shared<State>()) {}
  LiveFramePtr Take();
  // Frames that were ever made.
  int made() const;

 private:
  struct State {
    std::mutex mutex;
    std::vector<std::unique_ptr<LiveFrame>> idle;
    int made = 0;
  };
  std::shared_ptr<State> state_;
};

// Swaps left and right in place. frame: stored upright or not; what is mirrored is what is shown. Alpha is not moved.
void MirrorFrame(FrameView* frame);

// Raw video's layout by FFmpeg's name of the pixel format: "nv12", "yuv420p", "yuyv422", "rgb24", ... Errors: kInvalidArgument.
StatusOr<AVPixelFormat> PixelFormatByName(const std::string& name);
// Bytes of one packed frame.
size_t PackedSize(AVPixelFormat format, int width, int height);

// A frame converted and, where its size differs, scaled (with black bars, so that nothing is stretched) to a fixed format; keeps its memory and
// converter from call to call. Frames stored sideways are turned upright.
class FrameFitter {
 public:
  ~FrameFitter();
  FrameFitter() = default;
  FrameFitter(const FrameFitter&) = delete;
  FrameFitter& operator=(const FrameFitter&) = delete;
  // *out: the frame itself when it fits already, else memory of the fitter, valid until the next call.
  Status Fit(const LiveFrame& frame, AVPixelFormat format, int width, int height, const AVFrame** out);

 private:
  Status TurnUpright(const LiveFrame& frame, const AVFrame** upright);

  SwsContext* scaler_ = nullptr;
  std::array<int64_t, 9> scales_{};  // what scaler_ was made for
  LiveFrame fitted_, upright_;
};

}  // namespace mfs

#endif  // MFS_LIVE_LIVE_FRAME_H_
