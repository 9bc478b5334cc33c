// Where a live loop's frames come from.
#ifndef MFS_LIVE_LIVE_SOURCE_H_
#define MFS_LIVE_LIVE_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "live/live_frame.h"

namespace mfs {

enum class LiveRead {
  kFrame,    // a new frame
  kNothing,  // not yet, or only garbage came: ask again with the same frame
  kEnd,      // no more will ever come
};

// One thread reads. Sources hand out the newest picture they have.
class LiveSource {
 public:
  virtual ~LiveSource() = default;
  // Waits a tenth of a second at most, or until the source's stop flag turns true. Errors: the source is lost (unplugged, network gone).
  virtual StatusOr<LiveRead> Read(LiveFrame* frame) = 0;
  // What it is, for people: "camera /dev/video0, 1280x720 MJPG, 30 fps".
  virtual std::string Describe() const = 0;
  // Frames that came but could not be used.
  virtual int64_t garbage() const { return 0; }
};

struct LiveSourceMaker {
  // When a source is lost: try to open it again until it comes back, or end with its error.
  bool reconnects = false;
  // stop: turns true when the loop wants to end; the source may look at it whenever it waits. It outlives the source.
  std::function<StatusOr<std::unique_ptr<LiveSource>>(const std::atomic<bool>* stop)> open;
};

}  // namespace mfs

#endif  // MFS_LIVE_LIVE_SOURCE_H_
