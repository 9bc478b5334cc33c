// The live loop: newest frame of a source -> swap -> sinks. Nothing queues up: between two threads there is one place, and a newer frame
// takes it. Threads: one reads, one tracks, one swaps, one per sink writes.
#ifndef MFS_LIVE_LIVE_LOOP_H_
#define MFS_LIVE_LIVE_LOOP_H_

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "live/latency.h"
#include "live/live_sink.h"
#include "live/live_source.h"
#include "swap/frame_swapper.h"

namespace mfs {

// What happens to a frame: the two halves of FrameSwapper, each called by one thread, in the order of the frames (some may be left out
// between the first half and the second).
class LiveProcessor {
 public:
  virtual ~LiveProcessor() = default;
  virtual StatusOr<FramePlan> Track(const FrameView& frame, double seconds, StageTimes* times) = 0;
  virtual Status Swap(const FramePlan& plan, FrameView* frame, StageTimes* times) = 0;
};

struct LiveOptions {
  double max_fps = 0;              // frames a second that are processed at most; 0: no limit
  double duration = 0;             // seconds after which the loop ends by itself; 0: never
  bool every_frame = false;        // nothing is left out: the source is held back instead (for pipes and files, not for cameras)
  bool mirror = false;             // left and right are swapped in what goes out
  bool hide_without_face = false;  // frames in which no face was swapped, or one that is doubtful (ChosenFace), are not shown: the last one stays (every_frame: it is written again)
  bool two_stages = true;          // the next frame is tracked while this one is swapped
  double retry_seconds = 0.5;      // between attempts to open a source that was lost
};

struct LiveSinkStats {
  std::string name;
  int64_t written = 0, dropped = 0;  // dropped: the sink was busy and a newer frame came
  LatencySummary latency;            // from the capture to the end of the sink's Write, the whole run
  std::string error;                 // why it ended early; empty while all is well
};

struct LiveStats {
  enum class Source { kOpening, kRunning, kLost, kEnded };
  Source source = Source::kOpening;
  std::string source_name;   // as the source describes itself
  std::string source_error;  // why it is lost
  double seconds = 0;        // since the loop began
  int64_t captured = 0;      // frames the source gave
  int64_t dropped = 0;       // of those: a newer one came before they were processed, or they came in a pause
  int64_t garbage = 0;       // pictures the source could not use
  int64_t processed = 0, swapped = 0, without_face = 0, hidden = 0;
  int64_t skipped_faces = 0;  // too small or too many
  int reconnects = 0;
  double fps = 0;          // processed frames a second, the last two seconds
  double mean_fps = 0;     // processed frames a second between the first and the last one
  LatencySummary recent;   // capture -> first sink, the last seconds
  LatencySummary latency;  // capture -> first sink, the whole run; without sinks: capture -> swapped
  StageTimes times;        // sums; divide by `processed`
  bool paused = false, mirror = false;
  int width = 0, height = 0;
  std::vector<LiveSinkStats> sinks;
};

// The sinks that have failed since the last call, as "name: error". told: the indices of those that were said, kept by the caller from call to call.
std::vector<std::string> NewFailures(const LiveStats& stats, std::set<size_t>* told);

class LiveLoop {
 public:
  // processor must outlive the loop.
  LiveLoop(const LiveOptions& options, LiveSourceMaker source, LiveSinks sinks, LiveProcessor* processor);
  ~LiveLoop();
  LiveLoop(const LiveLoop&) = delete;
  LiveLoop& operator=(const LiveLoop&) = delete;

  // Runs until the source ends, a sink's viewer goes away, the duration is over or *cancel turns true (all of which are Ok), or something
  // fails: the source cannot be opened the first time or cannot come back, processing fails, the last sink fails.
  // Called once. When it returns no thread of the loop runs any more.
  Status Run(const std::atomic<bool>* cancel);

  // At any time, from any thread.
  LiveStats Stats() const;
  // In a pause frames are left out; with every_frame the source waits instead.
  void SetPaused(bool paused);
  void SetMirror(bool mirror);
  // Ends Run soon.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_LIVE_LIVE_LOOP_H_
