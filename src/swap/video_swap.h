// Swapping faces in a video file, frame by frame in constant memory.
#ifndef MFS_SWAP_VIDEO_SWAP_H_
#define MFS_SWAP_VIDEO_SWAP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "media/video.h"
#include "swap/engine.h"

namespace mfs {

struct VideoProgress {
  int64_t frames = 0;        // done so far
  int64_t total_frames = 0;  // as far as the container knows, 0 if it does not
  double seconds = 0;        // wall time since the start
};

struct VideoSwapReport {
  int width = 0, height = 0;
  int64_t frames = 0, swapped = 0, passed_through = 0;
  double seconds = 0;        // wall time
  int64_t detections = 0;    // frames for which the detector ran; in the others the landmarks were followed
  StageTimes times;
  std::vector<std::string> warnings;
  // Not ok when the input broke off: what could be read was written, and this says at which second it ended.
  Status input_end;
};

// progress is called once a frame and may be empty. cancel, if given, is looked at once a frame; when it turns true the
// partial output is removed and kCancelled returned. Errors: kNoFace when no frame had a face to swap (nothing is written).
StatusOr<VideoSwapReport> SwapVideo(Engine* engine, const std::string& target, const std::string& output,
                                    const VideoReadOptions& read_options, const VideoWriteOptions& write_options,
                                    const std::function<void(const VideoProgress&)>& progress,
                                    const std::atomic<bool>* cancel);

}  // namespace mfs

#endif  // MFS_SWAP_VIDEO_SWAP_H_
