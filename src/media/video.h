// Video files through the FFmpeg libraries: frames come one at a time, memory stays constant, nothing but the picture changes.
#ifndef MFS_MEDIA_VIDEO_H_
#define MFS_MEDIA_VIDEO_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/frame.h"
#include "base/status.h"

struct AVFrame;

namespace mfs {

struct VideoReadOptions {
  double trim_start = 0;   // seconds from the start of the file
  double trim_end = -1;    // seconds from the start of the file, < 0: to the end
  int threads = 0;         // of the decoder, 0: as many as the machine has
  bool keep_other_streams = true;  // audio, subtitles, ... are kept for a writer
};

struct VideoWriteOptions {
  std::string codec = "x264";       // x264, x265, vp9, av1, ffv1 (lossless), or any encoder name of FFmpeg
  double crf = -1;                  // constant rate factor; < 0: 18 for x264, the codec's usual else
  std::string preset;               // speed preset of x264 and x265; empty: veryfast
  int threads = 0;
  bool mark = true;                 // note in the file's metadata that a face-swapping tool made it
};

struct VideoInfo {
  int width = 0, height = 0;        // as displayed
  int64_t frames = 0;               // 0: not known before reading
  double fps = 0, seconds = 0;      // seconds 0: unknown
  std::string codec, pixel_format;
  int other_streams = 0;
};

// A decoded frame; movable. View() leads into its own memory.
class VideoFrame {
 public:
  VideoFrame();
  ~VideoFrame();
  VideoFrame(VideoFrame&&) noexcept;
  VideoFrame& operator=(VideoFrame&&) noexcept;

  // A writable view of the decoder's planes (copied once if the decoder still needs them).
  StatusOr<FrameView> View();
  double seconds() const { return seconds_; }  // presentation time
  AVFrame* av_frame() const { return frame_; }

 private:
  friend class VideoReader;
  AVFrame* frame_;
  double seconds_ = 0;
  int orientation_ = 1;
};

class VideoReader {
 public:
  // Errors: kNotFound, kCorruptData (empty, cut before its index, not a video), kUnsupported (no decoder, audio only).
  static StatusOr<std::unique_ptr<VideoReader>> Open(const std::string& path, const VideoReadOptions& options = {});
  ~VideoReader();

  const VideoInfo& info() const;
  // true: a frame; false: the end. kCorruptData when the file breaks off, with the second at which it does; kUnsupported when
  // the frame size changes.
  StatusOr<bool> Read(VideoFrame* frame);

 private:
  friend class VideoWriter;
  struct Impl;
  VideoReader();
  std::unique_ptr<Impl> impl_;
};

// Writes the frames of a reader, in their order, and copies the reader's other streams packet by packet. The file appears under
// its name at Finish() only; without Finish() nothing is left.
class VideoWriter {
 public:
  // The reader must outlive the writer. Errors: kInvalidArgument (unknown container or codec), kNotFound, kIoError.
  static StatusOr<std::unique_ptr<VideoWriter>> Create(const std::string& path, VideoReader* reader, const VideoWriteOptions& options);
  ~VideoWriter();

  // Errors: kDiskFull, kIoError, kUnsupported.
  Status Write(const VideoFrame& frame);
  Status Finish();
  // What could not be carried over, one line each.
  const std::vector<std::string>& warnings() const;

 private:
  struct Impl;
  VideoWriter();
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_MEDIA_VIDEO_H_
