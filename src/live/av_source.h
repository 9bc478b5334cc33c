// Anything that the FFmpeg libraries open: a network stream, a capture device of another system, a file played as if it were live.
#ifndef MFS_LIVE_AV_SOURCE_H_
#define MFS_LIVE_AV_SOURCE_H_

#include <string>

#include "live/live_source.h"

namespace mfs {

struct AvSourceOptions {
  std::string url;           // rtsp://..., http://..., a file's path
  std::string input_format;  // FFmpeg's name of a demuxer or device (x11grab, avfoundation, dshow, lavfi); empty: found out
  bool paced = false;        // what is recorded (a file, an address whose length is known, lavfi) comes at the times that it carries; else, and all others, as fast as it is read
  bool loop = false;         // starts again at the end
};

class AvSource : public LiveSource {
 public:
  // Errors: kNotFound, kCorruptData, kUnsupported.
  static StatusOr<std::unique_ptr<LiveSource>> Open(const AvSourceOptions& options, const std::atomic<bool>* stop);
  ~AvSource() override;
  StatusOr<LiveRead> Read(LiveFrame* frame) override;
  std::string Describe() const override;
  int64_t garbage() const override;

 private:
  struct Impl;
  AvSource();
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_LIVE_AV_SOURCE_H_
