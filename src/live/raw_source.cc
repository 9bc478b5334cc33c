#include "live/raw_source.h"

extern "C" {
#include <libavutil/pixdesc.h>
}
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/file.h"

namespace mfs {

StatusOr<RawFormat> ParseRawFormat(const std::string& text) {
  const Status wrong = InvalidArgument("'" + text + "' is no raw format; write WIDTHxHEIGHT[:PIXELS][@FPS], for example 1280x720:nv12@30");
  RawFormat f;
  char* end = nullptr;
  f.width = static_cast<int>(std::strtol(text.c_str(), &end, 10));
  if (*end != 'x') return wrong;
  f.height = static_cast<int>(std::strtol(end + 1, &end, 10));
  if (f.width < 2 || f.height < 2 || f.width > 16384 || f.height > 16384) return wrong;
  if (*end == ':') {
    const char* const begin = end + 1;
    while (*end != 0 && *end != '@') ++end;
    MFS_ASSIGN_OR_RETURN(f.pixels, PixelFormatByName(std::string(begin, static_cast<size_t>(end - begin))));
  }
  if (*end == '@') {
    f.fps = std::strtod(end + 1, &end);
    if (!(f.fps > 0 && f.fps <= 1000)) return wrong;
  }
  if (*end != 0) return wrong;
  return f;
}

std::string ToString(const RawFormat& f) {
  std::string s = std::to_string(f.width) + "x" + std::to_string(f.height) + ":" + av_get_pix_fmt_name(f.pixels);
  if (f.fps > 0) {
    char text[32];
    snprintf(text, sizeof text, "@%.6g", f.fps);
    s += text;
  }
  return s;
}

RawSource::RawSource(int fd, const RawFormat& format) : fd_(fd), format_(format), frame_bytes_(PackedSize(format.pixels, format.width, format.height)) {
#ifdef F_SETPIPE_SZ
  (void)fcntl(fd_, F_SETPIPE_SZ, 1 << 20);  // fewer reads a frame; refused where it is no pipe
#endif
}

StatusOr<LiveRead> RawSource::Read(LiveFrame* frame) {
  if (filled_ == 0) MFS_RETURN_IF_ERROR(frame->Reset(format_.pixels, format_.width, format_.height));
  while (filled_ < frame_bytes_) {
    pollfd p{fd_, POLLIN, 0};
    const int ready = poll(&p, 1, 100);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return LiveRead::kNothing;
    const ssize_t n = ready < 0 ? -1 : read(fd_, frame->av->data[0] + filled_, frame_bytes_ - filled_);
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) return LiveRead::kNothing;
      return ErrnoStatus("reading raw frames", errno);
    }
    if (n == 0) {
      garbage_ += filled_ > 0;
      filled_ = 0;
      return LiveRead::kEnd;
    }
    filled_ += static_cast<size_t>(n);
  }
  filled_ = 0;
  frame->captured = LiveClock::now();
  if (frames_ == 0) first_ = frame->captured;
  frame->seconds = format_.fps > 0 ? static_cast<double>(frames_) / format_.fps : std::chrono::duration<double>(frame->captured - first_).count();
  frame->number = frames_++;
  frame->orientation = 1;
  return LiveRead::kFrame;
}

std::string RawSource::Describe() const { return "raw frames, " + ToString(format_); }

}  // namespace mfs
