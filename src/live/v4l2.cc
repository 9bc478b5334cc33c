#include "live/v4l2.h"

#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace mfs {
namespace {

class SystemCalls : public V4l2Calls {
 public:
  int Open(const char* path) override { return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); }
  void Close(int fd) override { close(fd); }
  int Ioctl(int fd, unsigned long request, void* argument) override {
    int r;
    do {
      r = ioctl(fd, request, argument);
    } while (r < 0 && errno == EINTR);
    return r;
  }
  void* Map(int fd, size_t length, int64_t offset) override {
    void* p = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
    return p == MAP_FAILED ? nullptr : p;
  }
  void Unmap(void* memory, size_t length) override { munmap(memory, length); }
  int Poll(int fd, short events, int timeout_ms) override {
    pollfd p{fd, events, 0};
    return poll(&p, 1, timeout_ms);
  }
  ssize_t Write(int fd, const void* data, size_t size) override { return write(fd, data, size); }
};

}  // namespace

V4l2Calls* SystemV4l2() {
  static SystemCalls calls;
  return &calls;
}

AVPixelFormat PixelFormatOfFourcc(uint32_t fourcc) {
  switch (fourcc) {
    case V4L2_PIX_FMT_YUYV: return AV_PIX_FMT_YUYV422;
    case V4L2_PIX_FMT_UYVY: return AV_PIX_FMT_UYVY422;
    case V4L2_PIX_FMT_NV12: return AV_PIX_FMT_NV12;
    case V4L2_PIX_FMT_YUV420: return AV_PIX_FMT_YUV420P;
    case V4L2_PIX_FMT_RGB24: return AV_PIX_FMT_RGB24;
    case V4L2_PIX_FMT_BGR24: return AV_PIX_FMT_BGR24;
    case V4L2_PIX_FMT_GREY: return AV_PIX_FMT_GRAY8;
    default: return AV_PIX_FMT_NONE;
  }
}

std::string FourccText(uint32_t fourcc) {
  std::string s;
  for (int i = 0; i < 4; ++i) {
    const char c = static_cast<char>(fourcc >> (8 * i));
    s += c >= 32 && c < 127 ? c : '?';
  }
  return s;
}

}  // namespace mfs
