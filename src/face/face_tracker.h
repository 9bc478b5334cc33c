// Follows the faces of a video: who is who from frame to frame, and steady landmarks.
#ifndef MFS_FACE_FACE_TRACKER_H_
#define MFS_FACE_FACE_TRACKER_H_

#include <memory>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "face/face_finder.h"

namespace mfs {

struct FaceTrackerOptions {
  FaceFinderOptions finder;
  int detect_every = 6;       // frames between two looks for new faces; every frame while there is none, at once when one is lost and after a cut
  bool everyone = false;      // small faces are looked for beside large ones, in a quarter of the frame at each look; where nobody is followed they always are
  double hold_seconds = 0.2;  // a face that is lost is waited for so long (a blink of the detector, a passing hand), and shown where it was while the
                              // picture there still looks like it
  // One-Euro filter (Casiez et al. 2012) of the landmarks; speeds are in eye distances a second.
  bool smooth = true;
  double min_cutoff = 0.8;  // Hz, of a face at rest
  double beta = 3;          // Hz more per unit of speed
  float cut = 0.10f;        // mean change of the luma (0..1) from frame to frame that counts as a cut of the film
};

struct TrackedFace {
  int id = 0;           // the same number as long as the face is followed
  Face face;            // smoothed
  bool held = false;    // not seen in this frame
  bool hidden = false;  // held, and another face or something else is in its place: nothing may be painted there
  // What was here could not be followed into this frame, and the detector found a face in its place: most likely the same, but behind a cut in a part of
  // the picture it is another.
  bool found_again = false;
  bool jumped = false;  // the frame changed as at a cut, but the face is the same: a flash, another take
  int age = 0;          // frames since the track began
};

// Not thread-safe; one per video.
class FaceTracker {
 public:
  static StatusOr<std::unique_ptr<FaceTracker>> Create(const ModelStore& store, const FaceTrackerOptions& options = {});
  // Several trackers of one thread can share a finder; options.finder is not used.
  static std::unique_ptr<FaceTracker> Create(std::shared_ptr<FaceFinder> finder, const FaceTrackerOptions& options = {});

  // The next frame, `seconds` into the video. Every face that is followed, largest first.
  StatusOr<std::vector<TrackedFace>> Update(const FrameView& frame, double seconds);

  // So far: frames seen, and those of them for which the detector ran.
  int frames() const { return frames_; }
  int detections() const { return detections_; }

 private:
  struct Track {
    int id = 0, age = 0;
    Face raw, smooth;
    std::vector<float> appearance;
    double speed = 0;  // smoothed, eye distances a second
    double last_seen = 0;
    bool found_again = false;
    int unconfirmed = 0;  // looks of the detector in a row that did not find it
    bool seen = true;
    float likeness = 1;  // FaceFinder::Follow
  };
  bool IsCut(const FrameView& frame);
  void Smooth(Track* track, const Face& face, double dt) const;
  Status Remember(const FrameView& frame, Track* track) const;

  FaceTrackerOptions options_;
  std::shared_ptr<FaceFinder> finder_;
  std::vector<Track> tracks_;
  std::vector<float> thumbnail_, last_thumbnail_;
  double last_time_ = 0;
  int next_id_ = 1, frames_ = 0, detections_ = 0, until_detection_ = 0, part_ = 0;
};

}  // namespace mfs

#endif  // MFS_FACE_FACE_TRACKER_H_
