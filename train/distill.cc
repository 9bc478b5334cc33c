#include "distill.h"

#include <algorithm>
#include <cmath>

#include "discriminator.h"
#include "distill_data.h"
#include "frozen_embedder.h"
#include "frozen_landmarks.h"
#include "ops.h"
#include "optimiser.h"
#include "pictures.h"
#include "quality_net.h"
#include "run_loop.h"
#include "sheet.h"
#include "student.h"

namespace mfs::train {
namespace {

using torch::Tensor;

constexpr int64_t kEmbedderSide = 112;
constexpr float kSharp = 60;  // FaceInfo::sharpness of two thirds of the faces is above it
constexpr int kAhead = 100;   // steps that the discriminator learns before the student is judged by it

Dynamics DynamicsOf(const std::string& name) { return name == "prediction" ? Dynamics::kPrediction : name == "modulation" ? Dynamics::kModulation : Dynamics::kBoth; }

class DistillStage : public Stage {
 public:
  DistillStage(const FaceCache& cache, const FrozenEmbedder& embedder, const FrozenLandmarks* landmarks, TeacherMix* teachers, std::unique_ptr<QualityNet> quality, Processes* processes,
               const DistillOptions& o)
      : cache_(cache),
        embedder_(embedder),
        landmarks_(landmarks),
        quality_(std::move(quality)),
        processes_(processes),
        o_(o),
        c_(o.config),
        loader_(cache, embedder, teachers, c_, o.device),
        student_(c_.seed, o.device, c_.detail != 0, DynamicsOf(c_.dynamics)),
        discriminator_(32, "discriminator", o.device),
        adam_(student_.parameters(), Adam()),
        discriminator_adam_(discriminator_.parameters(), Adam()),
        checkpoint_("distill") {
    // Both change what is learned, not the shapes. Checkpoints that do not name them are taken for the defaults.
    const DistillConfig defaults;
    student_.set_mask_gradient(c_.mask_gradient);
    checkpoint_.Require("detail", std::to_string(c_.detail), std::to_string(defaults.detail));
    checkpoint_.Require("dynamics", c_.dynamics, defaults.dynamics);
    checkpoint_.Add("student", &adam_);
    checkpoint_.Add("discriminator", &discriminator_adam_);
    checkpoint_.Add(student_.buffers());
    checkpoint_.Add(discriminator_.buffers());
  }

  bool empty() const { return loader_.empty(); }
  StatusOr<int> Restore() {
    return checkpoint_.Restore(processes_, CheckpointPath(), [&]() -> Status {
      if (!o_.start.empty()) return student_.Load(o_.start);
      if (c_.norms_fixed_from > 0) return Status::Ok();
      return InvalidArgument("norms_fixed_from = 0 without weights to start from: the batch norms would stay at mean 0 and variance 1; give --start, or norms_fixed_from about a third of the steps");
    });
  }

  std::vector<std::string> Columns() const override {
    return {"reconstruction", "identity", "mask",     "adversarial", "raw",       "perceptual", "discriminator", "cover",        "openings",
            "features",       "frames",   "contrast", "sharpness",   "landmarks", "alpha",      "quality",       "gradient_norm"};
  }

  Status Backward(int step, std::mt19937_64* rng, std::vector<double>* figures) override {
    MFS_ASSIGN_OR_RETURN(batch_, loader_.Next(c_.batch / processes_->size(), rng));
    const DistillBatch& b = batch_;
    const int64_t n = b.z.size(0);
    const auto keep = [&](Figure i, const Tensor& t) {
      (*figures)[i] = t.item<double>();
      return t;
    };
    // From here on every process keeps the statistics that it has: they must be the same.
    if (step == c_.norms_fixed_from) MFS_RETURN_IF_ERROR(Synchronise(processes_));
    const View view = DrawView(n, rng);
    adam_.ZeroGradient();
    const Student::Output out = student_.Run(b.z, b.map, b.target, step < c_.norms_fixed_from);
    const Tensor result = Fuse(out.image, out.mask, b.target);
    // Where nothing is asked, neither is the image before the fusion asked to be the result, which is partly the target.
    const Tensor image_wish = b.Asked(out.image);
    batch_.teacher = b.Asked(result);
    const Tensor full = b.FullAlpha();
    FrozenEmbedder::Output teacher;
    const Tensor alpha = Reweight(view, &teacher, figures);
    Tensor total = keep(kReconstruction, ReconstructionLoss(result, b.teacher, alpha, {c_.l1, c_.gradient, 0, 0}) + ReconstructionLoss(result, b.teacher, DarkWeight(), {0, 0, c_.colour, c_.chroma}));
    // Before the fusion: a mask that closes would be sharp by the target's own detail.
    if (c_.sharpness > 0) total = total + keep(kSharpness, c_.sharpness * SharpnessLoss(out.image, image_wish, b.target, (b.alpha + b.open) * (1 - b.background)));
    if (c_.occluder_image > 0) total = total + c_.occluder_image * WeightedL1(out.image, b.target, b.occluder);
    if (c_.around > 0) total = total + c_.around * WeightedL1(out.image, b.target, b.around);
    if (c_.raw > 0) total = total + keep(kRaw, c_.raw * WeightedL1(out.image, image_wish, b.alpha));
    const FrozenEmbedder::Output seen = embedder_.Run(ForEmbedder(Fuse(result, b.Judged(c_.judged_eyes, c_.judged_rest), b.teacher), view));
    Tensor perceptual = torch::zeros({n}, b.z.options());
    for (size_t i = 0; i < teacher.features.size(); ++i) {
      // Each map over its own mean square, so that no layer outweighs the others.
      const Tensor scale = teacher.features[i].square().mean().clamp_min(1e-6);
      perceptual = perceptual + (teacher.features[i] - seen.features[i]).square().mean({1, 2, 3}) / scale;
    }
    total = total + keep(kPerceptual, c_.perceptual * (perceptual * alpha).mean());
    total = total + keep(kIdentity, c_.identity * (1 - (seen.z * b.wanted).sum(1)).mean());
    Tensor mask = c_.mask * (out.mask * b.background).sum() / (b.background.sum() + 1);
    if (c_.around > 0) mask = mask + c_.around * (out.mask * b.around).sum() / (b.around.sum() + 1);
    if (c_.occluders > 0) mask = mask + c_.occluders * (out.mask * b.occluder).sum() / (b.occluder.sum() + 1);
    if (c_.full_mask > 0) mask = mask + c_.full_mask * (out.mask - b.alpha).abs().mean();
    total = total + keep(kMask, mask);
    if (c_.cover > 0) {
      const Tensor inside = (full > 0.9).to(torch::kFloat);
      total = total + keep(kCover, c_.cover * ((1 - out.mask) * inside).sum() / (inside.sum() + 1));
    }
    if (c_.openings > 0) {
      const Tensor open = (1 - b.background) * b.open;  // few pixels, in which an error shows most
      // Eyes and mouth are a twentieth of them; the rim to hair is most.
      total = total + keep(kOpenings, c_.openings * ((1 - c_.eyes) * WeightedL1(result, b.teacher, open) + c_.eyes * WeightedL1(result, b.teacher, open * b.features)));
    }
    if (c_.features > 0) {
      const auto hue = [](const Tensor& x) { return x - x.mean(3, true); };  // a yellow line on a lid is more wrong than a bright one
      total = total + keep(kFeatures, c_.features * (WeightedL1(result, b.teacher, b.features) + 2 * WeightedL1(hue(result), hue(b.teacher), b.features) +
                                                     WeightedL1(out.image, image_wish, b.features * (b.alpha + b.open) * (1 - b.background))));
    }
    if (c_.frames > 0) total = total + keep(kFrames, c_.frames * (WeightedL1(result, b.teacher, b.frame) + WeightedL1(out.image, image_wish, b.frame)));
    if (c_.contrast > 0) {
      const Tensor free = (b.wanted * b.target_z).sum(1).clamp_min(0.1);
      total = total + keep(kContrast, c_.contrast * torch::relu((seen.z * b.target_z).sum(1) - free).mean());
    }
    if (landmarks_ != nullptr) {
      // Half of the samples, the pairs being drawn at random anyway: the two networks are a sixth of a step.
      const int64_t some = (n + 1) / 2;
      const Tensor regions = b.regions.slice(0, 0, some);
      // In other colours each time: a coloured line on a lid would move these points, too.
      const Tensor saturation = c_.least_saturation < 1 ? Draw(0, 1, {some, 1, 1, 1}, rng) : Tensor();
      const auto plain = [&](const Tensor& x) { return saturation.defined() ? torch::lerp(x.mean(3, true), x, saturation) : x; };
      FrozenLandmarks::Output wanted;
      {
        torch::NoGradGuard guard;
        wanted = landmarks_->Run(plain(b.target.slice(0, 0, some)), regions);
      }
      total = total + keep(kLandmarks, c_.landmarks * LandmarkLoss(landmarks_->Run(plain(result.slice(0, 0, some)), regions), wanted));
    }

    discriminated_ = c_.adversarial > 0 && step >= c_.adversarial_start - kAhead;
    Tensor fake, real;
    if (discriminated_) {
      // The samples that the landmark loss does not look at: half a batch is a batch for the discriminator, too, whose passes would be an eighth of a step otherwise.
      const int64_t first = n / 2;  // one sample alone is for both
      const int crop = c_.discriminator_crop * c_.size / kCropSize / 8 * 8, room = c_.size - crop;
      std::uniform_int_distribution<int> place(room / 4, room - room / 4);
      const int y = place(*rng), x = place(*rng), other_y = place(*rng), other_x = place(*rng);
      // Of sharp targets only, on both sides: what is soft is no example, and what is made of it cannot be sharp.
      std::vector<int64_t> rows;
      for (int64_t i = first; i < n; ++i) {
        if (cache_.faces()[b.pairs[i].second].sharpness > kSharp) rows.push_back(i);
      }
      if (rows.empty()) rows.push_back(first);
      const Tensor sharp = torch::tensor(rows, torch::kLong).to(o_.device);
      fake = result.index_select(0, sharp).slice(1, y, y + crop).slice(2, x, x + crop);
      real = b.target.index_select(0, sharp).slice(1, other_y, other_y + crop).slice(2, other_x, other_x + crop);
    }
    if (discriminated_ && step >= c_.adversarial_start) total = total + keep(kAdversarial, -c_.adversarial * discriminator_.Run(fake, Discriminator::Use::kJudge).mean());
    total.backward();
    last_result_ = result.detach();
    last_mask_ = out.mask.detach();
    if (!discriminated_) return Status::Ok();
    discriminator_adam_.ZeroGradient();
    const Tensor good = discriminator_.Run(real, Discriminator::Use::kLearn);
    keep(kDiscriminator, HingeLoss(good, discriminator_.Run(fake.detach(), Discriminator::Use::kLearnStill))).backward();
    return Status::Ok();
  }

  StatusOr<double> Update(int step, std::vector<double>* figures) override {
    const Schedule schedule{c_.steps, c_.warmup, c_.decay};
    const double rate = schedule.Rate(c_.learning_rate, step);
    MFS_ASSIGN_OR_RETURN((*figures)[kNorm], StepTogether(processes_, rate, &adam_));
    if (discriminated_) MFS_RETURN_IF_ERROR(StepTogether(processes_, schedule.Rate(c_.discriminator_rate, step), &discriminator_adam_).status());
    return rate;
  }

  // Every process has running statistics of its own: the mean of them is kept.
  Status Synchronise(Processes* processes) override { return processes->Average(student_.buffers()); }

  std::string DescribeBatch() const override { return DescribePairs(cache_, batch_.pairs); }

  Status SaveSamples(const std::string& path) override {
    Sheet sheet{c_.size, 10, {}};
    const auto source = std::make_unique<FaceRecord>();
    for (int64_t i = 0; i < std::min<int64_t>(batch_.z.size(0), 12); ++i) {
      MFS_RETURN_IF_ERROR(cache_.Read(batch_.pairs[i].first, source.get()));
      sheet.cells.push_back(PlanarFromRgb8(source->crop, kCropSize, kCropSize));
      for (const Tensor& t : {batch_.target[i], batch_.teacher[i], last_result_[i], last_mask_[i]}) sheet.cells.push_back(PlanarFromTensor(t));
    }
    return sheet.Save(path);
  }

  Status Save(int step) override {
    MFS_RETURN_IF_ERROR(checkpoint_.Save(CheckpointPath(), step));
    return student_.Save(o_.output + "/student.safetensors", {{"steps", std::to_string(step)}, {"licence", "as the training data allow"}});
  }

 private:
  enum Figure {
    kReconstruction,
    kIdentity,
    kMask,
    kAdversarial,
    kRaw,
    kPerceptual,
    kDiscriminator,
    kCover,
    kOpenings,
    kFeatures,
    kFrames,
    kContrast,
    kSharpness,
    kLandmarks,
    kAlpha,
    kQuality,
    kNorm,
    kFigures
  };  // by the order of Columns()

  // How the embedder is shown a batch. It must not be won over by a pattern that a pixel's shift, another white balance or paler colours would break.
  struct View {
    int64_t y = 0, x = 0;  // pixels
    Tensor gains;          // [n,1,1,3], undefined: none
    Tensor saturation;     // [n,1,1,1], undefined: as it is
    Tensor place;          // [n,2,3], where the view's pixels lie in the picture, both in -1..1; undefined: there
  };

  AdamOptions Adam() const { return {c_.beta1, c_.beta2, 1e-8, c_.clip}; }
  std::string CheckpointPath() const { return o_.output + "/checkpoint.safetensors"; }

  // Loss reweighting (paper equation 9): alpha = cos(z, z')^2 Q(I'_g) of every sample (another power for the ablation), over its mean.
  // The teacher is seen as the student will be, or L_per would ask for what makes up for the view.
  Tensor Reweight(const View& view, FrozenEmbedder::Output* teacher, std::vector<double>* figures) {
    torch::NoGradGuard guard;
    *teacher = embedder_.Run(ForEmbedder(batch_.teacher, view));
    const Tensor cosine = (teacher->z * batch_.person).sum(1).clamp_min(0.05);
    Tensor alpha = cosine.pow(c_.alpha_power);
    (*figures)[kAlpha] = alpha.mean().item<double>();
    if (quality_ != nullptr) {
      const Tensor q = quality_->Run(batch_.teacher, false);
      (*figures)[kQuality] = q.mean().item<double>();
      alpha = alpha * q.clamp_min(0.02);
    }
    // What is no matter of identity, the background and the light, must not be given up where the teacher's likeness is poor (profiles, dark light).
    return (alpha / alpha.mean()).clamp(c_.least_alpha, c_.least_alpha > 0 ? 1 / c_.least_alpha : 1e6);
  }

  // [n], of mean about 1: the eye sees relative differences, and a patch that is a twentieth too bright stands out on a dark face.
  Tensor DarkWeight() const {
    torch::NoGradGuard guard;
    const Tensor face = 1 - batch_.background, luma = (batch_.target.mean(3, true) * face).sum({1, 2, 3}) / (face.sum({1, 2, 3}) + 1);
    return (c_.dark_colours * (0.5 / (luma + 0.05)) + (1 - c_.dark_colours)).clamp(0.8, 3);
  }

  Tensor Draw(float low, float high, const torch::IntArrayRef& shape, std::mt19937_64* rng) const {
    std::uniform_real_distribution<float> value(low, high);
    Tensor t = torch::empty(shape);
    for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = value(*rng);
    return t.to(o_.device);
  }
  View DrawView(int64_t n, std::mt19937_64* rng) const {
    View view;
    if (c_.jitter > 0) {
      std::uniform_int_distribution<int> shift(-2, 2);
      const int reach = static_cast<int>(std::lround(c_.jitter));
      view.y = shift(*rng) * reach, view.x = shift(*rng) * reach;
      const float gain = 0.1f * static_cast<float>(c_.jitter);
      view.gains = Draw(1 - gain, 1 + gain, {n, 1, 1, 3}, rng);
    }
    if (c_.turned > 0) {
      // Every second one in a mirror.
      const float t = static_cast<float>(c_.turned);
      const Tensor angle = Draw(-0.1f * t, 0.1f * t, {n}, rng), scale = 1 + Draw(-0.07f * t, 0.07f * t, {n}, rng), shift = Draw(-0.04f * t, 0.04f * t, {n, 2, 1}, rng);
      const Tensor side = Draw(-1, 1, {n}, rng).sign(), cosine = scale * angle.cos(), sine = scale * angle.sin();
      view.place = torch::cat({torch::stack({side * cosine, -sine, side * sine, cosine}, 1).reshape({n, 2, 2}), shift}, 2);
    }
    if (c_.least_saturation < 1) view.saturation = Draw(static_cast<float>(c_.least_saturation), 1, {n, 1, 1, 1}, rng);
    return view;
  }
  static Tensor ForEmbedder(const Tensor& picture, const View& view) {
    Tensor seen = picture;
    if (view.gains.defined()) seen = torch::roll(seen, {view.y, view.x}, {1, 2}) * view.gains;
    if (view.saturation.defined()) seen = torch::lerp(seen.mean(3, true), seen, view.saturation);
    seen = Shrink(seen, kEmbedderSide, kEmbedderSide);
    if (!view.place.defined()) return seen;
    const Tensor grid = torch::affine_grid_generator(view.place, {seen.size(0), 3, kEmbedderSide, kEmbedderSide}, false);
    return torch::grid_sampler(seen.permute({0, 3, 1, 2}), grid, 0, 1, false).permute({0, 2, 3, 1}).contiguous();  // bilinear, borders repeated
  }

  const FaceCache& cache_;
  const FrozenEmbedder& embedder_;
  const FrozenLandmarks* landmarks_;  // null: no such loss
  std::unique_ptr<QualityNet> quality_;
  Processes* processes_;
  const DistillOptions& o_;
  const DistillConfig& c_;
  DistillLoader loader_;
  Student student_;
  Discriminator discriminator_;
  FlatAdam adam_, discriminator_adam_;
  Checkpoint checkpoint_;
  DistillBatch batch_;
  Tensor last_result_, last_mask_;
  bool discriminated_ = false;
};

}  // namespace

Status Distill(const ModelStore& store, Processes* processes, const DistillOptions& o) {
  const DistillConfig& c = o.config;
  MFS_RETURN_IF_ERROR(CheckBatch(c.batch, *processes));
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache));
  MFS_ASSIGN_OR_RETURN(const auto embedder, FrozenEmbedder::Create(store, o.device));
  MFS_ASSIGN_OR_RETURN(TeacherMix teachers, TeacherMix::Create(c.teachers, o.device));
  std::unique_ptr<FrozenLandmarks> landmarks;
  if (c.landmarks > 0) {
    MFS_ASSIGN_OR_RETURN(landmarks, FrozenLandmarks::Create(store, o.device));
  }
  std::unique_ptr<QualityNet> quality;
  if (!c.quality.empty()) {
    MFS_ASSIGN_OR_RETURN(quality, QualityNet::Load(c.quality, o.device));
  }
  // Measured at 224 pixels: about 0.6 GB and 85 MB a sample.
  const uint64_t memory = (uint64_t{600} << 20) + static_cast<uint64_t>(85e6 * c.batch / processes->size() * c.size * c.size / (224.0 * 224));
  MFS_RETURN_IF_ERROR(OpenRunFolder(o.output, uint64_t{200} << 20, memory));
  DistillStage stage(*cache, *embedder, landmarks.get(), &teachers, std::move(quality), processes, o);
  if (stage.empty()) return InvalidArgument(o.cache + ": no faces for training");
  MFS_ASSIGN_OR_RETURN(const int first, stage.Restore());
  LoopOptions loop;
  loop.output = o.output;
  loop.config = FormatConfig(c);
  loop.caption = "source, target, teacher, student, mask";
  loop.steps = c.steps, loop.stop_after = o.stop_after, loop.batch = c.batch;
  loop.save_every = c.save_every, loop.sheet_every = c.sheet_every, loop.seed = c.seed;
  loop.cancel = o.cancel, loop.progress = o.progress;
  return RunLoop(processes, loop, first, &stage);
}

}  // namespace mfs::train
