// The identity embedder: MobileFaceNet, 512 numbers per face (design of the net: Chen et al. 2018).
#ifndef MFS_IDENTITY_EMBEDDER_H_
#define MFS_IDENTITY_EMBEDDER_H_

#include <memory>

#include "base/image.h"
#include "base/status.h"
#include "identity/embedding.h"
#include "nn/plan.h"
#include "weights/model_store.h"

namespace mfs {

// embedder_mobilefacenet.onnx: 112 x 112 x 3, BGR as (x - 127) / 128 of 0..255 -> the embedding, not normalised, and the last feature
// map (7 x 7 x 512).
StatusOr<Graph> LoadEmbedderGraph(const ModelStore& store);

// Not thread-safe.
class Embedder {
 public:
  static StatusOr<std::unique_ptr<Embedder>> Create(const ModelStore& store, const PlanOptions& options = {});

  // aligned: ArcFace crop of 112 x 112 pixels, RGB in [0,1]. Errors: kInvalidArgument for another size.
  StatusOr<Embedding> Run(const ImageF& aligned);

 private:
  std::unique_ptr<Plan> plan_;
};

}  // namespace mfs

#endif  // MFS_IDENTITY_EMBEDDER_H_
