// Embedders that judge a result and never take part in making it (docs/models.md).
#ifndef MFS_IDENTITY_EVALUATION_H_
#define MFS_IDENTITY_EVALUATION_H_

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "base/frame.h"
#include "base/status.h"
#include "face/face.h"
#include "face/tflite_net.h"
#include "weights/model_store.h"

namespace mfs {

// For two embeddings of one length: the cosine of normalised ones, and the squared L2 distance.
double DotProduct(const std::vector<float>& a, const std::vector<float>& b);
double SquaredDistance(const std::vector<float>& a, const std::vector<float>& b);

class EvaluationEmbedders {
 public:
  static StatusOr<std::unique_ptr<EvaluationEmbedders>> Create(const ModelStore& store);

  // Embedder 1: MobileFaceNet, 192 numbers, L2-normalised; compare by cosine.
  StatusOr<std::vector<float>> Run1(const FrameView& frame, const std::array<Point, 5>& points);
  // Embedder 2: dlib's ResNet-34, 128 numbers; compare by squared L2 distance (the same person below 0.389).
  StatusOr<std::vector<float>> Run2(const FrameView& frame, const std::array<Point, 5>& points);

 private:
  struct Layer {
    std::vector<float> weight, bias;  // the scale that follows is folded in
    int kernel = 3;
  };
  std::unique_ptr<TfliteNet> mobilefacenet_;
  std::map<std::string, Layer> dlib_;
  std::vector<float> fc_;  // 256 x 128
};

}  // namespace mfs

#endif  // MFS_IDENTITY_EVALUATION_H_
