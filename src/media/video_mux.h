// The last step of a swapped video: segments of encoded video and everything else of the input go into one file.
#ifndef MFS_MEDIA_VIDEO_MUX_H_
#define MFS_MEDIA_VIDEO_MUX_H_

#include <atomic>
#include <string>
#include <vector>

#include "base/status.h"
#include "media/video.h"
#include "media/video_encoder.h"

namespace mfs {

struct VideoMuxJob {
  std::string input;                  // audio, subtitles, attachments, chapters and metadata are copied from it
  std::vector<std::string> segments;  // in order
  int reorder = 0;                    // the largest of the segments' encoders (VideoEncoder::reorder)
  std::string name;                   // of the result: its extension chooses the container
  std::string temporary;              // where it is written
  VideoReadOptions read;
  VideoWriteOptions write;
};

// Writes job.temporary; on an error it is removed. Times are those of the input: frames keep theirs, packets of other streams are copied
// untouched. warnings receives what could not be carried over, one line each. Errors: kInvalidArgument (the container refuses the streams),
// kCorruptData (a segment is damaged or was encoded otherwise than the first), kDiskFull, kIoError, kCancelled.
Status MuxVideo(const VideoMuxJob& job, std::vector<std::string>* warnings, const std::atomic<bool>* cancel);

}  // namespace mfs

#endif  // MFS_MEDIA_VIDEO_MUX_H_
