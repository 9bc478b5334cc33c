#include "live/camera_source.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>
}
#include <linux/videodev2.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/file.h"

namespace mfs {
namespace {

constexpr int kBuffers = 4;
constexpr std::chrono::seconds kSilence{5};

bool IsJpeg(uint32_t fourcc) { return fourcc == V4L2_PIX_FMT_MJPEG || fourcc == V4L2_PIX_FMT_JPEG; }

StatusOr<uint32_t> FourccOfName(const std::string& name) {
  static const struct {
    const char* name;
    uint32_t fourcc;
  } kNames[] = {{"mjpeg", V4L2_PIX_FMT_MJPEG}, {"yuyv", V4L2_PIX_FMT_YUYV},   {"uyvy", V4L2_PIX_FMT_UYVY},   {"nv12", V4L2_PIX_FMT_NV12},
                {"yu12", V4L2_PIX_FMT_YUV420}, {"rgb24", V4L2_PIX_FMT_RGB24}, {"bgr24", V4L2_PIX_FMT_BGR24}, {"grey", V4L2_PIX_FMT_GREY}};
  for (const auto& n : kNames) {
    if (name == n.name) return n.fourcc;
  }
  return InvalidArgument("'" + name + "' is no camera format; mjpeg, yuyv, uyvy, nv12, yu12, rgb24, bgr24 and grey are known");
}

}  // namespace

struct CameraSource::Impl {
  V4l2Calls* calls = nullptr;
  CameraOptions options;
  std::string card;
  int fd = -1;
  bool streaming = false;
  uint32_t fourcc = 0;
  int width = 0, height = 0, bytes_per_line = 0;
  double fps = 0;
  AVColorRange range = AVCOL_RANGE_UNSPECIFIED;
  AVColorSpace space = AVCOL_SPC_UNSPECIFIED;
  struct Buffer {
    void* memory = nullptr;
    size_t length = 0;
  };
  std::vector<Buffer> buffers;
  AVCodecContext* decoder = nullptr;
  AVPacket* packet = nullptr;
  AVFrame* decoded = nullptr;
  SwsContext* scaler = nullptr;
  int64_t frames = 0;
  std::atomic<int64_t> garbage{0};
  LiveClock::time_point first, last_sign;

  ~Impl() {
    if (fd >= 0) {
      int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
      if (streaming) (void)calls->Ioctl(fd, VIDIOC_STREAMOFF, &type);
      for (const Buffer& b : buffers) {
        if (b.memory != nullptr) calls->Unmap(b.memory, b.length);
      }
      calls->Close(fd);
    }
    av_packet_free(&packet);
    av_frame_free(&decoded);
    avcodec_free_context(&decoder);
    sws_freeContext(scaler);
  }
  Status Fail(const std::string& what, int error) const {
    const std::string name = options.device + ": ";
    switch (error) {
      case ENOENT: return NotFound(name + "there is no such camera; `ls /dev/video*` shows what is there");
      case EBUSY: return IoError(name + "another program uses the camera; close it first");
      case EACCES: return IoError(name + "no permission; add your user to the group 'video'");
      case ENODEV:
      case ENXIO:
      case EIO: return IoError(name + "the camera was unplugged");
      default: return IoError(name + what + ": " + std::strerror(error));
    }
  }
  Status Setup();
  Status ChooseFormat();
  Status Start();
  Status Fill(const v4l2_buffer& buffer, LiveFrame* frame, bool* usable);
};

CameraSource::CameraSource() : impl_(std::make_unique<Impl>()) {}
CameraSource::~CameraSource() = default;
int64_t CameraSource::garbage() const { return impl_->garbage; }

StatusOr<std::unique_ptr<LiveSource>> CameraSource::Open(V4l2Calls* calls, const CameraOptions& options) {
  std::unique_ptr<CameraSource> source(new CameraSource());
  Impl& m = *source->impl_;
  m.calls = calls;
  m.options = options;
  m.fd = calls->Open(options.device.c_str());
  if (m.fd < 0) return m.Fail("cannot be opened", errno);
  MFS_RETURN_IF_ERROR(m.Setup());
  return std::unique_ptr<LiveSource>(std::move(source));
}

Status CameraSource::Impl::Setup() {
  v4l2_capability capability{};
  if (calls->Ioctl(fd, VIDIOC_QUERYCAP, &capability) < 0) {
    return errno == ENOTTY || errno == EINVAL ? InvalidArgument(options.device + ": this is no camera") : Fail("cannot be asked", errno);
  }
  card.assign(reinterpret_cast<const char*>(capability.card), strnlen(reinterpret_cast<const char*>(capability.card), sizeof capability.card));
  const uint32_t can = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? capability.device_caps : capability.capabilities;
  if ((can & V4L2_CAP_VIDEO_CAPTURE) == 0) return InvalidArgument(options.device + ": this device takes no pictures (many cameras have a second one for metadata); try the one before it");
  if ((can & V4L2_CAP_STREAMING) == 0) return Unsupported(options.device + ": this camera cannot stream");
  MFS_RETURN_IF_ERROR(ChooseFormat());
  v4l2_streamparm rate{};
  rate.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (options.fps > 0) {
    rate.parm.capture.timeperframe = {1000, static_cast<uint32_t>(options.fps * 1000 + 0.5)};
    (void)calls->Ioctl(fd, VIDIOC_S_PARM, &rate);  // not every camera can; then it says below what it does
  }
  if (calls->Ioctl(fd, VIDIOC_G_PARM, &rate) == 0 && rate.parm.capture.timeperframe.numerator > 0) {
    fps = static_cast<double>(rate.parm.capture.timeperframe.denominator) / rate.parm.capture.timeperframe.numerator;
  }
  return Start();
}

Status CameraSource::Impl::ChooseFormat() {
  std::vector<uint32_t> offered;
  for (uint32_t i = 0; i < 64; ++i) {
    v4l2_fmtdesc d{};
    d.index = i;
    d.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    if (calls->Ioctl(fd, VIDIOC_ENUM_FMT, &d) < 0) break;
    offered.push_back(d.pixelformat);
  }
  const auto has = [&](uint32_t f) { return std::find(offered.begin(), offered.end(), f) != offered.end(); };
  std::string names;
  for (uint32_t f : offered) names += (names.empty() ? "" : ", ") + FourccText(f);
  uint32_t wanted = 0;
  if (!options.format.empty()) {
    MFS_ASSIGN_OR_RETURN(wanted, FourccOfName(options.format));
    if (!has(wanted)) return InvalidArgument(options.device + ": the camera has no format " + options.format + "; it has " + names);
  } else {
    std::vector<uint32_t> order = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_NV12,  V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_UYVY, V4L2_PIX_FMT_MJPEG,
                                   V4L2_PIX_FMT_JPEG, V4L2_PIX_FMT_RGB24, V4L2_PIX_FMT_BGR24,  V4L2_PIX_FMT_GREY};
    if (options.width * options.height > 640 * 480) order.insert(order.begin(), {V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_JPEG});
    for (uint32_t f : order) {
      if (wanted == 0 && has(f)) wanted = f;
    }
    if (wanted == 0) return Unsupported(options.device + ": the camera has no format that is known here; it has " + names);
  }
  v4l2_format format{};
  format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  format.fmt.pix.width = static_cast<uint32_t>(options.width);
  format.fmt.pix.height = static_cast<uint32_t>(options.height);
  format.fmt.pix.pixelformat = wanted;
  format.fmt.pix.field = V4L2_FIELD_NONE;
  if (calls->Ioctl(fd, VIDIOC_S_FMT, &format) < 0) return Fail("the picture size cannot be set", errno);
  const v4l2_pix_format& pix = format.fmt.pix;
  fourcc = pix.pixelformat;
  width = static_cast<int>(pix.width);
  height = static_cast<int>(pix.height);
  bytes_per_line = static_cast<int>(pix.bytesperline);
  if ((!IsJpeg(fourcc) && PixelFormatOfFourcc(fourcc) == AV_PIX_FMT_NONE) || width < 2 || height < 2 || width > 16384 || height > 16384) {
    return Unsupported(options.device + ": the camera insists on " + std::to_string(width) + "x" + std::to_string(height) + " " + FourccText(fourcc) + ", which is not known here");
  }
  uint32_t matrix = pix.ycbcr_enc, quantisation = pix.quantization;
  if (matrix == V4L2_YCBCR_ENC_DEFAULT) matrix = V4L2_MAP_YCBCR_ENC_DEFAULT(pix.colorspace);
  if (quantisation == V4L2_QUANTIZATION_DEFAULT) quantisation = V4L2_MAP_QUANTIZATION_DEFAULT(false, pix.colorspace, matrix);
  space = matrix == V4L2_YCBCR_ENC_709 || matrix == V4L2_YCBCR_ENC_XV709 ? AVCOL_SPC_BT709 : matrix == V4L2_YCBCR_ENC_BT2020 ? AVCOL_SPC_BT2020_NCL : AVCOL_SPC_SMPTE170M;
  range = quantisation == V4L2_QUANTIZATION_FULL_RANGE ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
  if (!IsJpeg(fourcc)) return Status::Ok();
  const AVCodec* codec = avcodec_find_decoder(AV_CODEC_ID_MJPEG);
  if (codec == nullptr) return Unsupported("the FFmpeg on this machine has no decoder for MJPEG; try --camera-format yuyv");
  decoder = avcodec_alloc_context3(codec);
  packet = av_packet_alloc();
  decoded = av_frame_alloc();
  if (decoder == nullptr || packet == nullptr || decoded == nullptr) return OutOfMemory("not enough memory for the camera");
  decoder->thread_count = 1;
  if (avcodec_open2(decoder, codec, nullptr) < 0) return Unsupported("the MJPEG decoder cannot be started; try --camera-format yuyv");
  return Status::Ok();
}

Status CameraSource::Impl::Start() {
  v4l2_requestbuffers request{};
  request.count = kBuffers;
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_MMAP;
  if (calls->Ioctl(fd, VIDIOC_REQBUFS, &request) < 0) return Fail("no buffers", errno);
  if (request.count < 2) return IoError(options.device + ": the camera has no memory for pictures");
  for (uint32_t i = 0; i < request.count; ++i) {
    v4l2_buffer b{};
    b.index = i;
    b.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    b.memory = V4L2_MEMORY_MMAP;
    if (calls->Ioctl(fd, VIDIOC_QUERYBUF, &b) < 0) return Fail("no buffers", errno);
    void* memory = calls->Map(fd, b.length, b.m.offset);
    if (memory == nullptr) return Fail("its buffers cannot be mapped", errno);
    buffers.push_back({memory, b.length});
    if (calls->Ioctl(fd, VIDIOC_QBUF, &b) < 0) return Fail("no buffers", errno);
  }
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (calls->Ioctl(fd, VIDIOC_STREAMON, &type) < 0) return Fail("cannot be started", errno);
  streaming = true;
  last_sign = LiveClock::now();
  return Status::Ok();
}

// *usable: false for a picture that is cut or no picture at all.
Status CameraSource::Impl::Fill(const v4l2_buffer& b, LiveFrame* frame, bool* usable) {
  *usable = false;
  if ((b.flags & V4L2_BUF_FLAG_ERROR) != 0 || b.index >= buffers.size()) return Status::Ok();
  const uint8_t* data = static_cast<const uint8_t*>(buffers[b.index].memory);
  const size_t size = std::min<size_t>(b.bytesused, buffers[b.index].length);
  if (IsJpeg(fourcc)) {
    if (size < 4 || size > (1u << 28) || av_new_packet(packet, static_cast<int>(size)) < 0) return Status::Ok();
    std::memcpy(packet->data, data, size);
    av_frame_unref(decoded);
    const bool good = avcodec_send_packet(decoder, packet) >= 0 && avcodec_receive_frame(decoder, decoded) >= 0 && decoded->decode_error_flags == 0 && (decoded->flags & AV_FRAME_FLAG_CORRUPT) == 0;
    av_packet_unref(packet);
    if (!good || decoded->width < 2 || decoded->height < 2) return Status::Ok();
    MFS_RETURN_IF_ERROR(frame->Adopt(decoded, &scaler));
    *usable = true;
    return Status::Ok();
  }
  const AVPixelFormat pixels = PixelFormatOfFourcc(fourcc);
  MFS_RETURN_IF_ERROR(frame->Reset(pixels, width, height));
  // The driver may pad its rows; planes follow each other with the first plane's rows, halved for the chroma of YU12.
  uint8_t* planes[4] = {};
  int lines[4] = {};
  if (av_image_fill_linesizes(lines, pixels, width) < 0) return Internal("unexpected pixel format");
  const int packed = lines[0];
  if (bytes_per_line > packed) {
    for (int p = 0; p < 4; ++p) lines[p] = static_cast<int>(int64_t{lines[p]} * bytes_per_line / packed);
  }
  const int needed = av_image_fill_pointers(planes, pixels, height, const_cast<uint8_t*>(data), lines);
  if (needed < 0 || size < static_cast<size_t>(needed)) return Status::Ok();
  av_image_copy(frame->av->data, frame->av->linesize, const_cast<const uint8_t**>(planes), lines, pixels, width, height);
  frame->av->color_range = range;
  frame->av->colorspace = space;
  *usable = true;
  return Status::Ok();
}

StatusOr<LiveRead> CameraSource::Read(LiveFrame* frame) {
  Impl& m = *impl_;
  const int ready = m.calls->Poll(m.fd, POLLIN, 100);
  const LiveClock::time_point now = LiveClock::now();
  if (ready < 0 && errno != EINTR) return m.Fail("cannot be read", errno);
  if (ready <= 0) {
    if (now - m.last_sign > kSilence) return IoError(m.options.device + ": the camera has sent nothing for 5 seconds");
    return LiveRead::kNothing;
  }
  // The newest of what lies ready; the others go back unread.
  v4l2_buffer newest{};
  bool have = false;
  for (;;) {
    v4l2_buffer b{};
    b.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    b.memory = V4L2_MEMORY_MMAP;
    if (m.calls->Ioctl(m.fd, VIDIOC_DQBUF, &b) < 0) {
      if (errno == EAGAIN) break;
      return m.Fail("cannot be read", errno);
    }
    if (have && m.calls->Ioctl(m.fd, VIDIOC_QBUF, &newest) < 0) return m.Fail("cannot be read", errno);
    newest = b;
    have = true;
  }
  if (!have) {
    // Ready, but with nothing to fetch: an error state. Without a pause this would spin.
    if (now - m.last_sign > kSilence) return IoError(m.options.device + ": the camera has sent nothing for 5 seconds");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return LiveRead::kNothing;
  }
  m.last_sign = now;
  bool usable = false;
  const Status filled = m.Fill(newest, frame, &usable);
  v4l2_buffer back = newest;
  if (m.calls->Ioctl(m.fd, VIDIOC_QBUF, &back) < 0) return m.Fail("cannot be read", errno);
  MFS_RETURN_IF_ERROR(filled);
  if (!usable) {
    ++m.garbage;
    return LiveRead::kNothing;
  }
  // The driver's time is when the picture was taken, which lies before it came through the cable; steady_clock is CLOCK_MONOTONIC on Linux.
  frame->captured = now;
  if ((newest.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC) {
    const LiveClock::time_point taken{std::chrono::seconds(newest.timestamp.tv_sec) + std::chrono::microseconds(newest.timestamp.tv_usec)};
    if (taken <= now && now - taken < std::chrono::seconds(1)) frame->captured = taken;
  }
  if (m.frames == 0) m.first = frame->captured;
  frame->seconds = std::chrono::duration<double>(frame->captured - m.first).count();
  frame->number = m.frames++;
  frame->orientation = 1;
  return LiveRead::kFrame;
}

std::string CameraSource::Describe() const {
  const Impl& m = *impl_;
  char rate[48] = "";
  if (m.fps > 0) snprintf(rate, sizeof rate, ", %.4g fps", m.fps);
  return "camera " + m.options.device + " (" + m.card + "), " + std::to_string(m.width) + "x" + std::to_string(m.height) + " " + FourccText(m.fourcc) + rate;
}

}  // namespace mfs
