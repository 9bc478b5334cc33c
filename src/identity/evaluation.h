// Embedders that judge a result and never take part in making it (docs/models.md).
#ifndef MFS_IDENTITY_EVALUATION_H_
#define MFS_IDENTITY_EVALUATION_H_

#include <array>
#include <memory>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "face/face.h"
#include "nn/plan.h"
#include "weights/model_store.h"

namespace mfs {

// For two embeddings of one length: the cosine of normalised ones, and the squared L2 distance.
double DotProduct(const std::vector<float>& a, const std::vector<float>& b);
double SquaredDistance(const std::vector<float>& a, const std::vector<float>& b);

// Embedder 1: 112 x 112 x 3, RGB as (x - 127.5) / 128 of 0..255 -> 192. Embedder 2: 150 x 150 x 3, RGB less its mean, in 255ths -> 128.
StatusOr<Graph> LoadEvaluationGraph1(const ModelStore& store);
StatusOr<Graph> LoadEvaluationGraph2(const ModelStore& store);

// Not thread-safe.
class EvaluationEmbedders {
 public:
  static StatusOr<std::unique_ptr<EvaluationEmbedders>> Create(const ModelStore& store, const PlanOptions& options = {});

  // Embedder 1: MobileFaceNet, 192 numbers, L2-normalised; compare by cosine.
  StatusOr<std::vector<float>> Run1(const FrameView& frame, const std::array<Point, 5>& points);
  // Embedder 2: dlib's ResNet-34, 128 numbers; compare by squared L2 distance (the same person below 0.389).
  StatusOr<std::vector<float>> Run2(const FrameView& frame, const std::array<Point, 5>& points);

 private:
  std::unique_ptr<Plan> mobilefacenet_, dlib_;
};

}  // namespace mfs

#endif  // MFS_IDENTITY_EVALUATION_H_
