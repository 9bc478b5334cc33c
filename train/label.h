// mfs-train label: the face parser over a cache of prepared faces, so that teacher and losses know what covers a face.
#ifndef MFS_TRAIN_LABEL_H_
#define MFS_TRAIN_LABEL_H_

#include <atomic>
#include <functional>
#include <string>

#include "base/status.h"
#include "weights/model_store.h"

namespace mfs::train {

struct LabelOptions {
  std::string cache;    // made by prepare
  std::string weights;  // of the parser; "": the committed ones
  int threads = 2;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const std::string&)> progress;
};

// Writes CACHE/visible.bin (face_cache.h); what was there is replaced when everything is done. Interrupted work goes on where it stopped.
// Returns the number of faces. Errors: as FaceCache::Open, kDiskFull, kCancelled.
StatusOr<int> LabelFaces(const ModelStore& store, const LabelOptions& options);

}  // namespace mfs::train

#endif  // MFS_TRAIN_LABEL_H_
