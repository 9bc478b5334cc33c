// Frames in, compressed packets out: one encoder run, which begins with a key frame and needs nothing from before.
#ifndef MFS_MEDIA_VIDEO_ENCODER_H_
#define MFS_MEDIA_VIDEO_ENCODER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "media/segment_file.h"
#include "media/video.h"

struct AVPacket;

namespace mfs {

struct VideoWriteOptions {
  std::string codec = "x264";  // x264, x265, vp9, av1, ffv1 (lossless), or any encoder name of FFmpeg
  double crf = -1;             // constant rate factor; < 0: 18 for x264, the codec's usual else
  std::string preset;          // speed preset of x264 and x265; empty: veryfast
  int threads = 4;             // of the encoder. Not "as many as the machine has": x264 writes other bits with other numbers of threads
  bool mark = true;            // note in the file's metadata that a face-swapping tool made it
};

// Can a file of this name hold such video? Errors: kInvalidArgument (unknown container or codec, or they do not fit).
Status CheckVideoOutput(const std::string& path, const VideoWriteOptions& options);

class VideoEncoder {
 public:
  using Sink = std::function<Status(const EncodedPacket&)>;

  // path: the file the packets will go into in the end, whose container decides on a few settings. The reader is only looked at here.
  // Errors: kInvalidArgument (settings that the encoder refuses), kUnsupported (odd sizes).
  static StatusOr<std::unique_ptr<VideoEncoder>> Create(const std::string& path, const VideoReader& reader, const VideoFrame& first, const VideoWriteOptions& options);
  ~VideoEncoder();

  // Packets are handed to the sink as they come, in decoding order.
  Status Send(const VideoFrame& frame, const Sink& sink);
  Status Finish(const Sink& sink);

  const StreamParameters& parameters() const;
  // How many frames a packet may come later than its place in the order of display; of all packets so far.
  int reorder() const;
  // What cannot be carried over, one line each.
  const std::vector<std::string>& warnings() const;

 private:
  struct Impl;
  VideoEncoder();
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_MEDIA_VIDEO_ENCODER_H_
