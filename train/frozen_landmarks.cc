#include "frozen_landmarks.h"

#include <algorithm>

#include "face/face_mesh.h"
#include "face/face_nets.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr int64_t kMeshSide = 192;

// The squares of the pictures at side x side pixels, bilinear, borders repeated.
Tensor Cut(const Tensor& picture, const Tensor& regions, int64_t side) {
  const int64_t n = picture.size(0);
  Tensor theta = torch::zeros({n, 2, 3}, picture.options());
  // In grid_sample's units a picture reaches from -1 to 1.
  for (int axis = 0; axis < 2; ++axis) {
    theta.select(1, axis).select(1, axis).copy_(regions.select(1, 2) / kCropSize);
    theta.select(1, axis).select(1, 2).copy_((2 * regions.select(1, axis) + 1) / kCropSize - 1);
  }
  const Tensor grid = torch::affine_grid_generator(theta, {n, 3, side, side}, false);
  return torch::grid_sampler(picture.permute({0, 3, 1, 2}), grid, 0, 1, false).permute({0, 2, 3, 1}).contiguous();
}

Tensor Rows(const std::vector<int64_t>& ids, const torch::Device& device) { return torch::tensor(ids, torch::kLong).to(device); }

}  // namespace

void LandmarkRegions(const FaceRecord& face, bool flip, float* regions) {
  const auto square = [flip](const float* points, int n, int stride, float room, float* out) {
    float least[2] = {points[0], points[1]}, most[2] = {points[0], points[1]};
    for (int i = 1; i < n; ++i) {
      for (int axis = 0; axis < 2; ++axis) {
        least[axis] = std::min(least[axis], points[stride * i + axis]);
        most[axis] = std::max(most[axis], points[stride * i + axis]);
      }
    }
    out[0] = (least[0] + most[0]) / 2;
    if (flip) out[0] = kCropSize - 1 - out[0];
    out[1] = (least[1] + most[1]) / 2;
    out[2] = room * std::max({most[0] - least[0], most[1] - least[1], 1.0f});
  };
  square(face.mesh, kMeshPoints, 3, 1.5f, regions);
  square(face.landmarks, 68, 2, 1.1f, regions + 3);
}

StatusOr<std::unique_ptr<FrozenLandmarks>> FrozenLandmarks::Create(const ModelStore& store, const torch::Device& device) {
  MFS_ASSIGN_OR_RETURN(const Graph mesh, LoadMeshGraph(store));
  MFS_ASSIGN_OR_RETURN(const Graph landmarks, LoadLandmarkGraph(store));
  MFS_ASSIGN_OR_RETURN(FrozenNet mesh_net, FrozenNet::Create(mesh, device));
  MFS_ASSIGN_OR_RETURN(FrozenNet landmark_net, FrozenNet::Create(landmarks, device));
  return std::unique_ptr<FrozenLandmarks>(new FrozenLandmarks(std::move(mesh_net), std::move(landmark_net)));
}

FrozenLandmarks::Output FrozenLandmarks::Run(const Tensor& picture, const Tensor& regions) const {
  const int64_t n = picture.size(0);
  Output out;
  out.mesh = mesh_.Run(Cut(picture, regions.select(1, 0), kMeshSide))[0].reshape({n, kMeshPoints, 3}) / static_cast<double>(kMeshSide);
  // Twice the network's pixels, averaged in fours: the region is larger than the network's input.
  const Tensor fine = Cut(picture, regions.select(1, 1), 2 * kLandmarkSize);
  const Tensor grey = (fine * torch::tensor({0.299f, 0.587f, 0.114f}, picture.options())).sum(3, true) * (255.0 / 256);
  const Tensor input = grey.reshape({n, kLandmarkSize, 2, kLandmarkSize, 2, 1}).mean({2, 4});
  out.landmarks = landmarks_.Run(input)[0].reshape({n, 68, 2});
  return out;
}

Tensor LandmarkLoss(const FrozenLandmarks::Output& seen, const FrozenLandmarks::Output& wanted) {
  std::vector<int64_t> features;
  for (const short i : kMeshRightEye) features.push_back(i);
  for (const short i : kMeshLeftEye) features.push_back(i);
  for (const short i : kMeshInnerLips) features.push_back(i);
  const Tensor d = (seen.mesh - wanted.mesh).slice(2, 0, 2);
  const auto rows = [&](const std::vector<int64_t>& ids) { return d.index_select(1, Rows(ids, d.device())); };
  std::vector<int64_t> tops, bottoms;
  for (const auto& opening : kMeshOpenings) tops.push_back(opening[0]), bottoms.push_back(opening[1]);
  const Tensor openings = rows(tops) - rows(bottoms);
  return d.abs().mean() + rows(features).abs().mean() + openings.select(2, 1).abs().mean() + (seen.landmarks - wanted.landmarks).abs().mean();
}

}  // namespace mfs::train
