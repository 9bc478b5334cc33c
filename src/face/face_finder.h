// Finds faces and their landmarks in a frame.
#ifndef MFS_FACE_FACE_FINDER_H_
#define MFS_FACE_FACE_FINDER_H_

#include <memory>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "face/face.h"
#include "nn/plan.h"
#include "weights/model_store.h"

namespace mfs {

// kQuick: further looks are taken only where nobody was found. kEveryone: turned and small faces are looked for although others were found, about four times the
// work; for single pictures, in which all people count, and the few frames of a survey.
enum class Search { kQuick, kEveryone };

struct FaceFinderOptions {
  float score_threshold = 0.6f;  // of RFB-320
  float min_size = 16;           // faces with a smaller box (pixels of the frame) are left out
  int max_faces = 256;
  PlanOptions plan;  // threads and CPU level of the networks
};

// RFB-320 finds boxes, the 68-point net runs twice (the second crop upright). Where RFB finds nothing, or the points look like no
// face, BlazeFace-256 gives box and roll. A single picture without a face, or with all of them wanted, is looked at turned, too, and a large one once more in overlapping parts.
// Not thread-safe.
class FaceFinder {
 public:
  static StatusOr<std::unique_ptr<FaceFinder>> Create(const ModelStore& store, const FaceFinderOptions& options = {});
  ~FaceFinder();

  // Largest first; none is no error. previous: faces of the frame before, whose points are the first pass of those that are
  // found again near by (video: less jitter). part: with `previous`, 0..3: one quarter of a frame of more than 640 pixels is looked at for itself, too, in which
  // smaller faces are seen; over four frames the whole; 4: all at once. -1: none.
  StatusOr<std::vector<Face>> Find(const FrameView& frame, const std::vector<Face>* previous = nullptr, Search search = Search::kQuick, int part = -1);

  // Does BlazeFace, a second opinion, see this face in the frame, at its size and turn? For faces that RFB does not see: profiles, small ones.
  StatusOr<bool> Confirm(const FrameView& frame, const Face& face);

  // The same face one frame later, by the landmarks alone (a tenth of the time of Find). False when it is not there any more:
  // what is found looks like no face, has moved or grown further than a face can, or looks unlike it did in the frame before.
  // appearance: of one face, empty at first; kept by the caller from frame to frame. likeness: correlation of the picture where the face was
  // with its appearance there, -1..1; 1 without an appearance.
  StatusOr<bool> Follow(const FrameView& frame, const Face& previous, std::vector<float>* appearance, Face* face, float* likeness);

 private:
  struct Impl;
  explicit FaceFinder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_FACE_FACE_FINDER_H_
