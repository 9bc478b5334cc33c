// From photos and frames to records of the cache: detect, align, measure.
#ifndef MFS_TRAIN_FACE_RECORDER_H_
#define MFS_TRAIN_FACE_RECORDER_H_

#include <memory>
#include <string>

#include "base/frame.h"
#include "base/status.h"
#include "face/face_finder.h"
#include "face/face_mesh.h"
#include "face_cache.h"
#include "identity/embedder.h"

namespace mfs::train {

// What a photo must have to be of use; the defaults take everything with a face.
struct RecordLimits {
  float min_scale = 0;      // pixels of the photo per pixel of the 224 crop
  float min_sharpness = 0;  // see FaceInfo
  float min_mesh_score = 0;
  float max_outside = 1;  // share of the face oval that may lie outside the photo
  bool one_face = false;  // no second face of half the size; landmarks and mesh agree
};

// Not thread-safe.
class FaceRecorder {
 public:
  static StatusOr<std::unique_ptr<FaceRecorder>> Create(const ModelStore& store);
  // The main face of an encoded picture. Returns why the photo is of no use, "" when it is; an error is one of ours.
  StatusOr<std::string> Photo(const std::string& bytes, const RecordLimits& limits, std::unique_ptr<FaceRecord>* record, FaceInfo* info);
  // A face of a frame, without its embedding (z and map are zero). Returns the mesh's score.
  StatusOr<float> Frame(const FrameView& view, const Face& face, FaceRecord* record);

 private:
  Status Embed(const FrameView& view, const Face& face, FaceRecord* record);

  std::unique_ptr<FaceFinder> finder_;
  std::unique_ptr<Embedder> embedder_;
  std::unique_ptr<FaceMesher> mesher_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_FACE_RECORDER_H_
