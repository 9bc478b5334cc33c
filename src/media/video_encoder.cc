#include "media/video_encoder.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "base/file.h"
#include "media/av_frame.h"

namespace mfs {
namespace {

const AVCodec* FindEncoder(const std::string& codec) {
  static const struct {
    const char *name, *encoder;
  } kNames[] = {{"x264", "libx264"}, {"h264", "libx264"}, {"x265", "libx265"}, {"hevc", "libx265"}, {"vp9", "libvpx-vp9"}, {"vp8", "libvpx"}, {"av1", "libsvtav1"}};
  std::string name = codec;
  for (const auto& n : kNames) {
    if (codec == n.name) name = n.encoder;
  }
  const AVCodec* found = avcodec_find_encoder_by_name(name.c_str());
  return found != nullptr && found->type == AVMEDIA_TYPE_VIDEO ? found : nullptr;
}

// What an encoder takes, up to AV_PIX_FMT_NONE; null: anything.
const AVPixelFormat* FormatsOf(const AVCodec* codec) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
  const void* formats = nullptr;
  if (avcodec_get_supported_config(nullptr, codec, AV_CODEC_CONFIG_PIX_FORMAT, 0, &formats, nullptr) < 0) return nullptr;
  return static_cast<const AVPixelFormat*>(formats);
#else
  return codec->pix_fmts;
#endif
}

// The mastering display as x264 and x265 want to hear of it: chromaticities in 0.00002, luminance in 0.0001 cd/m2.
std::string MasteringText(const AVMasteringDisplayMetadata& m) {
  const auto c = [](AVRational r) { return std::to_string(std::llround(av_q2d(r) * 50000)); };
  const auto l = [](AVRational r) { return std::to_string(std::llround(av_q2d(r) * 10000)); };
  const auto point = [&](const AVRational* p) { return "(" + c(p[0]) + "," + c(p[1]) + ")"; };
  return "G" + point(m.display_primaries[1]) + "B" + point(m.display_primaries[2]) + "R" + point(m.display_primaries[0]) + "WP" + point(m.white_point) + "L(" + l(m.max_luminance) + "," +
         l(m.min_luminance) + ")";
}

}  // namespace

Status CheckVideoOutput(const std::string& path, const VideoWriteOptions& options) {
  const AVCodec* codec = FindEncoder(options.codec);
  if (codec == nullptr) return InvalidArgument("no video encoder is called '" + options.codec + "' here; x264, x265, vp9, av1 and ffv1 are usual");
  const AVOutputFormat* container = av_guess_format(nullptr, path.c_str(), nullptr);
  if (container == nullptr || container->video_codec == AV_CODEC_ID_NONE) return InvalidArgument(path + ": unknown video format; name it .mp4, .mkv, .mov, .webm or .avi");
  // FFmpeg does not say what its Ogg writers take; they find out when all is encoded.
  const std::string name = container->name;
  const bool ogg = (name == "ogg" || name == "ogv") && codec->id != AV_CODEC_ID_THEORA && codec->id != AV_CODEC_ID_VP8;
  const bool mov = name == "mov" && (codec->id == AV_CODEC_ID_VP9 || codec->id == AV_CODEC_ID_AV1);  // it says yes, and takes them in .mp4 only
  const int answer = avformat_query_codec(container, codec->id, FF_COMPLIANCE_NORMAL);
  // Writers without a list of their own (gif, apng) take one codec; those of streams are known to take the usual ones.
  static const std::set<std::string> kStreams = {"mpegts", "mpeg", "vob", "svcd", "dvd", "ogg", "ogv"};
  const bool unknown = answer < 0 && codec->id != container->video_codec && kStreams.count(name) == 0;
  if (ogg || mov || unknown || answer == 0) {
    return InvalidArgument(path + ": a ." + Extension(path) + " file cannot hold " + options.codec + " video; name it .mkv, or choose another codec" + (name == "webm" ? " (vp9 or av1)" : ""));
  }
  // These encoders print to stderr, or take the value for another one.
  const std::string encoder = codec->name;
  if (encoder == "libx264" || encoder == "libx265") {
    static const std::set<std::string> kPresets = {"", "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"};
    if (kPresets.count(options.preset) == 0) return InvalidArgument("there is no preset '" + options.preset + "'; from ultrafast over veryfast, fast, medium and slow to veryslow");
    if (options.crf > 51) return InvalidArgument(options.codec + " knows a constant rate factor (crf) from 0 to 51");
  } else if (!options.preset.empty()) {
    return InvalidArgument(options.codec + ": presets are for x264 and x265; leave the preset out");
  }
  return Status::Ok();
}

struct VideoEncoder::Impl {
  std::string path;
  AVCodecContext* encoder = nullptr;
  AVPacket* packet = nullptr;
  SwsContext* scaler = nullptr;
  int64_t shift = 0;  // of the times by the trim
  StreamParameters parameters;
  struct Shown {
    int64_t index, duration;
  };
  std::map<int64_t, Shown> waiting;  // frames in the encoder, by time
  int64_t frames = 0, packets = 0;
  int reorder = 0;
  std::vector<std::string> warnings;

  ~Impl() {
    av_packet_free(&packet);
    avcodec_free_context(&encoder);
    sws_freeContext(scaler);
  }
  Status Open(const VideoReader& reader, const AVFrame* first, const VideoWriteOptions& options);
  Status Drain(const Sink& sink);
};

VideoEncoder::VideoEncoder() : impl_(std::make_unique<Impl>()) {}
VideoEncoder::~VideoEncoder() = default;
const StreamParameters& VideoEncoder::parameters() const { return impl_->parameters; }
int VideoEncoder::reorder() const { return impl_->reorder; }
const std::vector<std::string>& VideoEncoder::warnings() const { return impl_->warnings; }

StatusOr<std::unique_ptr<VideoEncoder>> VideoEncoder::Create(const std::string& path, const VideoReader& reader, const VideoFrame& first, const VideoWriteOptions& options) {
  MFS_RETURN_IF_ERROR(CheckVideoOutput(path, options));
  std::unique_ptr<VideoEncoder> encoder(new VideoEncoder());
  encoder->impl_->path = path;
  MFS_RETURN_IF_ERROR(encoder->impl_->Open(reader, first.av_frame(), options));
  return encoder;
}

Status VideoEncoder::Impl::Open(const VideoReader& reader, const AVFrame* first, const VideoWriteOptions& options) {
  const AVCodec* codec = FindEncoder(options.codec);
  const AVOutputFormat* container = av_guess_format(nullptr, path.c_str(), nullptr);
  const StreamParameters& source = reader.source();
  encoder = NewCodecContext(codec);
  packet = av_packet_alloc();
  if (encoder == nullptr || packet == nullptr) return OutOfMemory("not enough memory for the encoder");
  // A packet of an AVI has no time of display: reordered frames would come late against the sound.
  if (container != nullptr && std::strcmp(container->name, "avi") == 0) encoder->max_b_frames = 0;
  encoder->width = first->width;
  encoder->height = first->height;
  encoder->sample_aspect_ratio = reader.info().container_aspect || first->sample_aspect_ratio.num <= 0 ? source.codec->sample_aspect_ratio : first->sample_aspect_ratio;
  encoder->time_base = {source.time_base[0], source.time_base[1]};
  encoder->framerate = {source.frame_rate[0], source.frame_rate[1]};
  encoder->color_range = first->color_range;
  encoder->color_primaries = first->color_primaries;
  encoder->color_trc = first->color_trc;
  encoder->colorspace = first->colorspace;
  encoder->chroma_sample_location = first->chroma_location;
  encoder->thread_count = options.threads;
  if (codec->id == AV_CODEC_ID_FFV1) {
    encoder->level = 3;  // slices with checksums, several threads
    encoder->gop_size = 1;
  }
  const AVPixelFormat have = static_cast<AVPixelFormat>(first->format);
  encoder->pix_fmt = have;
  if (const AVPixelFormat* formats = FormatsOf(codec); formats != nullptr) {
    bool supported = false;
    for (const AVPixelFormat* p = formats; *p != AV_PIX_FMT_NONE; ++p) supported = supported || *p == have;
    if (!supported) {
      encoder->pix_fmt = avcodec_find_best_pix_fmt_of_list(formats, have, 0, nullptr);
      warnings.push_back(options.codec + " cannot hold " + av_get_pix_fmt_name(have) + " pixels; they are converted to " + av_get_pix_fmt_name(encoder->pix_fmt));
    }
  }
  // Colours that become brightness and colour differences on the way (av_frame.h says by which rule).
  const AVPixFmtDescriptor* had = av_pix_fmt_desc_get(have);
  if (had != nullptr && (had->flags & AV_PIX_FMT_FLAG_RGB) != 0 && (av_pix_fmt_desc_get(encoder->pix_fmt)->flags & AV_PIX_FMT_FLAG_RGB) == 0) {
    encoder->colorspace = AVCOL_SPC_BT709, encoder->color_range = AVCOL_RANGE_MPEG;
  }
  const std::string name = codec->name;
  const bool x264 = name == "libx264", x265 = name == "libx265";
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(encoder->pix_fmt);
  if (x264 && d != nullptr && (d->comp[0].depth > 8 || (d->nb_components >= 3 && d->log2_chroma_w == 0))) {
    warnings.push_back(std::string("x264 with ") + av_get_pix_fmt_name(encoder->pix_fmt) + " pixels is shown by few players" +
                       (d->comp[0].depth > 8 ? "; --codec x265 is usual for 10 bits" : "; convert the video to yuv420p first if that matters"));
  }
  if ((x264 || x265) && d != nullptr && ((encoder->width & ((1 << d->log2_chroma_w) - 1)) != 0 || (encoder->height & ((1 << d->log2_chroma_h) - 1)) != 0)) {
    return Unsupported(options.codec + " needs even sides for these pixels, and the video is " + std::to_string(encoder->width) + "x" + std::to_string(encoder->height) +
                       "; use --codec vp9 or --codec ffv1 with a .mkv, or crop the video first");
  }
  if (Interlaced(first)) {
    if (x265) {
      warnings.push_back("the video is interlaced; x265 stores it as full frames (x264 and ffv1 keep it)");
    } else {
      encoder->flags |= AV_CODEC_FLAG_INTERLACED_DCT | AV_CODEC_FLAG_INTERLACED_ME;
      encoder->field_order = TopFieldFirst(first) ? AV_FIELD_TT : AV_FIELD_BB;
    }
  }
  const StreamParameters::SideData* turn = nullptr;
  for (const StreamParameters::SideData& side : source.side_data) turn = side.type == AV_PKT_DATA_DISPLAYMATRIX ? &side : turn;
  if (turn != nullptr && turn->bytes.size() >= 9 * sizeof(int32_t)) {
    int32_t matrix[9];
    std::memcpy(matrix, turn->bytes.data(), sizeof matrix);
    if (!IsQuickTime(container) && OrientationOf(matrix) != 1) {
      return InvalidArgument(path + ": the video is stored on its side or mirrored, and a ." + Extension(path) + " file cannot say so; name the output .mp4 or .mov");
    }
  }
  if (container->flags & AVFMT_GLOBALHEADER) encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;

  // Side data that belongs to the stream as a whole; what only the frames say is lifted to the stream.
  for (const StreamParameters::SideData& side : source.side_data) {
    switch (side.type) {
      case AV_PKT_DATA_DISPLAYMATRIX:
      case AV_PKT_DATA_MASTERING_DISPLAY_METADATA:
      case AV_PKT_DATA_CONTENT_LIGHT_LEVEL:
      case AV_PKT_DATA_STEREO3D:
      case AV_PKT_DATA_SPHERICAL: parameters.side_data.push_back(side); break;
      case AV_PKT_DATA_DOVI_CONF: warnings.push_back("the video's Dolby Vision layer describes the old picture and is left out"); break;
      default: break;
    }
  }
  const auto find = [&](int type) -> const StreamParameters::SideData* {
    for (const auto& s : parameters.side_data) {
      if (s.type == type) return &s;
    }
    return nullptr;
  };
  const struct {
    AVFrameSideDataType frame;
    AVPacketSideDataType packet;
  } kLifted[] = {{AV_FRAME_DATA_MASTERING_DISPLAY_METADATA, AV_PKT_DATA_MASTERING_DISPLAY_METADATA}, {AV_FRAME_DATA_CONTENT_LIGHT_LEVEL, AV_PKT_DATA_CONTENT_LIGHT_LEVEL}};
  const std::vector<StreamParameters::SideData> of_container = parameters.side_data;
  for (const auto& l : kLifted) {
    const AVFrameSideData* side = av_frame_get_side_data(first, l.frame);
    if (side != nullptr && find(l.packet) == nullptr) parameters.side_data.push_back({l.packet, std::string(reinterpret_cast<const char*>(side->data), side->size)});
  }
  if (av_frame_get_side_data(first, AV_FRAME_DATA_DYNAMIC_HDR_PLUS) != nullptr) warnings.push_back("HDR10+ data of the single frames is left out; the encoder cannot write it");
  std::string hdr;
  if (const auto* s = find(AV_PKT_DATA_MASTERING_DISPLAY_METADATA); s != nullptr && s->bytes.size() >= sizeof(AVMasteringDisplayMetadata)) {
    AVMasteringDisplayMetadata m;
    std::memcpy(&m, s->bytes.data(), sizeof m);
    if (m.has_primaries != 0 && m.has_luminance != 0) hdr += (x264 ? ":mastering-display=" : ":master-display=") + MasteringText(m);
  }
  if (const auto* s = find(AV_PKT_DATA_CONTENT_LIGHT_LEVEL); s != nullptr && s->bytes.size() >= sizeof(AVContentLightMetadata)) {
    AVContentLightMetadata c;
    std::memcpy(&c, s->bytes.data(), sizeof c);
    hdr += (x264 ? ":cll=" : ":max-cll=") + std::to_string(c.MaxCLL) + "," + std::to_string(c.MaxFALL);
  }

  // x264 and x265 write it into the stream: the container says it only where the old one did.
  if (x264 || x265) parameters.side_data = of_container;

  AVDictionary* settings = nullptr;
  if (x264 || x265) av_dict_set(&settings, "preset", options.preset.empty() ? "veryfast" : options.preset.c_str(), 0);
  if (x265) av_dict_set(&settings, "x265-params", ("log-level=none:pools=" + std::to_string(options.threads) + hdr).c_str(), 0);
  if (x264 && !hdr.empty()) av_dict_set(&settings, "x264-params", hdr.c_str() + 1, 0);
  if (options.crf >= 0 || x264) {
    char crf[32];
    snprintf(crf, sizeof crf, "%g", options.crf >= 0 ? options.crf : 18.0);
    av_dict_set(&settings, "crf", crf, 0);
    if (name.rfind("libvpx", 0) == 0) encoder->bit_rate = 0;
  }
  const int error = avcodec_open2(encoder, codec, &settings);
  const AVDictionaryEntry* unused = av_dict_get(settings, "", nullptr, AV_DICT_IGNORE_SUFFIX);
  const std::string unused_name = unused == nullptr ? "" : unused->key;
  av_dict_free(&settings);
  if (error < 0) {
    return InvalidArgument("the encoder " + options.codec + " refuses these settings (size " + std::to_string(first->width) + "x" + std::to_string(first->height) +
                           ", preset or crf): " + AvText(error));
  }
  if (!unused_name.empty()) warnings.push_back(options.codec + " has no option " + unused_name + "; it was ignored");
  if (parameters.codec == nullptr || avcodec_parameters_from_context(parameters.codec, encoder) < 0) return OutOfMemory("not enough memory for the encoder");
  // The container says of the fields what the old one said (it may know in which order they are stored and shown).
  if (!Interlaced(first) || !x265) parameters.codec->field_order = source.codec->field_order;
  parameters.time_base[0] = encoder->time_base.num, parameters.time_base[1] = encoder->time_base.den;
  parameters.frame_rate[0] = encoder->framerate.num, parameters.frame_rate[1] = encoder->framerate.den;
  if (reader.options().trim_start > 0) shift = std::llround(reader.options().trim_start / av_q2d(encoder->time_base));
  return Status::Ok();
}

Status VideoEncoder::Impl::Drain(const Sink& sink) {
  for (;;) {
    const int error = avcodec_receive_packet(encoder, packet);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return Status::Ok();
    if (error < 0) return Internal(path + ": encoding failed: " + AvText(error));
    const auto shown = waiting.find(packet->pts);
    if (shown == waiting.end()) return Internal(path + ": the encoder changed the time of a frame");
    reorder = std::max(reorder, static_cast<int>(packets - shown->second.index));
    ++packets;
    const Status status = sink({packet->pts, shown->second.duration, (packet->flags & AV_PKT_FLAG_KEY) != 0, packet->data, static_cast<size_t>(packet->size)});
    waiting.erase(shown);
    av_packet_unref(packet);
    MFS_RETURN_IF_ERROR(status);
  }
}

Status VideoEncoder::Send(const VideoFrame& frame, const Sink& sink) {
  Impl& m = *impl_;
  AVFrame* f = frame.av_frame();
  if (f == nullptr || f->buf[0] == nullptr) return InvalidArgument("the video frame is empty");
  AVFrame* send = av_frame_alloc();
  if (send == nullptr) return OutOfMemory("not enough memory for a video frame");
  Status status;
  if (f->format != m.encoder->pix_fmt) {
    status = ConvertFrame(f, m.encoder->pix_fmt, &m.scaler, send);
  } else if (av_frame_ref(send, f) < 0) {
    status = OutOfMemory("not enough memory for a video frame");
  }
  if (status.ok()) {
    send->pts -= m.shift;
    send->pict_type = AV_PICTURE_TYPE_NONE;  // the encoder decides, not the old file
    m.waiting[send->pts] = {m.frames++, std::max<int64_t>(0, DurationOf(f))};
    const int error = avcodec_send_frame(m.encoder, send);
    if (error < 0) status = Internal(m.path + ": encoding failed: " + AvText(error));
  }
  av_frame_free(&send);
  MFS_RETURN_IF_ERROR(status);
  return m.Drain(sink);
}

Status VideoEncoder::Finish(const Sink& sink) {
  const int error = avcodec_send_frame(impl_->encoder, nullptr);
  if (error < 0 && error != AVERROR_EOF) return Internal(impl_->path + ": encoding failed: " + AvText(error));
  return impl_->Drain(sink);
}

}  // namespace mfs
