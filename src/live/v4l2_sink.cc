#include "live/v4l2_sink.h"

extern "C" {
#include <libavutil/imgutils.h>
}
#include <linux/videodev2.h>
#include <poll.h>

#include <cerrno>
#include <cstring>

namespace mfs {

V4l2Sink::~V4l2Sink() {
  if (fd_ >= 0) calls_->Close(fd_);
}

Status V4l2Sink::Start(const std::atomic<bool>* /*stop*/) {
  fd_ = calls_->Open(options_.device.c_str());
  if (fd_ < 0) {
    if (errno == ENOENT) return NotFound(options_.device + ": there is no such device; `sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1` makes one (docs/live.md)");
    if (errno == EACCES) return IoError(options_.device + ": no permission; add your user to the group 'video'");
    return IoError(options_.device + ": cannot be opened: " + std::strerror(errno));
  }
  v4l2_capability capability{};
  if (calls_->Ioctl(fd_, VIDIOC_QUERYCAP, &capability) < 0) return InvalidArgument(options_.device + ": this is no video device");
  const uint32_t can = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? capability.device_caps : capability.capabilities;
  if ((can & V4L2_CAP_VIDEO_OUTPUT) == 0) return InvalidArgument(options_.device + ": nothing can be written to this device (a real camera?); a virtual camera is made by v4l2loopback (docs/live.md)");
  return Status::Ok();
}

Status V4l2Sink::SetFormat(int width, int height, bool bt709) {
  for (const uint32_t fourcc : {V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_YUYV}) {
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_OUTPUT;
    format.fmt.pix.width = static_cast<uint32_t>(width);
    format.fmt.pix.height = static_cast<uint32_t>(height);
    format.fmt.pix.pixelformat = fourcc;
    format.fmt.pix.field = V4L2_FIELD_NONE;
    format.fmt.pix.bytesperline = static_cast<uint32_t>(fourcc == V4L2_PIX_FMT_YUV420 ? width : 2 * width);
    format.fmt.pix.sizeimage = static_cast<uint32_t>(PackedSize(PixelFormatOfFourcc(fourcc), width, height));
    format.fmt.pix.colorspace = bt709 ? V4L2_COLORSPACE_REC709 : V4L2_COLORSPACE_SMPTE170M;
    if (calls_->Ioctl(fd_, VIDIOC_S_FMT, &format) < 0) {
      if (errno == EBUSY) return IoError(options_.device + ": a program that reads this virtual camera holds it to another size; close it first");
      continue;
    }
    // A device that somebody reads already keeps its size: then the frames are fitted.
    const AVPixelFormat pixels = PixelFormatOfFourcc(format.fmt.pix.pixelformat);
    if (pixels == AV_PIX_FMT_NONE || format.fmt.pix.width < 2 || format.fmt.pix.height < 2 || format.fmt.pix.width > 16384 || format.fmt.pix.height > 16384) continue;
    pixels_ = pixels;
    width_ = static_cast<int>(format.fmt.pix.width);
    height_ = static_cast<int>(format.fmt.pix.height);
    packed_.resize(PackedSize(pixels_, width_, height_));
    return Status::Ok();
  }
  return Unsupported(options_.device + ": the device takes neither YU12 nor YUYV pictures of " + std::to_string(width) + "x" + std::to_string(height));
}

Status V4l2Sink::Write(const LiveFrame& frame) {
  if (width_ == 0) {
    const bool sideways = frame.orientation >= 5;
    const int width = options_.width > 0 ? options_.width : sideways ? frame.av->height : frame.av->width;
    const int height = options_.height > 0 ? options_.height : sideways ? frame.av->width : frame.av->height;
    const FrameView view = MakeView(frame.av, 1);
    const bool bt709 = view.model == ColorModel::kYuv ? view.kr < 0.22f : height >= 720;  // as FrameFitter chooses
    MFS_RETURN_IF_ERROR(SetFormat(width & ~1, height & ~1, bt709));                       // 4:2:0 wants even sizes
  }
  const AVFrame* out = nullptr;
  MFS_RETURN_IF_ERROR(fitter_.Fit(frame, pixels_, width_, height_, &out));
  if (av_image_copy_to_buffer(packed_.data(), static_cast<int>(packed_.size()), out->data, out->linesize, pixels_, width_, height_, 1) < 0) return Internal("a frame could not be packed");
  // A device that takes no frame just now (its reader sleeps) loses this one; it is never late on purpose.
  const ssize_t n = calls_->Write(fd_, packed_.data(), packed_.size());
  if (n < 0 && errno != EAGAIN && errno != EINTR) return IoError(options_.device + ": the virtual camera takes no more pictures: " + std::strerror(errno));
  return Status::Ok();
}

}  // namespace mfs
