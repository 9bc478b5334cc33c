#include "media/packet_times.h"

extern "C" {
#include <libavformat/avformat.h>
}

#include <algorithm>
#include <cstdlib>

namespace mfs {
namespace {

// The ffmpeg program's bounds: streams are multiplexed with a little disorder, and a pause of some seconds may be meant.
constexpr int64_t kMostBack = AV_TIME_BASE / 10, kMostAhead = int64_t{10} * AV_TIME_BASE;
constexpr int64_t kFits = AV_TIME_BASE;  // streams of one part begin and end about together

int64_t Start(const AVFormatContext* format) { return format->start_time == AV_NOPTS_VALUE ? 0 : format->start_time; }

}  // namespace

bool PacketTimes::MayBreak(const AVFormatContext* format) { return (format->iformat->flags & AVFMT_TS_DISCONT) != 0; }

int64_t PacketTimes::Origin(const AVFormatContext* format) { return MayBreak(format) ? 0 : Start(format); }

void PacketTimes::Mend(const AVFormatContext* format, AVPacket* packet) {
  if (!MayBreak(format)) return;
  if (streams_.empty()) shift_ = -Start(format);
  while (streams_.size() < format->nb_streams) streams_.push_back({AV_NOPTS_VALUE, shift_});  // some turn up later
  const AVStream* from = format->streams[packet->stream_index];
  const auto microseconds = [&](int64_t ticks) { return av_rescale_q(ticks, from->time_base, {1, AV_TIME_BASE}); };
  const bool dated = packet->pts != AV_NOPTS_VALUE, ordered = packet->dts != AV_NOPTS_VALUE;
  // A flipped bit: no codec shows a picture so long after it was decoded.
  if (dated && ordered && std::llabs(microseconds(packet->pts - packet->dts)) > kMostAhead) packet->pts = packet->dts;
  const AVMediaType type = from->codecpar->codec_type;
  const bool decides = type == AVMEDIA_TYPE_VIDEO || type == AVMEDIA_TYPE_AUDIO;  // subtitles come when they are needed
  int64_t shift = shift_;
  if (decides && (dated || ordered)) {
    Stream& stream = streams_[packet->stream_index];
    const int64_t decoded = microseconds(ordered ? packet->dts : packet->pts), shown = microseconds(dated ? packet->pts : packet->dts);
    const int64_t duration = microseconds(std::max<int64_t>(0, packet->duration));
    // Behind a join the streams' first packets come in any order, and last ones of the part before between them: each follows the new shift when that fits its own times.
    const auto off = [&](int64_t by) { return std::llabs(decoded + by - stream.next); };
    if (stream.next == AV_NOPTS_VALUE || off(shift_) <= off(stream.shift) + kFits) stream.shift = shift_;
    const int64_t at = decoded + stream.shift;
    // A stream that pauses while others go on is no hole of the film.
    if (stream.next != AV_NOPTS_VALUE && (at < stream.next - kMostBack || at > std::max(stream.next, end_) + kMostAhead)) {
      // Shown behind everything that there is: no sound may lie over other sound.
      stream.shift = shift_ = end_ - shown;
      broken_ = true;
    }
    shift = stream.shift;
    stream.next = decoded + shift + duration;
    end_ = std::max(end_, shown + shift + duration);
  }
  if (shift == 0) return;
  const int64_t ticks = av_rescale_q(shift, {1, AV_TIME_BASE}, from->time_base);
  if (packet->pts != AV_NOPTS_VALUE) packet->pts += ticks;
  if (packet->dts != AV_NOPTS_VALUE) packet->dts += ticks;
}

}  // namespace mfs
