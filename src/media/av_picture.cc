#include "media/av_picture.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libswscale/swscale.h>
}

#include <cmath>
#include <cstring>

#include "media/av_frame.h"

namespace mfs {
namespace {

struct CodecFree {
  void operator()(AVCodecContext* c) const { avcodec_free_context(&c); }
};
struct FrameFree {
  void operator()(AVFrame* f) const { av_frame_free(&f); }
};
struct PacketFree {
  void operator()(AVPacket* p) const { av_packet_free(&p); }
};

}  // namespace

Status DecodeWithLibavcodec(const std::string& bytes, const std::string& format, const PictureReadOptions& options, Picture* picture) {
  const Status damaged = CorruptData("the " + format + " picture is cut or damaged");
  if (bytes.size() < 26) return damaged;
  const auto u16 = [&](size_t at) { return static_cast<unsigned char>(bytes[at]) | static_cast<unsigned char>(bytes[at + 1]) << 8; };
  const auto i32 = [&](size_t at) { return static_cast<int32_t>(static_cast<uint32_t>(u16(at)) | static_cast<uint32_t>(u16(at + 2)) << 16); };
  const int64_t w = format == "bmp" ? i32(18) : u16(6), h = format == "bmp" ? std::llabs(static_cast<int64_t>(i32(22))) : u16(8);
  if (w <= 0 || h <= 0) return damaged;
  if (w > options.max_pixels / h) {
    return OutOfMemory("the picture has " + std::to_string(w) + "x" + std::to_string(h) + " pixels, more than the limit of " + std::to_string(options.max_pixels / 1000000) +
                       " megapixels; make it smaller first");
  }
  const AVCodec* codec = avcodec_find_decoder(format == "bmp" ? AV_CODEC_ID_BMP : AV_CODEC_ID_GIF);
  if (codec == nullptr) return Unsupported("the FFmpeg on this machine has no " + format + " decoder");
  const std::unique_ptr<AVCodecContext, CodecFree> context(NewCodecContext(codec));
  const std::unique_ptr<AVPacket, PacketFree> packet(av_packet_alloc());
  const std::unique_ptr<AVFrame, FrameFree> frame(av_frame_alloc());
  if (avcodec_open2(context.get(), codec, nullptr) < 0 || av_new_packet(packet.get(), static_cast<int>(bytes.size())) < 0) return damaged;
  std::memcpy(packet->data, bytes.data(), bytes.size());
  if (avcodec_send_packet(context.get(), packet.get()) < 0) return damaged;
  (void)avcodec_send_packet(context.get(), nullptr);
  if (avcodec_receive_frame(context.get(), frame.get()) < 0) return damaged;
  SwsContext* scaler = sws_getContext(frame->width, frame->height, static_cast<AVPixelFormat>(frame->format), frame->width, frame->height, AV_PIX_FMT_RGB24, SWS_POINT, nullptr, nullptr, nullptr);
  if (scaler == nullptr) return damaged;
  picture->stored_width = frame->width;
  picture->stored_height = frame->height;
  picture->channels = 3;
  picture->pixels.resize(static_cast<size_t>(frame->width) * frame->height * 3 + 64);
  uint8_t* planes[4] = {picture->pixels.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {frame->width * 3, 0, 0, 0};
  sws_scale(scaler, frame->data, frame->linesize, 0, frame->height, planes, strides);
  sws_freeContext(scaler);
  picture->pixels.resize(static_cast<size_t>(frame->width) * frame->height * 3);
  if (format == "gif") picture->warnings.push_back("GIF: only the first frame is used, without transparency");
  return Status::Ok();
}

StatusOr<std::string> EncodeBmp(const Picture& picture) {
  const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_BMP);
  if (codec == nullptr) return Unsupported("the FFmpeg on this machine has no BMP encoder");
  const std::unique_ptr<AVCodecContext, CodecFree> context(NewCodecContext(codec));
  const std::unique_ptr<AVPacket, PacketFree> packet(av_packet_alloc());
  const std::unique_ptr<AVFrame, FrameFree> frame(av_frame_alloc());
  context->width = frame->width = picture.stored_width;
  context->height = frame->height = picture.stored_height;
  context->pix_fmt = AV_PIX_FMT_BGR24;
  frame->format = AV_PIX_FMT_BGR24;
  context->time_base = {1, 1};
  if (avcodec_open2(context.get(), codec, nullptr) < 0 || av_frame_get_buffer(frame.get(), 0) < 0) return Internal("the BMP could not be started");
  for (int y = 0; y < picture.stored_height; ++y) {
    const uint8_t* s = &picture.pixels[static_cast<size_t>(y) * picture.stored_width * 3];
    uint8_t* d = frame->data[0] + y * static_cast<ptrdiff_t>(frame->linesize[0]);
    for (int x = 0; x < picture.stored_width; ++x, s += 3, d += 3) d[0] = s[2], d[1] = s[1], d[2] = s[0];
  }
  if (avcodec_send_frame(context.get(), frame.get()) < 0 || avcodec_receive_packet(context.get(), packet.get()) < 0) {
    return Internal("the BMP could not be written");
  }
  return std::string(reinterpret_cast<char*>(packet->data), packet->size);
}

}  // namespace mfs
