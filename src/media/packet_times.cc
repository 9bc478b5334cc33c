#include "media/packet_times.h"

extern "C" {
#include <libavformat/avformat.h>
}

#include <algorithm>

namespace mfs {
namespace {

// The ffmpeg program's bounds: streams are multiplexed with a little disorder, and a pause of some seconds may be meant.
constexpr int64_t kMostBack = AV_TIME_BASE / 10, kMostAhead = int64_t{10} * AV_TIME_BASE;

int64_t Start(const AVFormatContext* format) { return format->start_time == AV_NOPTS_VALUE ? 0 : format->start_time; }

}  // namespace

bool PacketTimes::MayBreak(const AVFormatContext* format) { return (format->iformat->flags & AVFMT_TS_DISCONT) != 0; }

int64_t PacketTimes::Origin(const AVFormatContext* format) { return MayBreak(format) ? 0 : Start(format); }

void PacketTimes::Mend(const AVFormatContext* format, AVPacket* packet) {
  if (!MayBreak(format)) return;
  if (next_.empty()) shift_ = -Start(format);
  next_.resize(format->nb_streams, AV_NOPTS_VALUE);  // streams can turn up later
  const AVStream* stream = format->streams[packet->stream_index];
  const AVMediaType type = stream->codecpar->codec_type;
  const bool decides = type == AVMEDIA_TYPE_VIDEO || type == AVMEDIA_TYPE_AUDIO;  // subtitles come when they are needed
  int64_t& next = next_[packet->stream_index];
  const auto microseconds = [&](int64_t ticks) { return av_rescale_q(ticks, stream->time_base, {1, AV_TIME_BASE}); };
  if (decides && (packet->dts != AV_NOPTS_VALUE || packet->pts != AV_NOPTS_VALUE)) {
    const int64_t decoded = microseconds(packet->dts != AV_NOPTS_VALUE ? packet->dts : packet->pts), duration = microseconds(std::max<int64_t>(0, packet->duration));
    const int64_t shown = microseconds(packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts);
    int64_t at = decoded + shift_;
    if (next != AV_NOPTS_VALUE && (at < next - kMostBack || at > next + kMostAhead)) {
      // Shown behind everything that there is: no sound may lie over other sound.
      const int64_t shift = end_ - (shown + at - decoded);
      shift_ += shift;
      at += shift;
      broken_ = true;
    }
    next = at + duration;
    end_ = std::max(end_, shown + at - decoded + duration);
  }
  if (shift_ == 0) return;
  const int64_t shift = av_rescale_q(shift_, {1, AV_TIME_BASE}, stream->time_base);
  if (packet->pts != AV_NOPTS_VALUE) packet->pts += shift;
  if (packet->dts != AV_NOPTS_VALUE) packet->dts += shift;
}

}  // namespace mfs
