#include "media/video.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>

#include "base/file.h"
#include "media/av_frame.h"

namespace mfs {
namespace {

constexpr char kNote[] = "generated with a face-swapping tool (MobileFaceSwap)";

std::string Seconds(double s) {
  char text[32];
  snprintf(text, sizeof text, "%.2f s", s);
  return text;
}

Status WriteError(const std::string& path, int error) {
  if (error == AVERROR(ENOSPC)) return DiskFull(path + ": the disk is full");
  return IoError(path + ": writing failed: " + AvText(error));
}

}  // namespace

// ---- frames ----

VideoFrame::VideoFrame() : frame_(av_frame_alloc()) {}
VideoFrame::~VideoFrame() { av_frame_free(&frame_); }
VideoFrame::VideoFrame(VideoFrame&& other) noexcept : VideoFrame() { *this = std::move(other); }
VideoFrame& VideoFrame::operator=(VideoFrame&& other) noexcept {
  std::swap(frame_, other.frame_);
  std::swap(seconds_, other.seconds_);
  std::swap(orientation_, other.orientation_);
  return *this;
}

StatusOr<FrameView> VideoFrame::View() {
  if (frame_ == nullptr || frame_->buf[0] == nullptr) return InvalidArgument("the video frame is empty");
  if (av_frame_make_writable(frame_) < 0) return OutOfMemory("not enough memory for a video frame");
  return MakeView(frame_, orientation_);
}

// ---- reading ----

struct VideoReader::Impl {
  std::string path;
  VideoReadOptions options;
  VideoInfo info;
  AVFormatContext* format = nullptr;
  AVCodecContext* decoder = nullptr;
  AVPacket* packet = nullptr;
  SwsContext* scaler = nullptr;
  int video = -1;
  int orientation = 1;
  int64_t origin = 0;        // of the file, in AV_TIME_BASE units
  int64_t last_pts = AV_NOPTS_VALUE, frame_ticks = 1;
  int64_t frames_read = 0;
  double last_end = 0;       // of the video read so far, seconds
  double demuxed_end = 0;    // of everything read so far, all streams, seconds
  bool demuxed_all = false, done = false, damaged = false;
  int width = 0, height = 0, pixel_format = -1;
  std::deque<AVPacket*> others;  // packets of the other streams, not yet taken by a writer

  ~Impl() {
    for (AVPacket* p : others) av_packet_free(&p);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&format);
    sws_freeContext(scaler);
  }
  AVStream* stream() const { return format->streams[video]; }
  double StartSeconds() const { return static_cast<double>(origin) / AV_TIME_BASE; }
};

VideoReader::VideoReader() : impl_(std::make_unique<Impl>()) {}
VideoReader::~VideoReader() = default;
const VideoInfo& VideoReader::info() const { return impl_->info; }

StatusOr<std::unique_ptr<VideoReader>> VideoReader::Open(const std::string& path, const VideoReadOptions& options) {
  if (!(options.trim_start >= 0)) return InvalidArgument("--trim-start must not be negative");
  if (options.trim_end >= 0 && options.trim_end <= options.trim_start) return InvalidArgument("--trim-end must lie behind --trim-start");
  // Tells a missing file, a folder and an unreadable file apart better than FFmpeg does.
  {
    MFS_ASSIGN_OR_RETURN(const MappedFile map, MappedFile::Open(path));
    if (map.size() == 0) return CorruptData(path + ": the file is empty");
  }
  std::unique_ptr<VideoReader> reader(new VideoReader());
  Impl& m = *reader->impl_;
  m.path = path;
  m.options = options;
  // "file:" keeps a name with a colon from being taken for a protocol.
  int error = avformat_open_input(&m.format, ("file:" + path).c_str(), nullptr, nullptr);
  if (error < 0) {
    return CorruptData(path + ": this is no video, or it is cut before its index (" + AvText(error) + ")");
  }
  error = avformat_find_stream_info(m.format, nullptr);
  if (error < 0) return CorruptData(path + ": the streams cannot be read (" + AvText(error) + ")");
  bool audio = false;
  for (unsigned i = 0; i < m.format->nb_streams; ++i) {
    const AVStream* s = m.format->streams[i];
    audio = audio || s->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
    if (m.video < 0 && s->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !(s->disposition & AV_DISPOSITION_ATTACHED_PIC)) m.video = static_cast<int>(i);
  }
  // FFmpeg finds subtitles and "ansi art" in plain text.
  const std::string container = m.format->iformat->name;
  if (m.video < 0 || container == "tty") {
    return audio ? Unsupported(path + ": the file has sound but no picture; give a video or a picture")
                 : CorruptData(path + ": this is no video");
  }
  AVStream* s = m.stream();
  const AVCodec* codec = avcodec_find_decoder(s->codecpar->codec_id);
  if (codec == nullptr) return Unsupported(path + ": the FFmpeg on this machine has no decoder for " + avcodec_get_name(s->codecpar->codec_id));
  m.decoder = avcodec_alloc_context3(codec);
  m.packet = av_packet_alloc();
  if (m.decoder == nullptr || m.packet == nullptr || avcodec_parameters_to_context(m.decoder, s->codecpar) < 0) return OutOfMemory("not enough memory for the decoder");
  m.decoder->thread_count = options.threads;
  m.decoder->pkt_timebase = s->time_base;
  error = avcodec_open2(m.decoder, codec, nullptr);
  if (error < 0) return Unsupported(path + ": the decoder cannot be started (" + AvText(error) + ")");
  m.orientation = OrientationOf(s);
  if (s->codecpar->width <= 0 || s->codecpar->height <= 0) return CorruptData(path + ": the video has no picture size; it is damaged");
  m.origin = m.format->start_time == AV_NOPTS_VALUE ? 0 : m.format->start_time;

  const bool turned = m.orientation >= 5;
  m.info.width = turned ? s->codecpar->height : s->codecpar->width;
  m.info.height = turned ? s->codecpar->width : s->codecpar->height;
  const AVRational rate = av_guess_frame_rate(m.format, s, nullptr);
  m.info.fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 25;
  m.frame_ticks = std::max<int64_t>(1, std::llround(1 / (m.info.fps * av_q2d(s->time_base))));
  if (s->duration > 0) {
    m.info.seconds = s->duration * av_q2d(s->time_base);
  } else if (m.format->duration > 0) {
    m.info.seconds = static_cast<double>(m.format->duration) / AV_TIME_BASE;
  }
  m.info.frames = s->nb_frames > 0 ? s->nb_frames : std::llround(m.info.seconds * m.info.fps);
  if (options.trim_start > 0 || options.trim_end >= 0) {
    const double end = options.trim_end >= 0 ? options.trim_end : m.info.seconds;
    if (m.info.seconds > 0 && options.trim_start >= m.info.seconds) {
      return InvalidArgument(path + ": --trim-start lies behind the end of the video (" + Seconds(m.info.seconds) + ")");
    }
    m.info.frames = std::max<int64_t>(0, std::llround((std::min(end, m.info.seconds) - options.trim_start) * m.info.fps));
  }
  m.info.codec = avcodec_get_name(s->codecpar->codec_id);
  const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(s->codecpar->format));
  m.info.pixel_format = name == nullptr ? "unknown" : name;
  m.info.other_streams = static_cast<int>(m.format->nb_streams) - 1;
  for (unsigned i = 0; i < m.format->nb_streams; ++i) {
    if (static_cast<int>(i) != m.video && !options.keep_other_streams) m.format->streams[i]->discard = AVDISCARD_ALL;
  }
  if (options.trim_start > 0) {
    const int64_t target = m.origin + std::llround(options.trim_start * AV_TIME_BASE);
    // A file that cannot seek is read from its start; frames before the cut are dropped either way.
    (void)av_seek_frame(m.format, -1, target, AVSEEK_FLAG_BACKWARD);
  }
  return reader;
}

StatusOr<bool> VideoReader::Read(VideoFrame* out) {
  Impl& m = *impl_;
  const double tick = av_q2d(m.stream()->time_base);
  while (!m.done) {
    av_frame_unref(out->frame_);
    int error = avcodec_receive_frame(m.decoder, out->frame_);
    if (error >= 0) {
      AVFrame* f = out->frame_;
      f->pts = f->best_effort_timestamp;
      if (f->pts == AV_NOPTS_VALUE) f->pts = m.last_pts == AV_NOPTS_VALUE ? 0 : m.last_pts + m.frame_ticks;
      if (m.last_pts != AV_NOPTS_VALUE && f->pts <= m.last_pts) f->pts = m.last_pts + 1;  // encoders want rising times
      m.last_pts = f->pts;
      const double seconds = f->pts * tick - m.StartSeconds();
      m.last_end = seconds + (f->pkt_duration > 0 ? f->pkt_duration : m.frame_ticks) * tick;
      if (seconds < m.options.trim_start - tick / 2) continue;
      if (m.options.trim_end >= 0 && seconds >= m.options.trim_end - tick / 2) {
        m.done = true;
        break;
      }
      if (m.width == 0) {
        m.width = f->width, m.height = f->height, m.pixel_format = f->format;
      } else if (m.width != f->width || m.height != f->height || m.pixel_format != f->format) {
        m.done = true;
        return Unsupported(m.path + ": the frame size or format changes at " + Seconds(seconds) + "; split the video there first");
      }
      if (!Describable(static_cast<AVPixelFormat>(f->format))) {
        AVFrame* converted = av_frame_alloc();
        if (converted == nullptr) return OutOfMemory("not enough memory for a video frame");
        const Status status = ConvertFrame(f, Describe(static_cast<AVPixelFormat>(f->format)), &m.scaler, converted);
        av_frame_free(&out->frame_);
        out->frame_ = converted;
        MFS_RETURN_IF_ERROR(status);
      }
      out->seconds_ = seconds;
      out->orientation_ = m.orientation;
      ++m.frames_read;
      return true;
    }
    if (error == AVERROR_EOF) {
      m.done = true;
      break;
    }
    if (error != AVERROR(EAGAIN)) m.damaged = true;  // a damaged frame: go on with the next
    error = av_read_frame(m.format, m.packet);
    if (error < 0) {
      if (error != AVERROR_EOF) m.damaged = true;
      if (m.demuxed_all) {
        m.done = true;
        break;
      }
      m.demuxed_all = true;
      (void)avcodec_send_packet(m.decoder, nullptr);
      continue;
    }
    if (m.packet->flags & AV_PKT_FLAG_CORRUPT) m.damaged = true;
    if (m.packet->pts != AV_NOPTS_VALUE) {
      const double base = av_q2d(m.format->streams[m.packet->stream_index]->time_base);
      m.demuxed_end = std::max(m.demuxed_end, (m.packet->pts + std::max<int64_t>(0, m.packet->duration)) * base - m.StartSeconds());
    }
    if (m.packet->stream_index == m.video) {
      if (avcodec_send_packet(m.decoder, m.packet) < 0) m.damaged = true;
    } else if (m.options.keep_other_streams) {
      AVPacket* copy = av_packet_clone(m.packet);
      if (copy != nullptr) m.others.push_back(copy);
    }
    av_packet_unref(m.packet);
  }
  const bool trimmed = m.options.trim_start > 0 || m.options.trim_end >= 0;
  if (m.frames_read == 0) {
    if (trimmed) return InvalidArgument(m.path + ": no frame lies between --trim-start and --trim-end");
    return CorruptData(m.path + ": no frame could be read; the video is damaged");
  }
  // A cut file often just ends early: compare with what its header promised, for the video stream where it says so (MP4),
  // else for the file as a whole (Matroska).
  const AVStream* s = m.stream();
  const bool per_stream = s->duration > 0;
  const double promised = per_stream ? s->duration * tick : m.format->duration > 0 ? static_cast<double>(m.format->duration) / AV_TIME_BASE : 0;
  const double reached = per_stream ? m.last_end : std::max(m.last_end, m.demuxed_end);
  const bool comparable = !trimmed && promised > 0 && (per_stream || m.options.keep_other_streams || m.format->nb_streams == 1);
  const double tolerance = m.damaged || (s->nb_frames > 0 && m.frames_read < s->nb_frames - 1) ? 0.25 : std::max(0.5, 0.02 * promised);
  if (comparable && reached < promised - tolerance) {
    return CorruptData(m.path + ": the video breaks off at " + Seconds(m.last_end) + " of " + Seconds(promised));
  }
  return false;
}

// ---- writing ----

struct VideoWriter::Impl {
  std::string path, temporary;
  VideoReader* reader = nullptr;
  VideoWriteOptions options;
  const AVCodec* codec = nullptr;
  AVFormatContext* format = nullptr;
  AVCodecContext* encoder = nullptr;
  AVStream* stream = nullptr;
  AVPacket* packet = nullptr;
  SwsContext* scaler = nullptr;
  std::vector<int> stream_map;  // input stream -> output stream, -1: not copied
  std::vector<int64_t> last_dts;
  std::vector<std::string> warnings;
  bool started = false, finished = false;

  ~Impl() {
    av_packet_free(&packet);
    avcodec_free_context(&encoder);
    sws_freeContext(scaler);
    if (format != nullptr) {
      if (format->pb != nullptr) avio_closep(&format->pb);
      avformat_free_context(format);
    }
    if (started && !finished) RemoveFile(temporary);
  }

  Status Start(const AVFrame* first);
  Status CopyOtherPackets();
  Status Drain();
};

VideoWriter::VideoWriter() : impl_(std::make_unique<Impl>()) {}
VideoWriter::~VideoWriter() = default;
const std::vector<std::string>& VideoWriter::warnings() const { return impl_->warnings; }

StatusOr<std::unique_ptr<VideoWriter>> VideoWriter::Create(const std::string& path, VideoReader* reader, const VideoWriteOptions& options) {
  MFS_RETURN_IF_ERROR(CheckWritable(path));
  std::unique_ptr<VideoWriter> writer(new VideoWriter());
  Impl& m = *writer->impl_;
  m.path = path;
  m.reader = reader;
  m.options = options;
  static const struct {
    const char *name, *encoder;
  } kNames[] = {{"x264", "libx264"}, {"h264", "libx264"}, {"x265", "libx265"}, {"hevc", "libx265"}, {"vp9", "libvpx-vp9"}, {"vp8", "libvpx"}, {"av1", "libsvtav1"}};
  std::string name = options.codec;
  for (const auto& n : kNames) {
    if (name == n.name) name = n.encoder;
  }
  m.codec = avcodec_find_encoder_by_name(name.c_str());
  if (m.codec == nullptr || m.codec->type != AVMEDIA_TYPE_VIDEO) {
    return InvalidArgument("no video encoder is called '" + options.codec + "' here; x264, x265, vp9 and ffv1 are usual (see mfs doctor)");
  }
  m.temporary = TemporaryName(path);
  const AVOutputFormat* container = av_guess_format(nullptr, path.c_str(), nullptr);
  if (container == nullptr || container->video_codec == AV_CODEC_ID_NONE) {
    return InvalidArgument(path + ": unknown video format; name it .mp4, .mkv, .mov, .webm or .avi");
  }
  if (avformat_query_codec(container, m.codec->id, FF_COMPLIANCE_NORMAL) == 0) {
    return InvalidArgument(path + ": a ." + Extension(path) + " file cannot hold " + options.codec + " video; use .mkv, or another --codec");
  }
  if (avformat_alloc_output_context2(&m.format, container, nullptr, m.temporary.c_str()) < 0) return OutOfMemory("not enough memory for the muxer");
  m.packet = av_packet_alloc();
  return writer;
}

Status VideoWriter::Impl::Start(const AVFrame* first) {
  VideoReader::Impl& in = *reader->impl_;
  const AVStream* source = in.stream();
  encoder = avcodec_alloc_context3(codec);
  if (encoder == nullptr || packet == nullptr) return OutOfMemory("not enough memory for the encoder");
  encoder->width = first->width;
  encoder->height = first->height;
  encoder->sample_aspect_ratio = first->sample_aspect_ratio.num > 0 ? first->sample_aspect_ratio : source->sample_aspect_ratio;
  encoder->time_base = source->time_base;
  encoder->framerate = av_guess_frame_rate(in.format, const_cast<AVStream*>(source), nullptr);
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
  if (codec->pix_fmts != nullptr) {
    bool supported = false;
    for (const AVPixelFormat* p = codec->pix_fmts; *p != AV_PIX_FMT_NONE; ++p) supported = supported || *p == have;
    if (!supported) {
      encoder->pix_fmt = avcodec_find_best_pix_fmt_of_list(codec->pix_fmts, have, 0, nullptr);
      warnings.push_back(options.codec + " cannot hold " + av_get_pix_fmt_name(have) + " pixels; they are converted to " + av_get_pix_fmt_name(encoder->pix_fmt));
    }
  }
  if (format->oformat->flags & AVFMT_GLOBALHEADER) encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  AVDictionary* settings = nullptr;
  const std::string name = codec->name;
  const bool x26x = name == "libx264" || name == "libx265";
  if (x26x) av_dict_set(&settings, "preset", options.preset.empty() ? "veryfast" : options.preset.c_str(), 0);
  if (name == "libx265") av_dict_set(&settings, "x265-params", "log-level=none", 0);
  if (options.crf >= 0 || name == "libx264") {
    char crf[32];
    snprintf(crf, sizeof crf, "%g", options.crf >= 0 ? options.crf : 18.0);
    av_dict_set(&settings, "crf", crf, 0);
    if (name.rfind("libvpx", 0) == 0) encoder->bit_rate = 0;
  }
  int error = avcodec_open2(encoder, codec, &settings);
  const AVDictionaryEntry* unused = av_dict_get(settings, "", nullptr, AV_DICT_IGNORE_SUFFIX);
  const std::string unused_name = unused == nullptr ? "" : unused->key;
  av_dict_free(&settings);
  if (error < 0) {
    return InvalidArgument("the encoder " + options.codec + " refuses these settings (size " + std::to_string(first->width) + "x" + std::to_string(first->height) +
                           ", preset or crf): " + AvText(error));
  }
  if (!unused_name.empty()) warnings.push_back(options.codec + " has no option " + unused_name + "; it was ignored");

  stream = avformat_new_stream(format, nullptr);
  if (stream == nullptr || avcodec_parameters_from_context(stream->codecpar, encoder) < 0) return OutOfMemory("not enough memory for the muxer");
  stream->time_base = encoder->time_base;
  stream->avg_frame_rate = encoder->framerate;
  stream->sample_aspect_ratio = encoder->sample_aspect_ratio;
  stream->disposition = source->disposition;
  av_dict_copy(&stream->metadata, source->metadata, 0);
  av_dict_set(&stream->metadata, "encoder", nullptr, 0);
  for (int i = 0; i < source->nb_side_data; ++i) {
    const AVPacketSideData& data = source->side_data[i];
    if (data.type != AV_PKT_DATA_DISPLAYMATRIX && data.type != AV_PKT_DATA_MASTERING_DISPLAY_METADATA && data.type != AV_PKT_DATA_CONTENT_LIGHT_LEVEL) continue;
    uint8_t* copy = av_stream_new_side_data(stream, data.type, data.size);
    if (copy != nullptr) std::memcpy(copy, data.data, data.size);
  }
  stream_map.assign(in.format->nb_streams, -1);
  for (unsigned i = 0; i < in.format->nb_streams && in.options.keep_other_streams; ++i) {
    const AVStream* other = in.format->streams[i];
    if (static_cast<int>(i) == in.video) continue;
    const char* type = av_get_media_type_string(other->codecpar->codec_type);
    const bool fits = other->codecpar->codec_id != AV_CODEC_ID_NONE && avformat_query_codec(format->oformat, other->codecpar->codec_id, FF_COMPLIANCE_NORMAL) == 1;
    if (!fits) {
      warnings.push_back("stream " + std::to_string(i) + " (" + (type == nullptr ? "data" : type) + ", " + avcodec_get_name(other->codecpar->codec_id) + ") does not fit into ." +
                         Extension(path) + " and was left out; .mkv holds nearly everything");
      continue;
    }
    AVStream* copy = avformat_new_stream(format, nullptr);
    if (copy == nullptr || avcodec_parameters_copy(copy->codecpar, other->codecpar) < 0) return OutOfMemory("not enough memory for the muxer");
    copy->codecpar->codec_tag = 0;
    copy->time_base = other->time_base;
    copy->disposition = other->disposition;
    copy->avg_frame_rate = other->avg_frame_rate;
    av_dict_copy(&copy->metadata, other->metadata, 0);
    stream_map[i] = copy->index;
  }
  last_dts.assign(format->nb_streams, AV_NOPTS_VALUE);
  av_dict_copy(&format->metadata, in.format->metadata, 0);
  if (options.mark) {
    const AVDictionaryEntry* old = av_dict_get(format->metadata, "comment", nullptr, 0);
    std::string comment = kNote;
    if (old != nullptr && std::strstr(old->value, kNote) == nullptr) comment = std::string(old->value) + "; " + comment;
    av_dict_set(&format->metadata, "comment", comment.c_str(), 0);
  }
  const bool trimmed = in.options.trim_start > 0 || in.options.trim_end >= 0;
  if (in.format->nb_chapters > 0 && !trimmed) {
    format->chapters = static_cast<AVChapter**>(av_calloc(in.format->nb_chapters, sizeof(AVChapter*)));
    for (unsigned i = 0; format->chapters != nullptr && i < in.format->nb_chapters; ++i) {
      AVChapter* chapter = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
      if (chapter == nullptr) break;
      const AVChapter* from = in.format->chapters[i];
      chapter->id = from->id, chapter->time_base = from->time_base, chapter->start = from->start, chapter->end = from->end;
      av_dict_copy(&chapter->metadata, from->metadata, 0);
      format->chapters[format->nb_chapters++] = chapter;
    }
  }
  error = avio_open(&format->pb, ("file:" + temporary).c_str(), AVIO_FLAG_WRITE);
  if (error < 0) return WriteError(path, error);
  started = true;
  error = avformat_write_header(format, nullptr);
  if (error < 0) {
    if (error == AVERROR(ENOSPC)) return WriteError(path, error);
    return InvalidArgument(path + ": the ." + Extension(path) + " container refuses these streams (" + AvText(error) + "); try .mkv");
  }
  return Status::Ok();
}

Status VideoWriter::Impl::CopyOtherPackets() {
  VideoReader::Impl& in = *reader->impl_;
  while (!in.others.empty()) {
    AVPacket* p = in.others.front();
    in.others.pop_front();
    const int target = stream_map[p->stream_index];
    const AVStream* from = in.format->streams[p->stream_index];
    const int64_t shown = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
    const double seconds = shown == AV_NOPTS_VALUE ? 0 : shown * av_q2d(from->time_base) - in.StartSeconds();
    // Without a trim everything is kept: sound may start before zero (encoder delay).
    const bool inside = (in.options.trim_start <= 0 || seconds >= in.options.trim_start - 1e-6) && (in.options.trim_end < 0 || seconds < in.options.trim_end);
    if (target < 0 || !(inside || (from->disposition & AV_DISPOSITION_ATTACHED_PIC))) {
      av_packet_free(&p);
      continue;
    }
    AVStream* to = format->streams[target];
    if (in.options.trim_start > 0) {
      const int64_t shift = std::llround(in.options.trim_start / av_q2d(from->time_base));
      if (p->pts != AV_NOPTS_VALUE) p->pts -= shift;
      if (p->dts != AV_NOPTS_VALUE) p->dts -= shift;
    }
    av_packet_rescale_ts(p, from->time_base, to->time_base);
    if (p->dts != AV_NOPTS_VALUE && last_dts[target] != AV_NOPTS_VALUE && p->dts < last_dts[target]) p->dts = last_dts[target];
    if (p->dts != AV_NOPTS_VALUE) last_dts[target] = p->dts;
    if (p->pts != AV_NOPTS_VALUE && p->dts != AV_NOPTS_VALUE && p->pts < p->dts) p->pts = p->dts;
    p->stream_index = target;
    p->pos = -1;
    const int error = av_interleaved_write_frame(format, p);
    av_packet_free(&p);
    if (error < 0) return WriteError(path, error);
  }
  return Status::Ok();
}

Status VideoWriter::Impl::Drain() {
  for (;;) {
    int error = avcodec_receive_packet(encoder, packet);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return Status::Ok();
    if (error < 0) return Internal(path + ": encoding failed: " + AvText(error));
    packet->stream_index = stream->index;
    av_packet_rescale_ts(packet, encoder->time_base, stream->time_base);
    error = av_interleaved_write_frame(format, packet);
    if (error < 0) return WriteError(path, error);
  }
}

Status VideoWriter::Write(const VideoFrame& frame) {
  Impl& m = *impl_;
  AVFrame* f = frame.av_frame();
  if (f == nullptr || f->buf[0] == nullptr) return InvalidArgument("the video frame is empty");
  if (!m.started) MFS_RETURN_IF_ERROR(m.Start(f));
  MFS_RETURN_IF_ERROR(m.CopyOtherPackets());
  AVFrame* send = av_frame_alloc();
  if (send == nullptr) return OutOfMemory("not enough memory for a video frame");
  Status status;
  if (f->format != m.encoder->pix_fmt) {
    status = ConvertFrame(f, m.encoder->pix_fmt, &m.scaler, send);
  } else if (av_frame_ref(send, f) < 0) {
    status = OutOfMemory("not enough memory for a video frame");
  }
  if (status.ok()) {
    const VideoReader::Impl& in = *m.reader->impl_;
    if (in.options.trim_start > 0) send->pts -= std::llround(in.options.trim_start / av_q2d(m.encoder->time_base));
    send->pict_type = AV_PICTURE_TYPE_NONE;  // the encoder decides, not the old file
    const int error = avcodec_send_frame(m.encoder, send);
    if (error < 0) status = Internal(m.path + ": encoding failed: " + AvText(error));
  }
  av_frame_free(&send);
  MFS_RETURN_IF_ERROR(status);
  return m.Drain();
}

Status VideoWriter::Finish() {
  Impl& m = *impl_;
  if (!m.started || m.finished) return InvalidArgument(m.path + ": no frame was written");
  const int error = avcodec_send_frame(m.encoder, nullptr);
  if (error < 0 && error != AVERROR_EOF) return Internal(m.path + ": encoding failed: " + AvText(error));
  MFS_RETURN_IF_ERROR(m.Drain());
  MFS_RETURN_IF_ERROR(m.CopyOtherPackets());
  int last = av_write_trailer(m.format);
  if (last < 0) return WriteError(m.path, last);
  last = avio_closep(&m.format->pb);
  if (last < 0) return WriteError(m.path, last);
  MFS_RETURN_IF_ERROR(CommitTemporary(m.temporary, m.path));
  m.finished = true;
  return Status::Ok();
}

}  // namespace mfs
