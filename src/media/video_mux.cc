#include "media/video_mux.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <numeric>
#include <queue>
#include <set>

#include "base/file.h"
#include "media/av_frame.h"
#include "media/packet_times.h"

namespace mfs {
namespace {

constexpr char kNote[] = "generated with a face-swapping tool (MobileFaceSwap)";

// Can the container hold sound or subtitles of this kind? FFmpeg does not say it of all containers.
bool Holds(const AVOutputFormat* container, AVCodecID codec) {
  if (codec == AV_CODEC_ID_NONE) return false;
  // Its list is that of MP4; it refuses these when the header is written, and all is encoded by then.
  if (std::strcmp(container->name, "mov") == 0 && (codec == AV_CODEC_ID_OPUS || codec == AV_CODEC_ID_FLAC || codec == AV_CODEC_ID_TRUEHD || codec == AV_CODEC_ID_VP9 || codec == AV_CODEC_ID_AV1))
    return false;
  const int answer = avformat_query_codec(container, codec, FF_COMPLIANCE_NORMAL);
  if (answer >= 0) return answer == 1;
  static constexpr struct {
    const char* container;
    AVCodecID codecs[12];
  } kKnown[] = {
      {"mpegts",
       {AV_CODEC_ID_AAC, AV_CODEC_ID_MP2, AV_CODEC_ID_MP3, AV_CODEC_ID_AC3, AV_CODEC_ID_EAC3, AV_CODEC_ID_DTS, AV_CODEC_ID_TRUEHD, AV_CODEC_ID_OPUS, AV_CODEC_ID_AAC_LATM, AV_CODEC_ID_DVB_SUBTITLE,
        AV_CODEC_ID_DVB_TELETEXT}},
      {"mpeg", {AV_CODEC_ID_MP2, AV_CODEC_ID_MP3, AV_CODEC_ID_AC3, AV_CODEC_ID_DTS}},
      {"vob", {AV_CODEC_ID_MP2, AV_CODEC_ID_MP3, AV_CODEC_ID_AC3, AV_CODEC_ID_DTS, AV_CODEC_ID_DVD_SUBTITLE}},
      {"svcd", {AV_CODEC_ID_MP2, AV_CODEC_ID_MP3, AV_CODEC_ID_AC3, AV_CODEC_ID_DTS, AV_CODEC_ID_DVD_SUBTITLE}},  // what FFmpeg takes for .vob
      {"ogg", {AV_CODEC_ID_VORBIS, AV_CODEC_ID_OPUS, AV_CODEC_ID_FLAC, AV_CODEC_ID_SPEEX}},
      {"ogv", {AV_CODEC_ID_VORBIS, AV_CODEC_ID_OPUS, AV_CODEC_ID_FLAC, AV_CODEC_ID_SPEEX}},
  };
  for (const auto& known : kKnown) {
    if (std::strcmp(container->name, known.container) == 0) return std::find(std::begin(known.codecs), std::end(known.codecs), codec) != std::end(known.codecs);
  }
  return false;
}

// Packets of the segments one after the other, with decoding times. A packet's decoding time is the time of display of the frame `reorder`
// places before it: rising, never behind the packet's own time, and the same whether segments came from one encoder or many.
class VideoPackets {
 public:
  explicit VideoPackets(const VideoMuxJob& job) : job_(job) {}

  Status Start() {
    if (job_.segments.empty()) return InvalidArgument(job_.name + ": no frame was written");
    MFS_ASSIGN_OR_RETURN(reader_, SegmentReader::Open(job_.segments[0]));
    serialized_ = reader_->parameters().Serialize();
    MFS_ASSIGN_OR_RETURN(parameters_, StreamParameters::Parse(serialized_));
    const double rate = parameters_.frame_rate[0] > 0 && parameters_.frame_rate[1] > 0 ? double(parameters_.frame_rate[0]) / parameters_.frame_rate[1] : 25;
    frame_ticks_ = std::max<int64_t>(1, std::llround(parameters_.time_base[1] / (rate * parameters_.time_base[0])));
    return Advance();
  }
  const StreamParameters& parameters() const { return parameters_; }
  const AVPacket* front() const { return ready_.empty() ? nullptr : ready_.front(); }
  AVPacket* Take() {
    AVPacket* p = ready_.front();
    ready_.pop_front();
    return p;
  }
  // Reads on until a packet is ready or all are read.
  Status Advance() {
    while (ready_.empty() && (reader_ != nullptr || !held_.empty())) MFS_RETURN_IF_ERROR(ReadOne());
    return Status::Ok();
  }
  ~VideoPackets() {
    for (AVPacket* p : ready_) av_packet_free(&p);
    for (AVPacket* p : held_) av_packet_free(&p);
  }

 private:
  Status ReadOne() {
    if (reader_ == nullptr) {  // fewer frames than the reordering is deep
      FirstTimes();
      return Status::Ok();
    }
    EncodedPacket e;
    MFS_ASSIGN_OR_RETURN(const bool more, reader_->Read(&e));
    if (!more) {
      reader_.reset();
      if (++segment_ < job_.segments.size()) {
        MFS_ASSIGN_OR_RETURN(reader_, SegmentReader::Open(job_.segments[segment_]));
        if (reader_->parameters().Serialize() != serialized_) {
          return CorruptData(job_.segments[segment_] + ": was encoded otherwise than the first segment (another version of the encoder, or another size?); make it anew");
        }
      }
      return Status::Ok();
    }
    AVPacket* p = av_packet_alloc();
    if (p == nullptr || av_new_packet(p, static_cast<int>(e.size)) < 0) {
      av_packet_free(&p);
      return OutOfMemory("not enough memory for a packet");
    }
    std::memcpy(p->data, e.data, e.size);
    p->pts = e.pts;
    p->duration = e.duration;
    if (e.key) p->flags |= AV_PKT_FLAG_KEY;
    times_.push(e.pts);
    if (static_cast<int>(times_.size()) <= job_.reorder) {
      held_.push_back(p);
      return Status::Ok();
    }
    if (!started_) FirstTimes();
    p->dts = times_.top();
    times_.pop();
    ready_.push_back(p);
    return Status::Ok();
  }
  // The first packets have no frame `reorder` places before them: the row of times is continued backwards.
  void FirstTimes() {
    started_ = true;
    for (size_t i = 0; i < held_.size(); ++i) {
      held_[i]->dts = times_.top() - static_cast<int64_t>(job_.reorder - i) * frame_ticks_;
      ready_.push_back(held_[i]);
    }
    held_.clear();
  }

  const VideoMuxJob& job_;
  size_t segment_ = 0;
  std::unique_ptr<SegmentReader> reader_;
  std::string serialized_;
  StreamParameters parameters_;
  int64_t frame_ticks_ = 1;
  bool started_ = false;
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<int64_t>> times_;
  std::deque<AVPacket*> held_, ready_;
};

class Muxer {
 public:
  Muxer(const VideoMuxJob& job, std::vector<std::string>* warnings) : job_(job), warnings_(warnings), video_(job) {}
  ~Muxer() {
    av_packet_free(&other_);
    if (out_ != nullptr) {
      if (out_->pb != nullptr) avio_closep(&out_->pb);
      avformat_free_context(out_);
    }
    avformat_close_input(&in_);
    if (!finished_) RemoveFile(job_.temporary);
  }
  Status Run(const std::atomic<bool>* cancel);

 private:
  Status OpenInput();
  Status OpenOutput();
  Status AddOther(unsigned index);
  void AddAttachment(const AVStream* from, const uint8_t* data, int size);
  Status NextOther();
  void WarnOnce(const std::string& text) {
    if (std::find(warnings_->begin(), warnings_->end(), text) == warnings_->end()) warnings_->push_back(text);
  }
  Status WriteError(int error) const {
    if (error == AVERROR(ENOSPC)) return DiskFull(job_.name + ": the disk is full");
    return IoError(job_.name + ": writing failed: " + AvText(error));
  }
  double OriginSeconds() const { return static_cast<double>(PacketTimes::Origin(in_)) / AV_TIME_BASE; }
  bool Matroska() const { return std::strstr(out_->oformat->name, "matroska") != nullptr; }

  const VideoMuxJob& job_;
  std::vector<std::string>* warnings_;
  VideoPackets video_;
  AVFormatContext *in_ = nullptr, *out_ = nullptr;
  PacketTimes times_;
  AVPacket* other_ = nullptr;  // the next packet of another stream
  bool others_left_ = false, finished_ = false;
  int source_ = -1;              // the input's video stream
  AVStream* stream_ = nullptr;   // its place in the output
  std::vector<int> stream_map_;  // input stream -> output stream, -1: not copied
  std::vector<int64_t> last_dts_;
};

Status Muxer::OpenInput() {
  int error = avformat_open_input(&in_, ("file:" + job_.input).c_str(), nullptr, nullptr);
  if (error >= 0) error = avformat_find_stream_info(in_, nullptr);
  if (error < 0) return IoError(job_.input + ": cannot be read again (" + AvText(error) + ")");
  for (unsigned i = 0; i < in_->nb_streams && source_ < 0; ++i) {
    const AVStream* s = in_->streams[i];
    if (s->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !(s->disposition & AV_DISPOSITION_ATTACHED_PIC)) source_ = static_cast<int>(i);
  }
  if (source_ < 0) return CorruptData(job_.input + ": this is no video");
  return Status::Ok();
}

// Fonts, and pictures that Matroska keeps as files.
void Muxer::AddAttachment(const AVStream* from, const uint8_t* data, int size) {
  AVStream* copy = avformat_new_stream(out_, nullptr);
  if (copy == nullptr || avcodec_parameters_copy(copy->codecpar, from->codecpar) < 0) return;
  copy->codecpar->codec_type = AVMEDIA_TYPE_ATTACHMENT;
  if (data != nullptr) {
    av_freep(&copy->codecpar->extradata);
    copy->codecpar->extradata = static_cast<uint8_t*>(av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE));
    if (copy->codecpar->extradata == nullptr) return;
    std::memcpy(copy->codecpar->extradata, data, size);
    copy->codecpar->extradata_size = size;
  }
  av_dict_copy(&copy->metadata, from->metadata, 0);
  const bool png = from->codecpar->codec_id == AV_CODEC_ID_PNG;
  if (av_dict_get(copy->metadata, "filename", nullptr, 0) == nullptr) av_dict_set(&copy->metadata, "filename", png ? "cover.png" : "cover.jpg", 0);
  if (av_dict_get(copy->metadata, "mimetype", nullptr, 0) == nullptr) av_dict_set(&copy->metadata, "mimetype", png ? "image/png" : "image/jpeg", 0);
}

Status Muxer::AddOther(unsigned index) {
  AVStream* other = in_->streams[index];
  const char* type = av_get_media_type_string(other->codecpar->codec_type);
  if (Matroska() && (other->codecpar->codec_type == AVMEDIA_TYPE_ATTACHMENT || (other->disposition & AV_DISPOSITION_ATTACHED_PIC))) {
    const bool picture = other->codecpar->codec_type != AVMEDIA_TYPE_ATTACHMENT;
    AddAttachment(other, picture ? other->attached_pic.data : nullptr, picture ? other->attached_pic.size : 0);
    return Status::Ok();
  }
  // The track that QuickTime keeps chapters in is made anew from the chapters.
  if (other->codecpar->codec_type == AVMEDIA_TYPE_DATA && other->codecpar->codec_id == AV_CODEC_ID_BIN_DATA && in_->nb_chapters > 0) return Status::Ok();
  const bool empty = (other->codecpar->codec_type == AVMEDIA_TYPE_AUDIO && other->codecpar->sample_rate <= 0) ||
                     (other->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && (other->codecpar->width <= 0 || other->codecpar->height <= 0));
  if (empty) {  // announced, but nothing of it was found: no container takes it
    warnings_->push_back("stream " + std::to_string(index) + " (" + type + ", " + avcodec_get_name(other->codecpar->codec_id) + ") is empty at the beginning and was left out");
    return Status::Ok();
  }
  if (!Holds(out_->oformat, other->codecpar->codec_id)) {
    warnings_->push_back("stream " + std::to_string(index) + " (" + (type == nullptr ? "data" : type) + ", " + avcodec_get_name(other->codecpar->codec_id) + ") does not fit into ." +
                         Extension(job_.name) + " and was left out; .mkv holds nearly everything");
    return Status::Ok();
  }
  if (other->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !(other->disposition & AV_DISPOSITION_ATTACHED_PIC)) {
    warnings_->push_back("stream " + std::to_string(index) + " is another picture and was copied as it is: no face was swapped in it");
  }
  AVStream* copy = avformat_new_stream(out_, nullptr);
  if (copy == nullptr || avcodec_parameters_copy(copy->codecpar, other->codecpar) < 0) return OutOfMemory("not enough memory for the muxer");
  copy->codecpar->codec_tag = 0;
  copy->time_base = other->time_base;
  copy->disposition = other->disposition;
  copy->avg_frame_rate = other->avg_frame_rate;
  copy->sample_aspect_ratio = other->sample_aspect_ratio;
  if (SideDataOf(copy).empty()) {  // newer FFmpeg copies it with the parameters
    for (const auto& [type, bytes] : SideDataOf(other)) AddSideData(copy, type, bytes);
  }
  av_dict_copy(&copy->metadata, other->metadata, 0);
  stream_map_[index] = copy->index;
  return Status::Ok();
}

Status Muxer::OpenOutput() {
  const AVOutputFormat* container = av_guess_format(nullptr, job_.name.c_str(), nullptr);
  if (container == nullptr || avformat_alloc_output_context2(&out_, container, nullptr, job_.temporary.c_str()) < 0) return OutOfMemory("not enough memory for the muxer");
  const AVStream* source = in_->streams[source_];
  const StreamParameters& p = video_.parameters();
  stream_map_.assign(in_->nb_streams, -1);
  const auto add_video = [&]() -> Status {
    stream_ = avformat_new_stream(out_, nullptr);
    if (stream_ == nullptr || avcodec_parameters_copy(stream_->codecpar, p.codec) < 0) return OutOfMemory("not enough memory for the muxer");
    stream_->codecpar->video_delay = job_.reorder;
    // Apple's players want the parameter sets in the header, and know that by this tag (FFmpeg would write hev1).
    if (stream_->codecpar->codec_id == AV_CODEC_ID_HEVC && IsQuickTime(container)) stream_->codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');
    stream_->time_base = {p.time_base[0], p.time_base[1]};
    // An AVI counts frames: FFmpeg would write the time base as its rate, and fill the gaps with empty frames.
    if (std::strcmp(container->name, "avi") == 0 && p.frame_rate[0] > 0 && p.frame_rate[1] > 0) stream_->time_base = {p.frame_rate[1], p.frame_rate[0]};
    stream_->avg_frame_rate = {p.frame_rate[0], p.frame_rate[1]};
    stream_->sample_aspect_ratio = p.codec->sample_aspect_ratio;
    stream_->disposition = source->disposition;
    av_dict_copy(&stream_->metadata, source->metadata, 0);
    av_dict_set(&stream_->metadata, "encoder", nullptr, 0);
    // FFmpeg's own decoders of VP8 and VP9 leave out the second picture that says how opaque the first one is.
    if (const AVDictionaryEntry* alpha = av_dict_get(stream_->metadata, "alpha_mode", nullptr, 0); alpha != nullptr && std::strcmp(alpha->value, "0") != 0) {
      av_dict_set(&stream_->metadata, "alpha_mode", nullptr, 0);
      warnings_->push_back("the video's transparency is lost");
    }
    for (const StreamParameters::SideData& d : p.side_data) AddSideData(stream_, d.type, d.bytes);
    return Status::Ok();
  };
  // Streams keep their order.
  for (unsigned i = 0; i < in_->nb_streams; ++i) {
    if (static_cast<int>(i) == source_) {
      MFS_RETURN_IF_ERROR(add_video());
    } else if (job_.read.keep_other_streams) {
      MFS_RETURN_IF_ERROR(AddOther(i));
    }
  }
  for (unsigned i = 0; i < in_->nb_streams; ++i) {
    others_left_ = others_left_ || stream_map_[i] >= 0;
    if (stream_map_[i] < 0 && !PacketTimes::MayBreak(in_)) in_->streams[i]->discard = AVDISCARD_ALL;
  }
  last_dts_.assign(out_->nb_streams, AV_NOPTS_VALUE);
  av_dict_copy(&out_->metadata, in_->metadata, 0);
  if (job_.write.mark) {
    const AVDictionaryEntry* old = av_dict_get(out_->metadata, "comment", nullptr, 0);
    std::string comment = kNote;
    if (old != nullptr) comment = std::strstr(old->value, kNote) != nullptr ? std::string(old->value) : std::string(old->value) + "; " + comment;
    av_dict_set(&out_->metadata, "comment", comment.c_str(), 0);
    // Transport streams have no comment, only the name of who provides them.
    if (std::strcmp(out_->oformat->name, "mpegts") == 0) av_dict_set(&out_->metadata, "service_provider", kNote, 0);
    static const std::set<std::string> kBare = {"mpeg", "vob", "svcd", "dvd", "vcd", "h264", "hevc", "mpeg1video", "mpeg2video", "obu", "ivf", "rawvideo", "yuv4mpegpipe"};
    if (kBare.count(out_->oformat->name) != 0) warnings_->push_back("a ." + Extension(job_.name) + " file cannot carry the note that the face was swapped");
  }
  if (in_->nb_chapters > 0) {
    out_->chapters = static_cast<AVChapter**>(av_calloc(in_->nb_chapters, sizeof(AVChapter*)));
    for (unsigned i = 0; out_->chapters != nullptr && i < in_->nb_chapters; ++i) {
      // Of a trimmed film those that reach into it.
      const double unit = av_q2d(in_->chapters[i]->time_base), begin = std::max(job_.read.trim_start, 0.0);
      const double end = job_.read.trim_end >= 0 ? job_.read.trim_end : std::numeric_limits<double>::infinity();
      if (unit <= 0 || in_->chapters[i]->end * unit <= begin || in_->chapters[i]->start * unit >= end) continue;
      const auto place = [&](int64_t time) { return std::isfinite(end) || begin > 0 ? std::llround((std::min(std::max(time * unit, begin), end) - begin) / unit) : time; };
      AVChapter* chapter = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
      if (chapter == nullptr) break;
      const AVChapter* from = in_->chapters[i];
      chapter->id = from->id, chapter->time_base = from->time_base, chapter->start = place(from->start), chapter->end = place(from->end);
      av_dict_copy(&chapter->metadata, from->metadata, 0);
      out_->chapters[out_->nb_chapters++] = chapter;
    }
  }
  int error = avio_open(&out_->pb, ("file:" + job_.temporary).c_str(), AVIO_FLAG_WRITE);
  if (error < 0) return WriteError(error);
  out_->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;  // FLAC and TrueHD in MP4: FFmpeg's word for young
  // Times of a Matroska file are fit for a Matroska file (the sound's encoder delay is added back): no shift of the whole is needed.
  if (Matroska() && std::strstr(in_->iformat->name, "matroska") != nullptr && job_.read.trim_start <= 0) out_->avoid_negative_ts = 0;
  // Edit lists (start offsets, encoder delay) are counted in the movie's time scale: one that all streams can be counted in.
  AVDictionary* settings = nullptr;
  int64_t scale = 1;
  for (unsigned i = 0; i < out_->nb_streams; ++i) {
    const AVRational base = out_->streams[i]->time_base;
    if (base.num == 1 && base.den > 0 && out_->streams[i]->codecpar->codec_type != AVMEDIA_TYPE_ATTACHMENT) scale = std::lcm(scale, int64_t{base.den});
    if (scale > 100000000) {
      scale = 1000000;
      break;
    }
  }
  if (av_opt_find(out_->priv_data, "movie_timescale", nullptr, 0, 0) != nullptr) av_dict_set_int(&settings, "movie_timescale", std::max<int64_t>(scale, 1000), 0);
  error = avformat_write_header(out_, &settings);
  av_dict_free(&settings);
  if (error < 0) {
    if (error == AVERROR(ENOSPC)) return WriteError(error);
    return InvalidArgument(job_.name + ": the ." + Extension(job_.name) + " container refuses these streams (" + AvText(error) + "); try .mkv");
  }
  return Status::Ok();
}

// The next packet of another stream into other_, with the output's times; null at the end.
Status Muxer::NextOther() {
  while (others_left_) {
    if (other_ == nullptr) other_ = av_packet_alloc();
    if (other_ == nullptr) return OutOfMemory("not enough memory for a packet");
    // A damaged tail ends the sound as it ends the picture.
    if (av_read_frame(in_, other_) < 0) break;
    times_.Mend(in_, other_);
    const AVStream* from = in_->streams[other_->stream_index];
    const bool late = other_->stream_index >= static_cast<int>(stream_map_.size());  // transport and program streams name some only where they begin
    if (late) WarnOnce("a stream that begins in the middle of " + job_.input + " was left out");
    const int target = late ? -1 : stream_map_[other_->stream_index];
    const int64_t shown = other_->pts != AV_NOPTS_VALUE ? other_->pts : other_->dts;
    const double seconds = shown == AV_NOPTS_VALUE ? 0 : shown * av_q2d(from->time_base) - OriginSeconds();
    // Without a trim everything is kept: sound may start before zero (encoder delay).
    const bool inside = (job_.read.trim_start <= 0 || seconds >= job_.read.trim_start - 1e-6) && (job_.read.trim_end < 0 || seconds < job_.read.trim_end);
    if (target < 0 || !(inside || (from->disposition & AV_DISPOSITION_ATTACHED_PIC))) {
      av_packet_unref(other_);
      continue;
    }
    AVStream* to = out_->streams[target];
    if (job_.read.trim_start > 0) {
      const int64_t shift = std::llround(job_.read.trim_start / av_q2d(from->time_base));
      if (other_->pts != AV_NOPTS_VALUE) other_->pts -= shift;
      if (other_->dts != AV_NOPTS_VALUE) other_->dts -= shift;
    }
    av_packet_rescale_ts(other_, from->time_base, to->time_base);
    // Matroska's times of Opus count from the first sample decoded, FFmpeg's from the first one heard. Its demuxer takes the difference off; its
    // muxer writes it into the header but does not add it back before FFmpeg 6.
    if (LIBAVFORMAT_VERSION_MAJOR < 60 && Matroska() && to->codecpar->codec_id == AV_CODEC_ID_OPUS) {
      const int64_t delay = av_rescale_q(to->codecpar->initial_padding, {1, 48000}, to->time_base);
      if (other_->pts != AV_NOPTS_VALUE) other_->pts += delay;
      if (other_->dts != AV_NOPTS_VALUE) other_->dts += delay;
    }
    int64_t& last = last_dts_[target];
    if (other_->dts == AV_NOPTS_VALUE) other_->dts = other_->pts;
    const int64_t least = last == AV_NOPTS_VALUE ? other_->dts : last + ((out_->oformat->flags & AVFMT_TS_NONSTRICT) == 0);
    if (other_->dts != AV_NOPTS_VALUE && other_->dts < least) other_->dts = least;
    if (other_->dts != AV_NOPTS_VALUE) last = other_->dts;
    if (other_->pts != AV_NOPTS_VALUE && other_->dts != AV_NOPTS_VALUE && other_->pts < other_->dts) other_->pts = other_->dts;
    other_->stream_index = target;
    other_->pos = -1;
    return Status::Ok();
  }
  others_left_ = false;
  av_packet_free(&other_);
  return Status::Ok();
}

Status Muxer::Run(const std::atomic<bool>* cancel) {
  MFS_RETURN_IF_ERROR(OpenInput());
  MFS_RETURN_IF_ERROR(video_.Start());
  MFS_RETURN_IF_ERROR(OpenOutput());
  if (job_.read.trim_start > 0 && others_left_ && !PacketTimes::MayBreak(in_)) {
    (void)av_seek_frame(in_, -1, std::llround((OriginSeconds() + job_.read.trim_start) * AV_TIME_BASE), AVSEEK_FLAG_BACKWARD);
  }
  MFS_RETURN_IF_ERROR(NextOther());
  const AVRational base = {video_.parameters().time_base[0], video_.parameters().time_base[1]};
  // Both rows rise in time: the earlier packet is written, so the muxer has nothing to keep back.
  while (video_.front() != nullptr || other_ != nullptr) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled("stopped");
    bool take_video = video_.front() != nullptr;
    if (take_video && other_ != nullptr) {
      take_video = other_->dts != AV_NOPTS_VALUE && av_compare_ts(video_.front()->dts, base, other_->dts, out_->streams[other_->stream_index]->time_base) <= 0;
    }
    int error = 0;
    if (take_video) {
      AVPacket* p = video_.Take();
      av_packet_rescale_ts(p, base, stream_->time_base);
      p->stream_index = stream_->index;
      int64_t& last = last_dts_[stream_->index];
      // Two frames in one tick of an AVI: the later one moves on, where times must rise.
      if (last != AV_NOPTS_VALUE && p->dts <= last) p->dts = (out_->oformat->flags & AVFMT_TS_NONSTRICT) != 0 ? std::max(last, std::min(last + 1, p->pts)) : last + 1;
      p->pts = std::max(p->pts, p->dts);
      last = p->dts;
      error = av_write_frame(out_, p);
      av_packet_free(&p);
      if (error >= 0) MFS_RETURN_IF_ERROR(video_.Advance());
    } else {
      error = av_write_frame(out_, other_);
      av_packet_unref(other_);
      if (error == AVERROR_INVALIDDATA) {  // what a bad reception leaves of a packet
        WarnOnce("damaged packets of the sound or the subtitles of " + job_.input + " were left out");
        error = 0;
      }
      if (error >= 0) MFS_RETURN_IF_ERROR(NextOther());
    }
    if (error < 0) return WriteError(error);
  }
  int error = av_write_trailer(out_);
  if (error < 0) return WriteError(error);
  error = avio_closep(&out_->pb);
  if (error < 0) return WriteError(error);
  finished_ = true;
  return Status::Ok();
}

}  // namespace

Status MuxVideo(const VideoMuxJob& job, std::vector<std::string>* warnings, const std::atomic<bool>* cancel) {
  Muxer muxer(job, warnings);
  return muxer.Run(cancel);
}

}  // namespace mfs
