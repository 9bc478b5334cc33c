// Where a live loop's frames go.
#ifndef MFS_LIVE_LIVE_SINK_H_
#define MFS_LIVE_LIVE_SINK_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "live/live_frame.h"

namespace mfs {

// All calls come from one thread of the loop's, which belongs to this sink alone: a slow sink holds nobody up.
class LiveSink {
 public:
  virtual ~LiveSink() = default;
  virtual std::string Name() const = 0;
  // Before the first frame. stop: turns true when the loop wants to end; long waits look at it. Errors end the whole loop.
  virtual Status Start(const std::atomic<bool>* stop) = 0;
  // Returns when the frame has been handed over. kCancelled: whoever looked has gone (window closed, pipe closed), which ends the loop
  // without an error; any other error ends this sink only, unless it was the last.
  virtual Status Write(const LiveFrame& frame) = 0;
  // Now and then while no frame comes (windows look after their events).
  virtual Status Idle() { return Status::Ok(); }
  // Does the receiver want the last frame again while no new one comes?
  virtual bool wants_repeats() const { return false; }
};

using LiveSinks = std::vector<std::unique_ptr<LiveSink>>;

}  // namespace mfs

#endif  // MFS_LIVE_LIVE_SINK_H_
