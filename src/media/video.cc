#include "media/video.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "media/av_frame.h"
#include "media/packet_times.h"

namespace mfs {
namespace {

std::string Seconds(double s) {
  char text[32];
  snprintf(text, sizeof text, "%.2f s", s);
  return text;
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
  std::swap(pixel_aspect_, other.pixel_aspect_);
  return *this;
}

StatusOr<FrameView> VideoFrame::View() {
  if (frame_ == nullptr || frame_->buf[0] == nullptr) return InvalidArgument("the video frame is empty");
  if (av_frame_make_writable(frame_) < 0) return OutOfMemory("not enough memory for a video frame");
  FrameView view = MakeView(frame_, orientation_);
  view.pixel_aspect = pixel_aspect_;
  return view;
}

StatusOr<FrameView> VideoFrame::ReadOnlyView() const {
  if (frame_ == nullptr || frame_->buf[0] == nullptr) return InvalidArgument("the video frame is empty");
  FrameView view = MakeView(frame_, orientation_);
  view.pixel_aspect = pixel_aspect_;
  return view;
}

StatusOr<VideoFrame> VideoFrame::Share() const {
  VideoFrame other;
  if (other.frame_ == nullptr || av_frame_ref(other.frame_, frame_) < 0) return OutOfMemory("not enough memory for a video frame");
  other.seconds_ = seconds_;
  other.orientation_ = orientation_;
  other.pixel_aspect_ = pixel_aspect_;
  return other;
}

// ---- reading ----

struct VideoReader::Impl {
  std::string path;
  VideoReadOptions options;
  VideoInfo info;
  StreamParameters source;
  AVFormatContext* format = nullptr;
  AVCodecContext* decoder = nullptr;
  AVPacket* packet = nullptr;
  SwsContext* scaler = nullptr;
  int video = -1;
  int orientation = 1;
  int64_t origin = 0;  // PacketTimes::Origin
  int64_t last_pts = AV_NOPTS_VALUE, frame_ticks = 1;
  int64_t frames_read = 0;
  double last_end = 0;     // of the video read so far, seconds
  double demuxed_end = 0;  // of everything read so far, all streams, seconds
  bool demuxed_all = false, done = false, damaged = false, jumped = false;
  bool wait_for_key = false;           // after a jump: nothing is decoded before a key frame,
  int64_t first_pts = AV_NOPTS_VALUE;  // and nothing is shown from before it (open groups of pictures)
  PacketTimes times;
  VideoFrame pending;
  bool has_pending = false;
  int width = 0, height = 0, pixel_format = -1;

  ~Impl() { Close(); }
  void Close() {
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&format);
    sws_freeContext(scaler);
    scaler = nullptr;
  }
  AVStream* stream() const { return format->streams[video]; }
  double StartSeconds() const { return static_cast<double>(origin) / AV_TIME_BASE; }
  // Do times and index of this container allow exact jumps?
  bool CanJump() const { return std::strstr(format->iformat->name, "mp4") != nullptr || std::strstr(format->iformat->name, "matroska") != nullptr; }

  Status OpenFile();
  StatusOr<bool> ReadNext(VideoFrame* out);
  bool JumpTo(double seconds);
};

VideoReader::VideoReader() : impl_(std::make_unique<Impl>()) {}
VideoReader::~VideoReader() = default;
const VideoInfo& VideoReader::info() const { return impl_->info; }

StatusOr<std::unique_ptr<VideoReader>> VideoReader::Open(const std::string& path, const VideoReadOptions& options) {
  if (!(options.trim_start >= 0)) return InvalidArgument("--trim-start must not be negative");
  if (options.trim_end >= 0 && options.trim_end <= options.trim_start) return InvalidArgument("--trim-end must lie behind --trim-start");
  // Tells a missing file, a folder and an unreadable file apart better than FFmpeg does.
  {
    MFS_ASSIGN_OR_RETURN(const FileEnds file, ReadEnds(path, 1));
    if (file.size == 0) return CorruptData(path + ": the file is empty");
  }
  std::unique_ptr<VideoReader> reader(new VideoReader());
  Impl& m = *reader->impl_;
  m.path = path;
  m.options = options;
  MFS_RETURN_IF_ERROR(m.OpenFile());
  // A container that cannot jump is read from its start; frames before the cut are dropped either way.
  if (options.trim_start > 1 && m.CanJump()) MFS_RETURN_IF_ERROR(reader->Seek(options.trim_start));
  return reader;
}

Status VideoReader::Impl::OpenFile() {
  Impl& m = *this;
  last_pts = first_pts = AV_NOPTS_VALUE;
  frames_read = 0;
  last_end = demuxed_end = 0;
  times = PacketTimes();
  demuxed_all = done = damaged = jumped = wait_for_key = has_pending = false;
  video = -1;
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
    return audio ? Unsupported(path + ": the file has sound but no picture; give a video or a picture") : CorruptData(path + ": this is no video");
  }
  AVStream* s = m.stream();
  const AVCodec* codec = avcodec_find_decoder(s->codecpar->codec_id);
  if (codec == nullptr) return Unsupported(path + ": the FFmpeg on this machine has no decoder for " + avcodec_get_name(s->codecpar->codec_id));
  m.decoder = NewCodecContext(codec);
  m.packet = av_packet_alloc();
  if (m.decoder == nullptr || m.packet == nullptr || avcodec_parameters_to_context(m.decoder, s->codecpar) < 0) return OutOfMemory("not enough memory for the decoder");
  m.decoder->thread_count = options.threads;
  m.decoder->pkt_timebase = s->time_base;
  error = avcodec_open2(m.decoder, codec, nullptr);
  if (error < 0) return Unsupported(path + ": the decoder cannot be started (" + AvText(error) + ")");
  m.orientation = OrientationOf(s);
  if (s->codecpar->width <= 0 || s->codecpar->height <= 0) return CorruptData(path + ": the video has no picture size; it is damaged");
  m.origin = PacketTimes::Origin(m.format);

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
  m.info.sure = !PacketTimes::MayBreak(m.format);
  if (options.trim_start > 0 || options.trim_end >= 0) {
    const double end = options.trim_end >= 0 ? options.trim_end : m.info.seconds;
    if (m.info.sure && m.info.seconds > 0 && options.trim_start >= m.info.seconds) {
      return InvalidArgument(path + ": --trim-start lies behind the end of the video (" + Seconds(m.info.seconds) + ")");
    }
    m.info.frames = std::max<int64_t>(0, std::llround((std::min(end, m.info.seconds) - options.trim_start) * m.info.fps));
  }
  m.info.codec = avcodec_get_name(s->codecpar->codec_id);
  const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(s->codecpar->format));
  m.info.pixel_format = name == nullptr ? "unknown" : name;
  m.info.other_streams = static_cast<int>(m.format->nb_streams) - 1;
  if (source.codec == nullptr) return OutOfMemory("not enough memory for the decoder");
  if (source.codec->codec_id == AV_CODEC_ID_NONE) {  // the first time
    if (avcodec_parameters_copy(source.codec, s->codecpar) < 0) return OutOfMemory("not enough memory for the decoder");
    m.info.container_aspect = s->sample_aspect_ratio.num > 0;
    if (m.info.container_aspect) source.codec->sample_aspect_ratio = s->sample_aspect_ratio;
    source.time_base[0] = s->time_base.num, source.time_base[1] = s->time_base.den;
    source.frame_rate[0] = rate.num, source.frame_rate[1] = rate.den;
    for (auto& [type, bytes] : SideDataOf(s)) source.side_data.push_back({type, std::move(bytes)});
  }
  // The other streams are read along only where they help to see that a file was cut (below), or to tell the times.
  const bool alone = !PacketTimes::MayBreak(m.format) && (s->duration > 0 || !options.keep_other_streams);
  for (unsigned i = 0; i < m.format->nb_streams; ++i) {
    if (alone && static_cast<int>(i) != m.video) m.format->streams[i]->discard = AVDISCARD_ALL;
  }
  return Status::Ok();
}

bool VideoReader::Impl::JumpTo(double seconds) {
  const double tick = av_q2d(stream()->time_base);
  // The index counts decoding times, which may lie before the times of display: a step back, then a longer one.
  for (double back : {1.0, 12.0}) {
    const double at = seconds - back;
    if (at <= 0) return false;
    if (av_seek_frame(format, video, std::llround((at + StartSeconds()) / tick), AVSEEK_FLAG_BACKWARD) < 0) return false;
    avcodec_flush_buffers(decoder);
    last_pts = first_pts = AV_NOPTS_VALUE;
    demuxed_all = done = has_pending = false;
    jumped = wait_for_key = true;
    const double trim_start = options.trim_start;
    options.trim_start = 0;  // the frame at which the jump lands may lie before the cut
    const auto more = ReadNext(&pending);
    options.trim_start = trim_start;
    if (!more.ok() || !*more) return false;
    if (pending.seconds_ <= seconds + tick / 2) {
      has_pending = pending.seconds_ >= trim_start - tick / 2;
      frames_read -= !has_pending;
      return true;
    }
  }
  return false;
}

Status VideoReader::Seek(double seconds) {
  Impl& m = *impl_;
  if (m.CanJump() && m.JumpTo(seconds)) return Status::Ok();
  m.Close();
  return m.OpenFile();
}

StatusOr<bool> VideoReader::Read(VideoFrame* out) {
  if (impl_->has_pending) {
    impl_->has_pending = false;
    std::swap(*out, impl_->pending);
    return true;
  }
  return impl_->ReadNext(out);
}

const StreamParameters& VideoReader::source() const { return impl_->source; }
const VideoReadOptions& VideoReader::options() const { return impl_->options; }

StatusOr<bool> VideoReader::Impl::ReadNext(VideoFrame* out) {
  Impl& m = *this;
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
      if (m.first_pts != AV_NOPTS_VALUE && f->pts < m.first_pts) continue;
      const double seconds = f->pts * tick - m.StartSeconds();
      m.last_end = seconds + (DurationOf(f) > 0 ? DurationOf(f) : m.frame_ticks) * tick;
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
      // As players do: the container's word first.
      const AVRational stream = m.source.codec->sample_aspect_ratio, own = out->frame_->sample_aspect_ratio, aspect = m.info.container_aspect || own.num <= 0 ? stream : own;
      const double ratio = aspect.num > 0 && aspect.den > 0 ? av_q2d(aspect) : 1;
      out->pixel_aspect_ = ratio > 0.25 && ratio < 4 ? static_cast<float>(ratio) : 1;  // others are made up
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
    m.times.Mend(m.format, m.packet);
    if (m.packet->flags & AV_PKT_FLAG_CORRUPT) m.damaged = true;
    if (m.packet->pts != AV_NOPTS_VALUE) {
      const double base = av_q2d(m.format->streams[m.packet->stream_index]->time_base);
      m.demuxed_end = std::max(m.demuxed_end, (m.packet->pts + std::max<int64_t>(0, m.packet->duration)) * base - m.StartSeconds());
    }
    if (m.packet->stream_index == m.video) {
      if (m.wait_for_key && (m.packet->flags & AV_PKT_FLAG_KEY)) {
        m.wait_for_key = false;
        m.first_pts = m.packet->pts != AV_NOPTS_VALUE ? m.packet->pts : m.packet->dts;
      }
      if (!m.wait_for_key && avcodec_send_packet(m.decoder, m.packet) < 0) m.damaged = true;
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
  // Trimmed: as far as was asked for. Frames before the start are not counted, so only the times can be compared.
  const double expected = m.options.trim_end >= 0 ? std::min(promised, m.options.trim_end) : promised;
  const bool comparable = promised > 0 && !m.times.broken() && (per_stream || m.options.keep_other_streams || m.format->nb_streams == 1);
  const double tolerance = m.damaged || (!trimmed && !m.jumped && s->nb_frames > 0 && m.frames_read < s->nb_frames - 1) ? 0.25 : std::max(0.5, 0.02 * promised);
  if (comparable && reached < expected - tolerance) {
    return CorruptData(m.path + ": the video breaks off at " + Seconds(m.last_end) + " of " + Seconds(promised));
  }
  return false;
}

}  // namespace mfs
