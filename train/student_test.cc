#include "student.h"

#include <gtest/gtest.h>

#include "frozen_embedder.h"
#include "ops.h"
#include "weights/safetensors.h"

namespace mfs::train {
namespace {

using torch::Tensor;

class Golden : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = SafetensorsFile::Open(MFS_SOURCE_DIR "/tests/golden/golden.safetensors");
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    file = std::make_unique<SafetensorsFile>(std::move(*opened));
  }
  // Channel-last with a batch of one; plain vectors get the batch only.
  Tensor Get(const std::string& name) const {
    const TensorView* view = file->Find(name);
    const Tensor t = torch::tensor(*file->ReadFloat(name, view->shape)).reshape(view->shape).unsqueeze(0);
    return t.dim() == 4 ? t.permute({0, 2, 3, 1}).contiguous() : t;
  }
  static double Worst(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }
  std::unique_ptr<SafetensorsFile> file;
};

TEST_F(Golden, StudentMatches) {
  Student student(1);
  const Status loaded = student.Load(MFS_SOURCE_DIR "/tests/golden/bootstrap-slim-224.safetensors");
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  torch::NoGradGuard guard;
  const Student::Output out = student.Run(Get("z"), Get("f"), Get("target"), false);
  EXPECT_LT(Worst(out.image, Get("raw")), 1e-4);
  EXPECT_LT(Worst(out.mask, Get("mask")), 1e-4);
  EXPECT_LT(Worst(Fuse(out.image, out.mask, Get("target")), Get("image")), 1e-4);
}

TEST_F(Golden, FrozenEmbedderMatches) {
  auto store = ModelStore::Open({});
  ASSERT_TRUE(store.ok());
  auto embedder = FrozenEmbedder::Create(*store);
  ASSERT_TRUE(embedder.ok()) << embedder.status().message();
  torch::NoGradGuard guard;
  const auto out = (*embedder)->Run(Get("source_112"));
  EXPECT_LT(Worst(out.z, Get("z")), 1e-4);
  EXPECT_LT(Worst(out.features.back(), Get("f")), 2e-3);
}

}  // namespace
}  // namespace mfs::train
