// The swap of a row of frames (a file, a camera), one frame at a time, independent of where frames come from and go to.
#ifndef MFS_SWAP_FRAME_SWAPPER_H_
#define MFS_SWAP_FRAME_SWAPPER_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "face/face_tracker.h"
#include "swap/engine.h"

namespace mfs {

struct FrameSwapperOptions {
  FaceTrackerOptions tracker;             // its `finder` is not used: all swappers of an engine share the engine's
  float min_face = 24;                    // pixels; faces with a smaller box (longer side) are left alone and counted
  int max_faces = 16;                     // of one frame; the largest ones are swapped, the others counted
  bool keep_person = false;               // FaceSelection::kLargest: a larger face never takes the place of the first one
  std::optional<PersonEmbedding> person;  // FaceSelection::kLargest: who it is, if known (LargestKeeper::Seed)
};

// What is to be done with one frame.
struct FramePlan {
  std::vector<TrackedFace> tracks;  // every face that is followed, largest first
  std::vector<ChosenFace> chosen;   // those to swap, in the order of pasting
  int too_small = 0, too_many = 0;  // faces of the selection that were left alone: FrameSwapperOptions
};

// All that lasts from frame to frame lives here: tracks, who is swapped, smoothing. Two halves, so that a pipeline can run them
// on two threads, each half called by one thread at a time and for every frame in order: Track() uses the engine's finder and
// embedder only, Swap() its swap network and what composes only.
class FrameSwapper {
 public:
  // The engine must outlive the swapper and must have an identity when Swap is called.
  static StatusOr<std::unique_ptr<FrameSwapper>> Create(Engine* engine, const FrameSwapperOptions& options = {});

  // First half: follows the faces of the next frame, `seconds` into the film, and chooses. Reads the frame only.
  StatusOr<FramePlan> Track(const FrameView& frame, double seconds, StageTimes* times);
  // Second half: swaps the chosen faces in place.
  Status Swap(const FramePlan& plan, FrameView* frame, StageTimes* times);
  // Both.
  StatusOr<FramePlan> Process(FrameView* frame, double seconds, StageTimes* times);

  const FaceTracker& tracker() const { return *tracker_; }

 private:
  FrameSwapper(Engine* engine, const FrameSwapperOptions& options) : engine_(engine), options_(options) {}

  Engine* engine_;
  FrameSwapperOptions options_;
  std::unique_ptr<FaceTracker> tracker_;  // first half
  TrackSelection selection_;              // first half
  std::set<int> swapped_;                 // tracks chosen in the last frame; first half
  struct Look {
    LookState state;
    int identity = 0;
    int64_t identities = -1;  // Engine::identities_set() when it began
  };
  std::map<int, Look> looks_;  // by track; second half
};

}  // namespace mfs

#endif  // MFS_SWAP_FRAME_SWAPPER_H_
