// The few system calls that Video4Linux takes, behind an interface: tests play a camera that no test machine has.
#ifndef MFS_LIVE_V4L2_H_
#define MFS_LIVE_V4L2_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "media/av_frame.h"

namespace mfs {

// As open(2), ioctl(2), ... : -1 (or null) and errno on failure.
class V4l2Calls {
 public:
  virtual ~V4l2Calls() = default;
  virtual int Open(const char* path) = 0;  // for reading and writing, not blocking
  virtual void Close(int fd) = 0;
  virtual int Ioctl(int fd, unsigned long request, void* argument) = 0;
  virtual void* Map(int fd, size_t length, int64_t offset) = 0;  // null on failure
  virtual void Unmap(void* memory, size_t length) = 0;
  virtual int Poll(int fd, short events, int timeout_ms) = 0;  // as poll(2) of one descriptor; > 0: ready, POLLERR included
  virtual ssize_t Write(int fd, const void* data, size_t size) = 0;
};
V4l2Calls* SystemV4l2();

// FFmpeg's pixel format of a V4L2 one, AV_PIX_FMT_NONE where it is compressed or unknown.
AVPixelFormat PixelFormatOfFourcc(uint32_t fourcc);
// "MJPG", "YUYV", ...
std::string FourccText(uint32_t fourcc);

}  // namespace mfs

#endif  // MFS_LIVE_V4L2_H_
