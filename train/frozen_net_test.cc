// The differentiable networks against the product's engine, and the loss that uses them.
#include "frozen_net.h"

#include <gtest/gtest.h>

#include "face/face_mesh.h"
#include "face/face_nets.h"
#include "frozen_landmarks.h"
#include "nn/plan.h"

namespace mfs::train {
namespace {

void ExpectSameAsEngine(const StatusOr<Graph>& graph, double tolerance) {
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const MapShape in = graph->layers[0].shape;
  torch::manual_seed(3);
  const torch::Tensor x = torch::rand({1, in.height, in.width, in.channels});
  auto net = FrozenNet::Create(*graph);
  ASSERT_TRUE(net.ok()) << net.status().message();
  torch::NoGradGuard guard;
  const auto seen = net->Run(x);
  auto plan = Plan::Create(*graph);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  (*plan)->Run(x.data_ptr<float>());
  ASSERT_EQ(static_cast<int>(seen.size()), (*plan)->num_outputs());
  for (size_t i = 0; i < seen.size(); ++i) {
    std::vector<float> wanted;
    (*plan)->CopyOutput(static_cast<int>(i), &wanted);
    const torch::Tensor flat = seen[i].contiguous().flatten();
    ASSERT_EQ(static_cast<size_t>(flat.numel()), wanted.size());
    for (size_t k = 0; k < wanted.size(); ++k) ASSERT_NEAR(flat.data_ptr<float>()[k], wanted[k], tolerance) << "output " << i << ", value " << k;
  }
}

StatusOr<Graph> Loaded(StatusOr<Graph> (*load)(const ModelStore&)) {
  auto store = ModelStore::Open({});
  return store.ok() ? load(*store) : StatusOr<Graph>(store.status());
}

TEST(FrozenNet, MeshIsTheEngines) { ExpectSameAsEngine(Loaded(LoadMeshGraph), 192e-4); }
TEST(FrozenNet, LandmarksAreTheEngines) { ExpectSameAsEngine(Loaded(LoadLandmarkGraph), 1e-4); }
TEST(FrozenNet, DetectorIsTheEngines) { ExpectSameAsEngine(Loaded(LoadRfbGraph), 2e-3); }

TEST(FrozenNet, RefusesWhatItCannotDifferentiate) {
  Graph graph;
  ASSERT_TRUE(graph.Input({4, 4, 8}).ok());
  ASSERT_TRUE(graph.Upsample(0).ok());
  EXPECT_EQ(FrozenNet::Create(graph).status().code(), StatusCode::kUnsupported);
}

TEST(FrozenLandmarks, RegionsOfAMirroredFaceMirror) {
  auto face = std::make_unique<FaceRecord>();
  std::fill(std::begin(face->mesh), std::end(face->mesh), 100.0f);
  std::fill(std::begin(face->landmarks), std::end(face->landmarks), 100.0f);
  face->mesh[0] = 60, face->landmarks[1] = 40;
  float regions[kRegionNumbers], mirrored[kRegionNumbers];
  LandmarkRegions(*face, false, regions);
  LandmarkRegions(*face, true, mirrored);
  EXPECT_FLOAT_EQ(regions[0], 80);
  EXPECT_FLOAT_EQ(regions[1], 100);
  EXPECT_FLOAT_EQ(regions[2], 60);
  EXPECT_FLOAT_EQ(regions[3], 100);
  EXPECT_FLOAT_EQ(regions[4], 70);
  EXPECT_FLOAT_EQ(regions[5], 66);
  EXPECT_FLOAT_EQ(mirrored[0], 143);
  EXPECT_FLOAT_EQ(mirrored[3], 123);
  EXPECT_FLOAT_EQ(mirrored[4], 70);
}

// A picture that is turned to the wanted one: the loss falls along its gradient, and is zero at the picture itself.
TEST(FrozenLandmarks, LossFallsAlongItsGradient) {
  auto store = ModelStore::Open({});
  ASSERT_TRUE(store.ok());
  auto nets = FrozenLandmarks::Create(*store);
  ASSERT_TRUE(nets.ok()) << nets.status().message();
  torch::manual_seed(4);
  const torch::Tensor regions = torch::tensor({111.5f, 111.5f, 220.0f, 111.5f, 120.0f, 150.0f}).reshape({1, 2, 3});
  const torch::Tensor target = torch::rand({1, 28, 28, 3}).repeat_interleave(8, 1).repeat_interleave(8, 2);
  FrozenLandmarks::Output wanted;
  {
    torch::NoGradGuard guard;
    wanted = (*nets)->Run(target, regions);
  }
  torch::Tensor picture = (target + 0.05 * torch::randn_like(target)).detach().requires_grad_();
  const torch::Tensor before = LandmarkLoss((*nets)->Run(picture, regions), wanted);
  before.backward();
  const torch::Tensor step = picture.grad() / picture.grad().norm();
  torch::NoGradGuard guard;
  const torch::Tensor after = LandmarkLoss((*nets)->Run(picture - 0.02 * step, regions), wanted);
  EXPECT_LT(after.item<double>(), before.item<double>());
  EXPECT_EQ(LandmarkLoss((*nets)->Run(target, regions), wanted).item<double>(), 0);
}

}  // namespace
}  // namespace mfs::train
