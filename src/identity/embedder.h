// The identity embedder: MobileFaceNet, 512 numbers per face (design of the net: Chen et al. 2018).
#ifndef MFS_IDENTITY_EMBEDDER_H_
#define MFS_IDENTITY_EMBEDDER_H_

#include <memory>

#include "base/image.h"
#include "base/status.h"
#include "face/ort_session.h"
#include "identity/embedding.h"
#include "weights/model_store.h"

namespace mfs {

// Not thread-safe.
class Embedder {
 public:
  static StatusOr<std::unique_ptr<Embedder>> Create(const ModelStore& store);

  // aligned: ArcFace crop of 112 x 112 pixels, RGB in [0,1]. Errors: kInvalidArgument for another size.
  StatusOr<Embedding> Run(const ImageF& aligned);

 private:
  std::unique_ptr<OrtSession> session_;
  std::vector<float> input_;
  std::vector<std::vector<float>> outputs_;
};

}  // namespace mfs

#endif  // MFS_IDENTITY_EMBEDDER_H_
