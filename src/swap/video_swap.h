// Swapping faces in a video file: decode, track, swap and encode as stages on threads of their own, in constant memory.
//
// The film is handled in segments of some seconds. Tracking and encoding begin anew with each (tracking a little before it, so that nothing
// jumps), and a finished segment lies in a folder beside the output until all are joined. So the result is the same bits whether it was
// made in one go, in several after crashes, or in shards on many machines, and with any number of threads.
#ifndef MFS_SWAP_VIDEO_SWAP_H_
#define MFS_SWAP_VIDEO_SWAP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "media/video.h"
#include "media/video_encoder.h"
#include "swap/engine.h"
#include "swap/frame_swapper.h"

namespace mfs {

struct VideoSwapOptions {
  VideoReadOptions read;
  VideoWriteOptions write;
  FrameSwapperOptions frame;
  double segment_seconds = 20;  // 0.1 or more
  // A new segment's tracker sees the frames of so many seconds before it; the swap itself (smoothed colours) runs over fewer.
  double track_warm_up = 1.0, swap_warm_up = 0.4;
  bool resume = false;        // go on with what an earlier run left, if it left anything
  bool replace = false;       // throw away what an earlier run left
  std::string parts;          // folder of the work in progress; empty: that of the output's name (PartFolder::NameFor)
  bool keep_parts = true;     // when stopped or failed, keep what is finished for `resume`
  int shard = 1, shards = 1;  // make one part of `shards`, 1-based; JoinVideo makes the film. Resumes by itself
  std::string job;            // names everything that decides on the picture and is not in here: identity, looks. Compared on resume
};

struct VideoProgress {
  int64_t frames = 0;        // done so far, those of an earlier run included
  int64_t new_frames = 0;    // done by this run
  int64_t total_frames = 0;  // as far as the container knows, 0 if it does not
  double seconds = 0;        // wall time since the start
};

struct VideoSwapReport {
  int width = 0, height = 0;
  int64_t frames = 0, swapped = 0, passed_through = 0;
  int64_t new_frames = 0;               // made by this run, not an earlier one
  double seconds = 0;                   // wall time
  int64_t detections = 0;               // frames for which the detector ran; in the others the landmarks were followed
  int64_t too_small = 0, too_many = 0;  // faces left alone, summed over the frames (FrameSwapperOptions)
  bool joined = true;                   // false: a shard was made, there is no film yet
  StageTimes times;                     // of stages that run at the same time: their sum may exceed `seconds`
  std::vector<std::string> warnings;
  // Not ok when the input broke off: what could be read was written, and this says at which second it ended.
  Status input_end;
};

// engine null: no face is looked for and nothing is changed; the plain transcode to measure and test against.
// progress is called once a frame and may be empty. cancel, if given, is looked at once a frame; when it turns true kCancelled is returned.
// On any error finished segments are kept and the message says how to go on; without one nothing is left behind.
// Errors: kNoFace when no frame had a face to swap (nothing is written), kAlreadyExists (another process writes this output, or an earlier
// run left a part of it), kDiskFull, and those of VideoReader, VideoEncoder and MuxVideo.
StatusOr<VideoSwapReport> SwapVideo(Engine* engine, const std::string& target, const std::string& output, const VideoSwapOptions& options, const std::function<void(const VideoProgress&)>& progress,
                                    const std::atomic<bool>* cancel);

// Joins what shards have made. folders: where their segments lie (copied together from several machines, or one shared folder). input: the
// target's place on this machine, "" where it was. The folders are removed when the film is there. Errors: kNotFound (a segment is missing).
StatusOr<VideoSwapReport> JoinVideo(const std::vector<std::string>& folders, const std::string& input, const std::string& output, const std::atomic<bool>* cancel);

}  // namespace mfs

#endif  // MFS_SWAP_VIDEO_SWAP_H_
