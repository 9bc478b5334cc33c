// The product's mesh and landmark networks as differentiable ones: the result shall have the target's pose and expression
// (docs/method.md, the landmark loss). The paper has no such term.
#ifndef MFS_TRAIN_FROZEN_LANDMARKS_H_
#define MFS_TRAIN_FROZEN_LANDMARKS_H_

#include <torch/torch.h>

#include <memory>

#include "base/status.h"
#include "face_cache.h"
#include "frozen_net.h"
#include "weights/model_store.h"

namespace mfs::train {

// Mouth, right eye, left eye: the mesh points at top, bottom, left and right of their openings, which the expression error measures.
inline constexpr int kMeshOpenings[3][4] = {{13, 14, 78, 308}, {159, 145, 33, 133}, {386, 374, 362, 263}};

// Squares of the 224 crop, for each sample and network its middle and its side: [n,2,3]; network 0 is the mesh, 1 the landmarks.
inline constexpr int kRegionNumbers = 6;
// Where the networks look at this face, as FaceMesher and FaceFinder do for an upright one. flip: of the mirrored crop.
void LandmarkRegions(const FaceRecord& face, bool flip, float* regions);

class FrozenLandmarks {
 public:
  static StatusOr<std::unique_ptr<FrozenLandmarks>> Create(const ModelStore& store, const torch::Device& device = torch::kCPU);

  struct Output {
    torch::Tensor mesh;       // [n,468,3], x, y and depth in units of the region's side
    torch::Tensor landmarks;  // [n,68,2], in units of the region's side
  };
  // picture: [n,s,s,3] RGB in [0,1], the 224 crop or a shrunk one.
  Output Run(const torch::Tensor& picture, const torch::Tensor& regions) const;

 private:
  FrozenLandmarks(FrozenNet mesh, FrozenNet landmarks) : mesh_(std::move(mesh)), landmarks_(std::move(landmarks)) {}
  FrozenNet mesh_, landmarks_;
};

// Mean distance of all points, that of eyes and inner lips, that of the openings' heights (as the evaluation's expression error has
// them) and that of the 68 landmarks, summed; L1, in units of the regions' sides, over the samples. `wanted` has no gradient.
torch::Tensor LandmarkLoss(const FrozenLandmarks::Output& seen, const FrozenLandmarks::Output& wanted);

}  // namespace mfs::train

#endif  // MFS_TRAIN_FROZEN_LANDMARKS_H_
