// Reading video files through the FFmpeg libraries: frames come one at a time, memory stays constant.
#ifndef MFS_MEDIA_VIDEO_H_
#define MFS_MEDIA_VIDEO_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "media/segment_file.h"

struct AVFrame;

namespace mfs {

struct VideoReadOptions {
  double trim_start = 0;           // seconds from the start of the file
  double trim_end = -1;            // seconds from the start of the file, < 0: to the end
  int threads = 0;                 // of the decoder, 0: as many as the machine has
  bool keep_other_streams = true;  // audio, subtitles, ... are copied by what writes the result
};

struct VideoInfo {
  int width = 0, height = 0;    // as displayed
  int64_t frames = 0;           // 0: not known before reading
  double fps = 0, seconds = 0;  // seconds 0: unknown
  bool sure = true;             // of seconds and frames: false where times may break off (PacketTimes)
  std::string codec, pixel_format;
  int other_streams = 0;
  bool container_aspect = false;  // the container says how wide a pixel is: that counts, whatever the frames say
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
  // The same planes for reading only, never copied.
  StatusOr<FrameView> ReadOnlyView() const;
  // Another frame of the same content that shares its memory until one of them is written to.
  StatusOr<VideoFrame> Share() const;
  double seconds() const { return seconds_; }  // presentation time
  AVFrame* av_frame() const { return frame_; }

 private:
  friend class VideoReader;
  AVFrame* frame_;
  double seconds_ = 0;
  int orientation_ = 1;
  float pixel_aspect_ = 1;
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
  // The next Read gives a frame at or before `seconds` (the first one if there is none), and from there all of them, the same in time
  // and content as without the jump. Containers that cannot promise that (no index, no times) are read anew from their start.
  Status Seek(double seconds);

  // The input's video stream, for what encodes; it never changes, so another thread may look at it while this one reads.
  const StreamParameters& source() const;
  const VideoReadOptions& options() const;

 private:
  struct Impl;
  VideoReader();
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_MEDIA_VIDEO_H_
