#include "teacher_net.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "discriminator.h"
#include "face_cache.h"
#include "frozen_embedder.h"
#include "ops.h"
#include "optimiser.h"
#include "pairs.h"
#include "pictures.h"
#include "run_loop.h"
#include "sheet.h"
#include "swap_generator.h"

namespace mfs::train {

using torch::Tensor;
namespace fs = std::filesystem;

namespace {

constexpr char kPrefix[] = "teacher-", kSuffix[] = ".safetensors";
constexpr uint64_t kFree = uint64_t{1} << 30;  // for the numbered checkpoints

struct Batch {
  Tensor z, target, same;  // same [n]: 1 where the source is the target
  std::vector<std::pair<int, int>> pairs;
};

class NetTeacherStage : public Stage {
 public:
  NetTeacherStage(const FaceCache& cache, const FrozenEmbedder& embedder, Processes* processes, const TeacherNetOptions& o)
      : cache_(cache),
        embedder_(embedder),
        processes_(processes),
        o_(o),
        c_(o.config),
        sampler_(cache, false, {static_cast<float>(c_.same), static_cast<float>(c_.similar_pose), 6}),
        generator_({c_.size, c_.width, c_.blocks}, c_.seed, o.device),
        full_(c_.discriminator_width, "discriminator.full", o.device),
        half_(c_.discriminator_width, "discriminator.half", o.device),
        adam_(generator_.parameters(), Adam()),
        discriminator_adam_(Both(), Adam()),
        checkpoint_("teacher-net") {
    checkpoint_.Require("size", c_.size);
    checkpoint_.Require("width", c_.width);
    checkpoint_.Require("blocks", c_.blocks);
    checkpoint_.Add("generator", &adam_);
    checkpoint_.Add("discriminator", &discriminator_adam_);
    for (const auto* buffers : {&generator_.buffers(), &full_.buffers(), &half_.buffers()}) checkpoint_.Add(*buffers);
  }

  bool empty() const { return sampler_.empty(); }
  StatusOr<int> Restore() { return checkpoint_.Restore(processes_, CheckpointPath()); }

  std::vector<std::string> Columns() const override { return {"identity", "reconstruction", "colour", "feature_matching", "adversarial", "discriminator", "gradient_norm"}; }

  Status Backward(int step, std::mt19937_64* rng, std::vector<double>* figures) override {
    MFS_ASSIGN_OR_RETURN(batch_, Draw(c_.batch / processes_->size(), rng));
    const auto keep = [&](Figure i, const Tensor& t) {
      (*figures)[i] = t.item<double>();
      return t;
    };
    adam_.ZeroGradient();
    discriminator_adam_.ZeroGradient();
    const Tensor result = generator_.Run(batch_.z, batch_.target, true);
    Tensor total = keep(kIdentity, c_.identity * (1 - (embedder_.Run(Shrink(result, 112, 112)).z * batch_.z).sum(1)).mean());
    if (c_.reconstruction > 0 || c_.gradient > 0) total = total + keep(kReconstruction, ReconstructionLoss(result, batch_.target, batch_.same, {c_.reconstruction, c_.gradient, 0}));
    if (c_.colour > 0) total = total + keep(kColour, ReconstructionLoss(result, batch_.target, torch::ones_like(batch_.same), {0, 0, c_.colour}));
    discriminated_ = step >= c_.adversarial_start && (c_.adversarial > 0 || c_.feature_matching > 0);
    const Tensor small = Shrink(batch_.target, c_.size / 2, c_.size / 2);
    if (discriminated_) {
      std::vector<Tensor> real, fake;
      {
        torch::NoGradGuard guard;
        full_.Run(batch_.target, Discriminator::Use::kJudge, &real);
        half_.Run(small, Discriminator::Use::kJudge, &real);
      }
      // One after the other: both append to `fake`, and the order of a sum's operands is not fixed.
      const Tensor full_score = full_.Run(result, Discriminator::Use::kJudge, &fake).mean();
      const Tensor scores = full_score + half_.Run(Shrink(result, c_.size / 2, c_.size / 2), Discriminator::Use::kJudge, &fake).mean();
      total = total + keep(kAdversarial, -c_.adversarial * scores);
      Tensor matching = torch::zeros({}, scores.options());
      for (size_t i = 0; i < real.size(); ++i) {
        // Weak: the first map of each discriminator holds the pixels and is left out.
        if (i % 3 != 0) matching = matching + (fake[i] - real[i]).abs().mean();
      }
      total = total + keep(kMatching, c_.feature_matching * matching);
    }
    total.backward();
    last_ = result.detach();
    if (!discriminated_) return Status::Ok();
    const Tensor small_fake = Shrink(last_, c_.size / 2, c_.size / 2);
    const auto lose = [](Discriminator* d, const Tensor& real, const Tensor& fake) {
      const Tensor good = d->Run(real, Discriminator::Use::kLearn);
      return HingeLoss(good, d->Run(fake, Discriminator::Use::kLearnStill));
    };
    keep(kDiscriminator, lose(&full_, batch_.target, last_) + lose(&half_, small, small_fake)).backward();
    return Status::Ok();
  }

  StatusOr<double> Update(int step, std::vector<double>* figures) override {
    const Schedule schedule{c_.steps, c_.warmup, c_.decay};
    const double rate = schedule.Rate(c_.learning_rate, step);
    MFS_ASSIGN_OR_RETURN((*figures)[kNorm], StepTogether(processes_, rate, &adam_));
    if (discriminated_) MFS_RETURN_IF_ERROR(StepTogether(processes_, schedule.Rate(c_.discriminator_rate, step), &discriminator_adam_).status());
    // Numbered checkpoints are kept whatever save_every is.
    if ((step + 1) % c_.keep_every == 0 || step + 1 == c_.steps) {
      MFS_RETURN_IF_ERROR(Synchronise(processes_));
      if (processes_->rank() == 0) {
        char name[64];
        std::snprintf(name, sizeof(name), "/%s%07d%s", kPrefix, step + 1, kSuffix);
        MFS_RETURN_IF_ERROR(generator_.Save(o_.output + name, step + 1, c_.steps));
      }
    }
    return rate;
  }

  Status Synchronise(Processes* processes) override { return processes->Average(generator_.buffers()); }

  std::string DescribeBatch() const override { return DescribePairs(cache_, batch_.pairs); }

  Status SaveSamples(const std::string& path) override {
    Sheet sheet{c_.size, 9, {}};
    const auto source = std::make_unique<FaceRecord>();
    for (int64_t i = 0; i < std::min<int64_t>(batch_.z.size(0), 12); ++i) {
      MFS_RETURN_IF_ERROR(cache_.Read(batch_.pairs[i].first, source.get()));
      sheet.cells.push_back(PlanarFromRgb8(source->crop, kCropSize, kCropSize));
      for (const Tensor& t : {batch_.target[i], last_[i]}) sheet.cells.push_back(PlanarFromTensor(t));
    }
    return sheet.Save(path);
  }

  Status Save(int step) override { return checkpoint_.Save(CheckpointPath(), step); }

 private:
  enum Figure { kIdentity, kReconstruction, kColour, kMatching, kAdversarial, kDiscriminator, kNorm, kFigures };  // by the order of Columns()

  AdamOptions Adam() const { return {c_.beta1, c_.beta2, 1e-8, c_.clip}; }
  std::map<std::string, Tensor> Both() const {
    std::map<std::string, Tensor> all = full_.parameters();
    all.insert(half_.parameters().begin(), half_.parameters().end());
    return all;
  }
  std::string CheckpointPath() const { return o_.output + "/checkpoint.safetensors"; }

  StatusOr<Batch> Draw(int n, std::mt19937_64* rng) {
    Batch b;
    b.z = torch::empty({n, 512});
    b.same = torch::zeros({n});
    Tensor target = torch::empty({n, kCropSize, kCropSize, 3});
    std::bernoulli_distribution coin(0.5);
    const auto record = std::make_unique<FaceRecord>();
    for (int i = 0; i < n; ++i) {
      const auto [s, t] = sampler_.Next(rng);
      b.pairs.emplace_back(s, t);
      MFS_RETURN_IF_ERROR(cache_.Read(s, record.get()));
      std::copy(record->z, record->z + 512, b.z[i].data_ptr<float>());
      if (s != t) MFS_RETURN_IF_ERROR(cache_.Read(t, record.get()));
      b.same.data_ptr<float>()[i] = s == t;
      CopyCrop(*record, coin(*rng), target[i].data_ptr<float>());
    }
    b.z = b.z.to(o_.device), b.same = b.same.to(o_.device);
    b.target = Shrink(target.to(o_.device), c_.size, c_.size);
    return b;
  }

  const FaceCache& cache_;
  const FrozenEmbedder& embedder_;
  Processes* processes_;
  const TeacherNetOptions& o_;
  const NetTeacherConfig& c_;
  PairSampler sampler_;
  SwapGenerator generator_;
  Discriminator full_, half_;
  FlatAdam adam_, discriminator_adam_;
  Checkpoint checkpoint_;
  Batch batch_;
  Tensor last_;
  bool discriminated_ = false;
};

}  // namespace

Status TrainNetTeacher(const ModelStore& store, Processes* processes, const TeacherNetOptions& o) {
  const NetTeacherConfig& c = o.config;
  MFS_RETURN_IF_ERROR(CheckBatch(c.batch, *processes));
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache));
  MFS_ASSIGN_OR_RETURN(const auto embedder, FrozenEmbedder::Create(store, o.device));
  // Measured: 47 bytes of activations for each sample, pixel and channel of `width`, beside 0.5 GB for libtorch and the embedder.
  const uint64_t memory = (uint64_t{500} << 20) + uint64_t{60} * c.batch / processes->size() * c.size * c.size * c.width;
  MFS_RETURN_IF_ERROR(OpenRunFolder(o.output, kFree, memory));
  NetTeacherStage stage(*cache, *embedder, processes, o);
  if (stage.empty()) return InvalidArgument(o.cache + ": no faces for training");
  MFS_ASSIGN_OR_RETURN(const int first, stage.Restore());
  LoopOptions loop;
  loop.output = o.output;
  loop.config = FormatConfig(c);
  loop.caption = "source, target, result";
  loop.steps = c.steps, loop.stop_after = o.stop_after, loop.batch = c.batch;
  loop.save_every = c.save_every, loop.sheet_every = c.sheet_every, loop.seed = c.seed;
  loop.cancel = o.cancel, loop.progress = o.progress;
  return RunLoop(processes, loop, first, &stage);
}

StatusOr<std::vector<std::string>> NetTeacherCheckpoints(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPrefix, 0) == 0 && entry.path().extension() == kSuffix) files.push_back(entry.path().string());
  }
  if (files.size() < 2) return NotFound(folder + ": no numbered checkpoints of a network teacher; mfs-train teacher-net makes them");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace mfs::train
