#include "live/av_source.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavdevice/avdevice.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/file.h"

namespace mfs {

namespace {

constexpr std::chrono::seconds kStall{10};  // a stream that says nothing for so long is lost

// An address without the name and password that it may hold: what is shown ends up in logs and on shared screens.
std::string WithoutPassword(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const size_t host = scheme + 3, at = url.substr(host, url.find_first_of("/?#", host) - host).rfind('@');
  return at == std::string::npos ? url : url.substr(0, host) + url.substr(host + at + 1);
}

}  // namespace

struct AvSource::Impl {
  AvSourceOptions options;
  std::string shown;  // options.url for messages
  const std::atomic<bool>* stop = nullptr;
  LiveClock::time_point stalled_at = LiveClock::time_point::max();
  AVFormatContext* format = nullptr;
  AVCodecContext* decoder = nullptr;
  AVPacket* packet = nullptr;
  AVFrame* decoded = nullptr;
  SwsContext* scaler = nullptr;
  int video = -1, orientation = 1;
  bool demuxed_all = false, paced = false;
  double tick = 0, frame_seconds = 0.04;
  double offset = 0;  // of this round of a loop
  double last = -1;   // seconds of the last frame, offset included
  int64_t frames = 0, this_round = 0;
  std::atomic<int64_t> garbage{0};
  bool anchored = false;
  LiveClock::time_point anchor;  // when second 0 was due
  bool waiting = false;          // `decoded` holds a frame whose time has not come

  ~Impl() {
    av_packet_free(&packet);
    av_frame_free(&decoded);
    avcodec_free_context(&decoder);
    avformat_close_input(&format);
    sws_freeContext(scaler);
  }
  bool stopped() const { return stop != nullptr && stop->load(std::memory_order_relaxed); }
  static int Interrupted(void* self) {
    const Impl* m = static_cast<const Impl*>(self);
    return m->stopped() || LiveClock::now() > m->stalled_at;
  }
  // Of a network stream without a length: then its end is the connection's.
  bool GoesOnForEver() const {
    for (const char* scheme : {"rtsp", "rtmp", "srt", "udp", "rtp", "tcp"}) {
      if (options.url.rfind(scheme, 0) == 0 && options.url.find("://") != std::string::npos) return true;
    }
    return options.url.rfind("http", 0) == 0 && options.url.find("://") != std::string::npos && format->duration <= 0;
  }
  void Watch() { stalled_at = LiveClock::now() + kStall; }
  Status Begin();
  StatusOr<bool> Decode();
  StatusOr<LiveRead> Deliver(LiveFrame* frame);
};

AvSource::AvSource() : impl_(std::make_unique<Impl>()) {}
AvSource::~AvSource() = default;
int64_t AvSource::garbage() const { return impl_->garbage; }

StatusOr<std::unique_ptr<LiveSource>> AvSource::Open(const AvSourceOptions& options, const std::atomic<bool>* stop) {
  std::unique_ptr<AvSource> source(new AvSource());
  Impl& m = *source->impl_;
  m.options = options;
  m.shown = WithoutPassword(options.url);
  m.stop = stop;
  MFS_RETURN_IF_ERROR(m.Begin());
  return std::unique_ptr<LiveSource>(std::move(source));
}

// Opens the input; a second time: again from its beginning.
Status AvSource::Impl::Begin() {
  const AVInputFormat* demuxer = nullptr;
  if (!options.input_format.empty()) {
    avdevice_register_all();
    demuxer = av_find_input_format(options.input_format.c_str());
    if (demuxer == nullptr) return InvalidArgument("FFmpeg on this machine knows no input format '" + options.input_format + "'");
  }
  avcodec_free_context(&decoder);
  avformat_close_input(&format);
  demuxed_all = false;
  format = avformat_alloc_context();
  if (format == nullptr) return OutOfMemory("not enough memory for the input");
  format->interrupt_callback = {&Impl::Interrupted, this};
  const bool file = options.input_format.empty() && FileExists(options.url);
  if (!file) format->flags |= AVFMT_FLAG_NOBUFFER;
  Watch();
  AVDictionary* settings = nullptr;
  if (options.url.rfind("rtsp", 0) == 0) av_dict_set(&settings, "rtsp_transport", "tcp", 0);
  // "file:" keeps a name with a colon from being taken for a protocol.
  int error = avformat_open_input(&format, (file ? "file:" + options.url : options.url).c_str(), demuxer, &settings);
  av_dict_free(&settings);
  if (stopped()) return Cancelled("stopped");
  if (error < 0) return file ? CorruptData(shown + ": this is no video (" + AvText(error) + ")") : NotFound(shown + ": cannot be opened (" + AvText(error) + ")");
  const auto recorded = [&] { return file || std::string(format->iformat->name) == "lavfi" || (format->duration > 0 && !GoesOnForEver()); };
  if (recorded()) format->flags &= ~AVFMT_FLAG_NOBUFFER;  // with it what is read to find out the streams is lost, and that may be the only key frame
  if (!file) {
    format->max_analyze_duration = AV_TIME_BASE;  // a second to find out what it is
    format->probesize = 1 << 20;
  }
  Watch();
  error = avformat_find_stream_info(format, nullptr);
  if (error < 0) return CorruptData(shown + ": the streams cannot be read (" + AvText(error) + ")");
  video = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (video < 0 || std::string(format->iformat->name) == "tty") return CorruptData(shown + ": there is no picture in it");
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    if (static_cast<int>(i) != video) format->streams[i]->discard = AVDISCARD_ALL;
  }
  AVStream* s = format->streams[video];
  const AVCodec* codec = avcodec_find_decoder(s->codecpar->codec_id);
  if (codec == nullptr) return Unsupported(shown + ": the FFmpeg on this machine has no decoder for " + avcodec_get_name(s->codecpar->codec_id));
  decoder = avcodec_alloc_context3(codec);
  if (packet == nullptr) packet = av_packet_alloc();
  if (decoded == nullptr) decoded = av_frame_alloc();
  if (decoder == nullptr || packet == nullptr || decoded == nullptr || avcodec_parameters_to_context(decoder, s->codecpar) < 0) return OutOfMemory("not enough memory for the decoder");
  // Threads by frames would hold frames back.
  decoder->thread_count = 1;
  if (!recorded()) decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
  decoder->pkt_timebase = s->time_base;
  error = avcodec_open2(decoder, codec, nullptr);
  if (error < 0) return Unsupported(shown + ": the decoder cannot be started (" + AvText(error) + ")");
  orientation = OrientationOf(s);
  tick = av_q2d(s->time_base);
  const AVRational rate = av_guess_frame_rate(format, s, nullptr);
  if (rate.num > 0 && rate.den > 0) frame_seconds = 1 / av_q2d(rate);
  paced = options.paced && recorded();
  return Status::Ok();
}

// The next picture into `decoded`; false at the end.
StatusOr<bool> AvSource::Impl::Decode() {
  for (;;) {
    if (stopped()) return Cancelled("stopped");
    int error = avcodec_receive_frame(decoder, decoded);
    if (error >= 0) {
      // An input that has gone over to another size or format is all right: every frame says what it is.
      return true;
    }
    if (error == AVERROR_EOF) {
      if (!options.loop || this_round == 0) return false;
      // Not by a seek: a raw stream has no times to go by, and in others (.ts, .mpg) the beginning is not among the places that a seek finds.
      MFS_RETURN_IF_ERROR(Begin());
      offset = last + frame_seconds;
      this_round = 0;
      continue;
    }
    if (error != AVERROR(EAGAIN)) ++garbage;
    if (demuxed_all) {
      (void)avcodec_send_packet(decoder, nullptr);
      continue;
    }
    Watch();
    error = av_read_frame(format, packet);
    if (error < 0) {
      if (stopped()) return Cancelled("stopped");
      if (error == AVERROR(EAGAIN)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        continue;
      }
      if (error != AVERROR_EOF) return IoError(shown + ": the stream broke off (" + AvText(error) + ")");
      demuxed_all = true;
      (void)avcodec_send_packet(decoder, nullptr);
      continue;
    }
    if (packet->stream_index == video && avcodec_send_packet(decoder, packet) < 0) ++garbage;
    av_packet_unref(packet);
  }
}

// Hands the decoded frame over when its time has come.
StatusOr<LiveRead> AvSource::Impl::Deliver(LiveFrame* out) {
  const LiveClock::time_point now = LiveClock::now();
  if (paced) {
    LiveClock::time_point due = anchor + std::chrono::duration_cast<LiveClock::duration>(std::chrono::duration<double>(last));
    if (now - due > std::chrono::milliseconds(500)) {  // the machine is too slow for this file: go on from here
      anchor += now - due;
      due = now;
    }
    if (due > now) {
      std::this_thread::sleep_for(std::min<LiveClock::duration>(due - now, std::chrono::milliseconds(50)));
      if (LiveClock::now() < due) return LiveRead::kNothing;
    }
    out->captured = std::max(now, due);
  } else {
    out->captured = now;
  }
  waiting = false;
  MFS_RETURN_IF_ERROR(out->Adopt(decoded, &scaler));
  out->seconds = last;
  out->number = frames++;
  out->orientation = orientation;
  return LiveRead::kFrame;
}

StatusOr<LiveRead> AvSource::Read(LiveFrame* frame) {
  Impl& m = *impl_;
  if (m.waiting) return m.Deliver(frame);
  av_frame_unref(m.decoded);
  auto more = m.Decode();
  if (!more.ok()) {
    if (more.status().code() == StatusCode::kCancelled) return LiveRead::kNothing;
    return more.status();
  }
  if (!*more) {
    if (m.frames == 0) return CorruptData(m.shown + ": no frame could be read");
    // A stream that goes on for ever has no end: its server has closed the connection, and will be asked again.
    if (m.GoesOnForEver()) return IoError(m.shown + ": the stream broke off (closed by the other side)");
    return LiveRead::kEnd;
  }
  const AVStream* s = m.format->streams[m.video];
  const int64_t pts = m.decoded->best_effort_timestamp;
  const int64_t start = s->start_time == AV_NOPTS_VALUE ? 0 : s->start_time;
  double at = pts == AV_NOPTS_VALUE ? (m.frames == 0 ? 0 : m.last + m.frame_seconds) : (pts - start) * m.tick + m.offset;
  // A clock that jumps (a camera that restarts its stream) must neither stop us nor make us run.
  if (m.frames > 0 && !(at > m.last && at < m.last + 10)) {
    m.offset += m.last + m.frame_seconds - at;
    at = m.last + m.frame_seconds;
  }
  if (!m.anchored) {
    m.anchored = true;
    m.anchor = LiveClock::now() - std::chrono::duration_cast<LiveClock::duration>(std::chrono::duration<double>(at));
  }
  m.last = at;
  ++m.this_round;
  m.waiting = true;
  return m.Deliver(frame);
}

std::string AvSource::Describe() const {
  const Impl& m = *impl_;
  const AVCodecParameters* p = m.format->streams[m.video]->codecpar;
  char rate[48];
  snprintf(rate, sizeof rate, ", %.4g fps", 1 / m.frame_seconds);
  return m.shown + ", " + std::to_string(p->width) + "x" + std::to_string(p->height) + " " + avcodec_get_name(p->codec_id) + rate + (m.options.loop ? ", over and over" : "");
}

}  // namespace mfs
