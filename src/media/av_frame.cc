#include "media/av_frame.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <cmath>
#include <cstring>

namespace mfs {

std::string AvText(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(error, text, sizeof text);
  return text;
}

AVCodecContext* NewCodecContext(const AVCodec* codec) {
  AVCodecContext* context = avcodec_alloc_context3(codec);
  if (context != nullptr) context->log_level_offset = AV_LOG_MAX_OFFSET;  // every message counts as so much less important
  return context;
}

bool Describable(AVPixelFormat format) {
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(format);
  if (d == nullptr) return false;
  if (d->flags & (AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER)) return false;
  const int colors = d->nb_components - ((d->flags & AV_PIX_FMT_FLAG_ALPHA) ? 1 : 0);
  if (colors != 1 && colors != 3) return false;
  for (int c = 0; c < colors; ++c) {
    if (d->comp[c].depth < 8 || d->comp[c].depth != d->comp[0].depth || d->comp[c].shift != d->comp[0].shift) return false;
  }
  if ((d->flags & AV_PIX_FMT_FLAG_BE) && d->comp[0].depth > 8) return false;
  return d->log2_chroma_w <= 2 && d->log2_chroma_h <= 2;
}

AVPixelFormat Describe(AVPixelFormat format) {
  if (Describable(format)) return format;
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(format);
  const bool deep = d != nullptr && d->comp[0].depth > 8;
  return deep ? AV_PIX_FMT_GBRP16 : AV_PIX_FMT_GBRP;
}

FrameView MakeView(const AVFrame* f, int orientation) {
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(f->format));
  FrameView v;
  v.stored_width = f->width;
  v.stored_height = f->height;
  v.orientation = orientation;
  v.bits = d->comp[0].depth;
  v.sample_shift = d->comp[0].shift;
  const int colors = d->nb_components - ((d->flags & AV_PIX_FMT_FLAG_ALPHA) ? 1 : 0);
  v.model = colors == 1 ? ColorModel::kGray : (d->flags & AV_PIX_FMT_FLAG_RGB) ? ColorModel::kRgb : ColorModel::kYuv;
  v.full_range = f->color_range == AVCOL_RANGE_JPEG || std::strncmp(d->name, "yuvj", 4) == 0 || v.model != ColorModel::kYuv;
  switch (f->colorspace) {
    case AVCOL_SPC_BT709: v.kr = 0.2126f, v.kb = 0.0722f; break;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL: v.kr = 0.2627f, v.kb = 0.0593f; break;
    case AVCOL_SPC_SMPTE240M: v.kr = 0.212f, v.kb = 0.087f; break;
    case AVCOL_SPC_FCC: v.kr = 0.30f, v.kb = 0.11f; break;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M: break;
    default:  // not said: what players assume
      if (f->height >= 720) v.kr = 0.2126f, v.kb = 0.0722f;
  }
  for (int c = 0; c < v.num_components(); ++c) {
    const AVComponentDescriptor& k = d->comp[c];
    const bool chroma = v.model == ColorModel::kYuv && c > 0;
    v.component[c] = {f->data[k.plane] + k.offset, f->linesize[k.plane], k.step, chroma ? d->log2_chroma_w : 0, chroma ? d->log2_chroma_h : 0};
  }
  return v;
}

int64_t DurationOf(const AVFrame* frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
  return frame->duration;
#else
  return frame->pkt_duration;
#endif
}

bool Interlaced(const AVFrame* frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
  return (frame->flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
  return frame->interlaced_frame != 0;
#endif
}

bool TopFieldFirst(const AVFrame* frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
  return (frame->flags & AV_FRAME_FLAG_TOP_FIELD_FIRST) != 0;
#else
  return frame->top_field_first != 0;
#endif
}

std::vector<std::pair<int, std::string>> SideDataOf(const AVStream* stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVPacketSideData* side = stream->codecpar->coded_side_data;
  const int count = stream->codecpar->nb_coded_side_data;
#else
  const AVPacketSideData* side = stream->side_data;
  const int count = stream->nb_side_data;
#endif
  std::vector<std::pair<int, std::string>> all;
  for (int i = 0; i < count; ++i) all.emplace_back(side[i].type, std::string(reinterpret_cast<const char*>(side[i].data), side[i].size));
  return all;
}

void AddSideData(AVStream* stream, int type, const std::string& bytes) {
  const auto kind = static_cast<AVPacketSideDataType>(type);
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  AVCodecParameters* p = stream->codecpar;
  AVPacketSideData* side = av_packet_side_data_new(&p->coded_side_data, &p->nb_coded_side_data, kind, bytes.size(), 0);
  if (side != nullptr) std::memcpy(side->data, bytes.data(), bytes.size());
#else
  uint8_t* copy = av_stream_new_side_data(stream, kind, bytes.size());
  if (copy != nullptr) std::memcpy(copy, bytes.data(), bytes.size());
#endif
}

int OrientationOf(const AVStream* stream) {
  for (const auto& [type, bytes] : SideDataOf(stream)) {
    int32_t m[9];
    if (type != AV_PKT_DATA_DISPLAYMATRIX || bytes.size() < sizeof m) continue;
    std::memcpy(m, bytes.data(), sizeof m);
    return OrientationOf(m);
  }
  return 1;
}

int OrientationOf(const int32_t m[9]) {
  // Mirrored (a phone's front camera): x' = m0 x + m3 y, y' = m1 x + m4 y.
  if (int64_t{m[0]} * m[4] - int64_t{m[1]} * m[3] < 0) {
    if (std::abs(int64_t{m[0]}) > std::abs(int64_t{m[1]})) return m[0] < 0 ? 2 : 4;
    return m[1] > 0 ? 5 : 7;
  }
  const double angle = av_display_rotation_get(m);  // counter-clockwise
  if (std::isnan(angle)) return 1;
  switch ((static_cast<int>(std::lround(-angle / 90)) % 4 + 4) % 4) {
    case 1: return 6;
    case 2: return 3;
    case 3: return 8;
    default: return 1;
  }
}

bool IsQuickTime(const AVOutputFormat* container) {
  for (const char* name : {"mp4", "mov", "ipod", "3gp"}) {
    if (std::strcmp(container->name, name) == 0) return true;
  }
  return false;
}

Status ConvertFrame(const AVFrame* in, AVPixelFormat format, SwsContext** scaler, AVFrame* out) {
  *scaler = sws_getCachedContext(*scaler, in->width, in->height, static_cast<AVPixelFormat>(in->format), in->width, in->height, format, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, nullptr,
                                 nullptr, nullptr);
  if (*scaler == nullptr) return Unsupported("the video's pixel format cannot be converted");
  const int* coefficients = sws_getCoefficients(in->colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_DEFAULT : in->colorspace);
  sws_setColorspaceDetails(*scaler, coefficients, in->color_range == AVCOL_RANGE_JPEG, coefficients, in->color_range == AVCOL_RANGE_JPEG, 0, 1 << 16, 1 << 16);
  // RGB to YUV: high definition's rule and range, as players take for granted where nothing is said.
  const bool becomes_yuv = (av_pix_fmt_desc_get(static_cast<AVPixelFormat>(in->format))->flags & AV_PIX_FMT_FLAG_RGB) != 0 && (av_pix_fmt_desc_get(format)->flags & AV_PIX_FMT_FLAG_RGB) == 0;
  if (becomes_yuv) sws_setColorspaceDetails(*scaler, sws_getCoefficients(SWS_CS_ITU709), 1, sws_getCoefficients(SWS_CS_ITU709), 0, 0, 1 << 16, 1 << 16);
  out->format = format;
  out->width = in->width;
  out->height = in->height;
  if (av_frame_copy_props(out, in) < 0 || av_frame_get_buffer(out, 0) < 0) return OutOfMemory("not enough memory for a video frame");
  if (becomes_yuv) out->colorspace = AVCOL_SPC_BT709, out->color_range = AVCOL_RANGE_MPEG;
  if (sws_scale(*scaler, in->data, in->linesize, 0, in->height, out->data, out->linesize) < 0) return Unsupported("the video's pixel format cannot be converted");
  return Status::Ok();
}

}  // namespace mfs
