// For tests: a camera and a virtual camera that play recorded pictures through the system calls of Video4Linux. No real device could be had
// where this was written; the calls, their order and their errors follow the kernel's documentation (Documentation/userspace-api/media/v4l).
#ifndef MFS_LIVE_V4L2_FAKE_H_
#define MFS_LIVE_V4L2_FAKE_H_

#include <linux/videodev2.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "live/latency.h"
#include "live/v4l2.h"

namespace mfs {

struct FakeFormat {
  uint32_t fourcc;
  int width, height, bytes_per_line;
};

class FakeV4l2 : public V4l2Calls {
 public:
  // --- what the test sets and sees; Lock() around it while the camera runs ---
  bool output = false;                // a virtual camera instead of a camera
  std::vector<FakeFormat> formats;    // the first size of a pixel format is the only one it has
  std::vector<std::string> pictures;  // recorded bytes, over and over
  double fps = 100;
  bool plugged = true, silent = false, busy = false;
  uint32_t error_every = 0;  // every n-th buffer carries the driver's error flag
  int opened = 0, open_now = 0, delivered = 0, mapped = 0;
  std::vector<std::string> written;  // of a virtual camera, the last 100
  int write_error = 0;
  std::unique_lock<std::mutex> Lock() { return std::unique_lock<std::mutex>(mutex_); }

  int Open(const char*) override {
    const auto lock = Lock();
    if (!plugged) return Error(ENOENT);
    if (busy) return Error(EBUSY);
    ++opened, ++open_now;
    streaming_ = false;
    queue_.clear();
    return 100 + opened;
  }
  void Close(int) override {
    const auto lock = Lock();
    --open_now;
  }
  void* Map(int, size_t length, int64_t offset) override {
    const auto lock = Lock();
    if (length != kLength) return nullptr;
    ++mapped;
    return memory_[static_cast<size_t>(offset)].data();
  }
  void Unmap(void*, size_t) override {
    const auto lock = Lock();
    --mapped;
  }
  int Poll(int, short, int timeout_ms) override {
    const LiveClock::time_point end = LiveClock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
      {
        const auto lock = Lock();
        if (!plugged) return 1;  // POLLERR
        if (Ready()) return 1;
      }
      if (LiveClock::now() >= end) return 0;
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  }
  ssize_t Write(int, const void* data, size_t size) override {
    const auto lock = Lock();
    if (write_error != 0) return Error(write_error);
    written.emplace_back(static_cast<const char*>(data), size);
    if (written.size() > 100) written.erase(written.begin());
    ++delivered;
    return static_cast<ssize_t>(size);
  }
  int Ioctl(int, unsigned long request, void* p) override {
    const auto lock = Lock();
    if (!plugged) return Error(ENODEV);
    switch (request) {
      case VIDIOC_QUERYCAP: {
        auto* c = static_cast<v4l2_capability*>(p);
        std::strcpy(reinterpret_cast<char*>(c->card), "Recorded");
        c->capabilities = V4L2_CAP_DEVICE_CAPS;
        c->device_caps = output ? V4L2_CAP_VIDEO_OUTPUT : V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
      }
      case VIDIOC_ENUM_FMT: {
        auto* d = static_cast<v4l2_fmtdesc*>(p);
        if (d->index >= formats.size()) return Error(EINVAL);
        d->pixelformat = formats[d->index].fourcc;
        return 0;
      }
      case VIDIOC_S_FMT: {
        auto& pix = static_cast<v4l2_format*>(p)->fmt.pix;
        for (const FakeFormat& f : formats) {
          if (f.fourcc != pix.pixelformat) continue;
          chosen_ = f;
          if (f.width > 0) pix.width = static_cast<uint32_t>(f.width), pix.height = static_cast<uint32_t>(f.height);
          pix.bytesperline = static_cast<uint32_t>(f.bytes_per_line);
          pix.colorspace = V4L2_COLORSPACE_SRGB;
          return 0;
        }
        return Error(EINVAL);
      }
      case VIDIOC_S_PARM: return 0;
      case VIDIOC_G_PARM: static_cast<v4l2_streamparm*>(p)->parm.capture.timeperframe = {1000, static_cast<uint32_t>(fps * 1000)}; return 0;
      case VIDIOC_REQBUFS: static_cast<v4l2_requestbuffers*>(p)->count = 4; return 0;
      case VIDIOC_QUERYBUF: {
        auto* b = static_cast<v4l2_buffer*>(p);
        memory_[b->index].resize(kLength);
        b->length = kLength;
        b->m.offset = b->index;
        return 0;
      }
      case VIDIOC_QBUF: queue_.push_back(static_cast<v4l2_buffer*>(p)->index); return 0;
      case VIDIOC_STREAMON:
        streaming_ = true;
        next_ = LiveClock::now();
        return 0;
      case VIDIOC_STREAMOFF: streaming_ = false; return 0;
      case VIDIOC_DQBUF: {
        if (!streaming_) return Error(EINVAL);
        if (!Ready()) return Error(EAGAIN);
        auto* b = static_cast<v4l2_buffer*>(p);
        b->index = queue_.front();
        queue_.pop_front();
        const std::string& picture = pictures[static_cast<size_t>(delivered) % pictures.size()];
        std::memcpy(memory_[b->index].data(), picture.data(), std::min(picture.size(), kLength));
        b->bytesused = static_cast<uint32_t>(picture.size());
        b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        ++delivered;
        if (error_every > 0 && static_cast<uint32_t>(delivered) % error_every == 0) b->flags |= V4L2_BUF_FLAG_ERROR;
        const auto us = std::chrono::duration_cast<std::chrono::microseconds>(next_.time_since_epoch()).count();
        b->timestamp = {static_cast<time_t>(us / 1000000), static_cast<suseconds_t>(us % 1000000)};
        next_ = std::max(next_ + std::chrono::microseconds(static_cast<int64_t>(1e6 / fps)), LiveClock::now() - std::chrono::milliseconds(50));
        return 0;
      }
      default: return Error(ENOTTY);
    }
  }

 private:
  static constexpr size_t kLength = 8 << 20;
  static int Error(int number) {
    errno = number;
    return -1;
  }
  bool Ready() const { return streaming_ && !silent && !queue_.empty() && !pictures.empty() && LiveClock::now() >= next_; }

  std::mutex mutex_;
  FakeFormat chosen_{};
  bool streaming_ = false;
  LiveClock::time_point next_;
  std::deque<uint32_t> queue_;
  std::vector<char> memory_[4];
};

}  // namespace mfs

#endif  // MFS_LIVE_V4L2_FAKE_H_
