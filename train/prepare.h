// mfs-train prepare: folders of photos -> a cache of aligned faces with everything training needs to know of them.
#ifndef MFS_TRAIN_PREPARE_H_
#define MFS_TRAIN_PREPARE_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "weights/model_store.h"

namespace mfs::train {

struct PrepareOptions {
  std::vector<std::string> folders;
  std::string output;
  int threads = 2;
  int limit = 0;            // at most so many pictures, evenly spread over the list; 0: all
  float min_scale = 0.28f;  // pixels of the photo per pixel of the 224 crop (0.28: the eyes are 20 px apart)
  float min_sharpness = 6;  // see FaceInfo
  float min_mesh_score = 0.6f;
  float max_outside = 0.25f;  // share of the face oval that may lie outside the photo
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const std::string&)> progress;  // a line for people
};

struct PrepareReport {
  int pictures = 0, kept = 0, validation = 0;
  std::map<std::string, int> dropped;  // by reason
};

// Interrupted work goes on where it stopped when the folders and thresholds are the same. Writes OUTPUT/kept.png, dropped.png and
// dropped.tsv besides the cache. Errors: kNotFound (no pictures), kNoFace (no usable face in any), kDiskFull, kAlreadyExists.
StatusOr<PrepareReport> Prepare(const ModelStore& store, const PrepareOptions& options);

}  // namespace mfs::train

#endif  // MFS_TRAIN_PREPARE_H_
