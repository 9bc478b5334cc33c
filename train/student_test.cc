#include "student.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "export.h"
#include "frozen_embedder.h"
#include "identity/iin.h"
#include "idn/idn.h"
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
  // As in the file, planar.
  std::vector<float> Values(const std::string& name) const { return *file->ReadFloat(name, file->Find(name)->shape); }
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

// The same pictures and masks; the encoder hears of the mask as far as it is told to.
TEST_F(Golden, MaskGradient) {
  Student student(1);
  ASSERT_TRUE(student.Load(MFS_SOURCE_DIR "/tests/golden/bootstrap-slim-224.safetensors").ok());
  const Tensor& weight = student.parameters().at("idn.encoder.4.pointwise.weight");
  const auto norm = [&](double share) {
    student.set_mask_gradient(share);
    const Student::Output out = student.Run(Get("z"), Get("f"), Get("target"), false);
    EXPECT_LT(Worst(out.mask, Get("mask")), 1e-4) << share;
    if (weight.grad().defined()) weight.mutable_grad().zero_();
    out.mask.sum().backward();
    return weight.grad().defined() ? weight.grad().norm().item<double>() : 0.0;
  };
  EXPECT_EQ(norm(0), 0);
  const double whole = norm(1);
  EXPECT_GT(whole, 0);
  EXPECT_NEAR(norm(0.25), 0.25 * whole, 1e-3 * whole);
}

// With the detail branch: the product reads what the trainer writes and paints the same; without it the file is that of the public architecture.
TEST_F(Golden, DetailBranchInTrainerAndProduct) {
  const std::string path = testing::TempDir() + "student_detail.safetensors", first = MFS_SOURCE_DIR "/tests/golden/bootstrap-slim-224.safetensors";
  Student student(1);
  ASSERT_TRUE(student.Load(first).ok());
  ASSERT_TRUE(student.Save(path, {}).ok());
  EXPECT_EQ(SafetensorsFile::Open(path)->Find("idn.head.detail.weight"), nullptr);
  torch::NoGradGuard guard;
  torch::manual_seed(3);
  for (const char* part : {".weight", ".bias"}) {
    Tensor t = student.parameters().at(std::string("idn.head.detail") + part);
    t.copy_(torch::randn(t.sizes()) * 0.5);
  }
  ASSERT_TRUE(student.Save(path, {}, DType::kF32).ok());
  EXPECT_EQ(Student(1, torch::kCPU, false).Load(path).code(), StatusCode::kInvalidArgument);
  Student again(2);
  ASSERT_TRUE(again.Load(path).ok());
  const Student::Output out = again.Run(Get("z"), Get("f"), Get("target"), false);
  EXPECT_GT(Worst(out.image, Get("raw")), 0.05);

  auto model = SafetensorsFile::Open(path);
  ASSERT_TRUE(model.ok());
  auto iin = InjectionNetwork::Create(*model);
  ASSERT_TRUE(iin.ok()) << iin.status().message();
  auto weights = (*iin)->Run(Values("z").data(), Values("f").data());
  ASSERT_TRUE(weights.ok());
  auto idn = Idn::Create(*weights, {});
  ASSERT_TRUE(idn.ok());
  std::vector<float> raw(3 * 224 * 224);
  ASSERT_TRUE((*idn)->Run(Values("target").data(), raw.data(), nullptr, nullptr).ok());
  EXPECT_LT(Worst(out.image, torch::from_blob(raw.data(), {1, 3, 224, 224}).permute({0, 2, 3, 1})), 1e-4);
  RemoveFile(path);
}

TEST_F(Golden, AverageOfWeights) {
  const std::string first = MFS_SOURCE_DIR "/tests/golden/bootstrap-slim-224.safetensors", other = testing::TempDir() + "average_other.safetensors",
                    out = testing::TempDir() + "average_out.safetensors";
  Student student(1);
  ASSERT_TRUE(student.Load(first).ok());
  const Tensor before = student.parameters().at("idn.head.conv2.weight").detach().clone();
  {
    torch::NoGradGuard guard;
    Tensor(student.parameters().at("idn.head.conv2.weight")).add_(0.5);
    Tensor(student.parameters().at("idn.head.detail.weight")).fill_(0.25);
  }
  ASSERT_TRUE(student.Save(other, {}).ok());
  EXPECT_EQ(AverageWeights({first}, out).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(AverageWeights({first, other}, other).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(AverageWeights({first, testing::TempDir() + "none.safetensors"}, out).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(AverageWeights({first, other}, out).ok());
  Student mean(2);
  ASSERT_TRUE(mean.Load(out).ok());
  EXPECT_LT(Worst(mean.parameters().at("idn.head.conv2.weight"), before + 0.25), 1e-3);
  EXPECT_LT(Worst(mean.parameters().at("idn.head.detail.weight"), torch::full({4, 32, 1, 1}, 0.125)), 1e-6);
  EXPECT_LT(Worst(mean.parameters().at("iin.reduce.weight"), student.parameters().at("iin.reduce.weight")), 1e-3);
  RemoveFile(other), RemoveFile(out);
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
