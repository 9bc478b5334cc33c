#include "live/raw_sink.h"

extern "C" {
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
}
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "live/raw_source.h"

namespace mfs {
namespace {

constexpr std::chrono::milliseconds kToFinish{500};  // for a frame that was begun when the loop stopped

}  // namespace

RawSink::~RawSink() {
  if (old_flags_ >= 0) (void)fcntl(fd_, F_SETFL, old_flags_);
}

Status RawSink::Start(const std::atomic<bool>* stop) {
  stop_ = stop;
  struct stat info {};
  if (fstat(fd_, &info) < 0) return ErrnoStatus("stdout", errno);
  if (isatty(fd_) != 0) return InvalidArgument("raw frames would go to the terminal; pipe stdout into a program or a file");
  if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)) {
    // A write must not wait for a reader that has stopped reading: Ctrl-C has to get through.
    old_flags_ = fcntl(fd_, F_GETFL);
    if (old_flags_ >= 0) (void)fcntl(fd_, F_SETFL, old_flags_ | O_NONBLOCK);
#ifdef F_SETPIPE_SZ
    (void)fcntl(fd_, F_SETPIPE_SZ, 1 << 20);
#endif
  }
  return Status::Ok();
}

Status RawSink::WriteAll(const uint8_t* data, size_t size) {
  LiveClock::time_point give_up = LiveClock::time_point::max();
  for (size_t done = 0; done < size;) {
    if (stop_->load(std::memory_order_relaxed)) {
      // Half a frame at the end of a raw stream is a torn one to whoever reads it; only a reader that has stopped reading gets one.
      const LiveClock::time_point now = LiveClock::now();
      if (give_up == LiveClock::time_point::max()) give_up = now + kToFinish;
      if (done == 0 || now >= give_up) return Cancelled("stopped");
    }
    const ssize_t n = write(fd_, data + done, size - done);
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (n < 0 && errno == EPIPE) return Cancelled("the program that reads the frames has ended");
    if (n < 0 && errno != EAGAIN && errno != EINTR) return ErrnoStatus("stdout", errno);
    pollfd p{fd_, POLLOUT, 0};
    (void)poll(&p, 1, 100);
  }
  return Status::Ok();
}

Status RawSink::Write(const LiveFrame& frame) {
  const bool sideways = frame.orientation >= 5;
  if (width_ == 0) {
    if (options_.pixels == AV_PIX_FMT_NONE) options_.pixels = static_cast<AVPixelFormat>(frame.av->format);
    width_ = sideways ? frame.av->height : frame.av->width;
    height_ = sideways ? frame.av->width : frame.av->height;
    packed_.resize(PackedSize(options_.pixels, width_, height_));
    if (options_.announce) options_.announce(ToString(RawFormat{width_, height_, options_.pixels, 0}));
  }
  const AVFrame* out = nullptr;
  MFS_RETURN_IF_ERROR(fitter_.Fit(frame, options_.pixels, width_, height_, &out));
  // Frames of ours are packed already and go out in one piece.
  uint8_t* planes[4] = {};
  int lines[4] = {};
  const int size = av_image_fill_arrays(planes, lines, out->data[0], options_.pixels, width_, height_, 1);
  bool is_packed = size > 0 && out->buf[0] != nullptr && out->buf[1] == nullptr;
  for (int p = 0; p < 4; ++p) is_packed = is_packed && planes[p] == out->data[p] && (planes[p] == nullptr || lines[p] == out->linesize[p]);
  if (is_packed) return WriteAll(out->data[0], static_cast<size_t>(size));
  if (av_image_copy_to_buffer(packed_.data(), static_cast<int>(packed_.size()), out->data, out->linesize, options_.pixels, width_, height_, 1) < 0) return Internal("a frame could not be packed");
  return WriteAll(packed_.data(), packed_.size());
}

}  // namespace mfs
