#include "live/preview_encoder.h"

extern "C" {
#include <libavcodec/avcodec.h>
}

#include <algorithm>

namespace mfs {

PreviewEncoder::~PreviewEncoder() {
  avcodec_free_context(&encoder_);
  av_packet_free(&packet_);
  av_frame_free(&reference_);
}

StatusOr<std::string> PreviewEncoder::Encode(const LiveFrame& frame, int max_width) {
  const bool sideways = frame.orientation >= 5;
  const int w = sideways ? frame.av->height : frame.av->width, h = sideways ? frame.av->width : frame.av->height;
  const int width = std::max(2, std::min(w, max_width) & ~1), height = std::max(2, static_cast<int>(static_cast<int64_t>(h) * width / w) & ~1);
  const AVFrame* fitted = nullptr;
  MFS_RETURN_IF_ERROR(fitter_.Fit(frame, AV_PIX_FMT_YUVJ420P, width, height, &fitted));
  if (encoder_ != nullptr && (encoder_->width != width || encoder_->height != height)) avcodec_free_context(&encoder_);
  if (encoder_ == nullptr) {
    const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    if (codec == nullptr) return Unsupported("the FFmpeg on this machine has no JPEG encoder");
    encoder_ = avcodec_alloc_context3(codec);
    if (packet_ == nullptr) packet_ = av_packet_alloc();
    if (reference_ == nullptr) reference_ = av_frame_alloc();
    if (encoder_ == nullptr || packet_ == nullptr || reference_ == nullptr) return OutOfMemory("not enough memory for the preview");
    encoder_->width = width;
    encoder_->height = height;
    encoder_->pix_fmt = AV_PIX_FMT_YUVJ420P;
    encoder_->color_range = AVCOL_RANGE_JPEG;
    encoder_->time_base = {1, 25};
    encoder_->flags |= AV_CODEC_FLAG_QSCALE;
    encoder_->global_quality = 4 * FF_QP2LAMBDA;
    encoder_->thread_count = 1;
    if (avcodec_open2(encoder_, codec, nullptr) < 0) {
      avcodec_free_context(&encoder_);
      return Unsupported("the JPEG encoder cannot be started");
    }
  }
  av_frame_unref(reference_);
  if (av_frame_ref(reference_, fitted) < 0) return OutOfMemory("not enough memory for the preview");
  reference_->pts = pts_++;
  reference_->quality = encoder_->global_quality;
  const bool done = avcodec_send_frame(encoder_, reference_) >= 0 && avcodec_receive_packet(encoder_, packet_) >= 0;
  av_frame_unref(reference_);
  if (!done) return Internal("a preview picture could not be encoded");
  std::string jpeg(reinterpret_cast<const char*>(packet_->data), static_cast<size_t>(packet_->size));
  av_packet_unref(packet_);
  return jpeg;
}

}  // namespace mfs
