// Times of packets that go on where a stream was joined or cut.
#ifndef MFS_MEDIA_PACKET_TIMES_H_
#define MFS_MEDIA_PACKET_TIMES_H_

#include <cstdint>
#include <vector>

struct AVFormatContext;
struct AVPacket;

namespace mfs {

// Containers without an index of times (MPEG transport and program streams) may be put behind one another byte by byte, and recordings have holes: the times start
// anew or leap, and begin anywhere, at the hours for which a sender has been running. Here they begin at 0 and go on without a break, all streams of a part by the same shift,
// much as the ffmpeg program has it. Of other containers times are left as they are.
// Two readers of one file agree when both see every packet of its sound and picture.
class PacketTimes {
 public:
  // May the times of this container break off? Its sound and picture must then be read in full, from the start.
  static bool MayBreak(const AVFormatContext* format);
  // Time of the packets, as mended, at which the film begins, microseconds.
  static int64_t Origin(const AVFormatContext* format);
  // The next packet of the file.
  void Mend(const AVFormatContext* format, AVPacket* packet);
  // Were there breaks? What the container says of its length is not true then.
  bool broken() const { return broken_; }

 private:
  struct Stream {
    int64_t next;   // when its next packet is to be decoded, or AV_NOPTS_VALUE
    int64_t shift;  // of its last packet
  };
  // All in microseconds.
  bool broken_ = false;
  int64_t shift_ = 0;  // of the part that was begun last
  std::vector<Stream> streams_;
  int64_t end_ = INT64_MIN;  // of what is shown or heard so far
};

}  // namespace mfs

#endif  // MFS_MEDIA_PACKET_TIMES_H_
