#include "distill.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "augment.h"
#include "base/file.h"
#include "discriminator.h"
#include "face_cache.h"
#include "frozen_embedder.h"
#include "mesh_teacher.h"
#include "ops.h"
#include "optimiser.h"
#include "pairs.h"
#include "report.h"
#include "sheet.h"
#include "student.h"
#include "weights/float16.h"
#include "weights/safetensors.h"

namespace mfs::train {
namespace {

using torch::Tensor;
namespace fs = std::filesystem;
constexpr int64_t kSide = kCropSize;
constexpr const char* kLossNames[] = {"reconstruction", "raw", "perceptual", "identity", "mask", "adversarial", "discriminator", "alpha", "gradient_norm"};
constexpr int kLosses = 9;

struct Batch {
  Tensor z, map;   // what the injection network sees of the sources
  Tensor wanted;   // the sources' embeddings from the good pictures
  Tensor target, teacher, alpha, background;
  std::vector<std::pair<int, int>> pairs;
};

class Loader {
 public:
  Loader(const FaceCache& cache, const FrozenEmbedder& embedder, const DistillConfig& c)
      : cache_(cache), embedder_(embedder), c_(c), sampler_(cache, false, {static_cast<float>(c.same), static_cast<float>(c.similar_pose), 6}) {}
  bool empty() const { return sampler_.empty(); }

  StatusOr<Batch> Next(int n, std::mt19937_64* rng) {
    Batch b;
    b.z = torch::empty({n, 512});
    b.map = torch::empty({n, 7, 7, 512});
    b.target = torch::empty({n, kSide, kSide, 3});
    b.teacher = torch::empty({n, kSide, kSide, 3});
    b.alpha = torch::empty({n, kSide, kSide, 1});
    b.background = torch::empty({n, kSide, kSide, 1});
    std::uniform_real_distribution<float> uniform;
    std::vector<int64_t> poor;  // samples whose source is embedded from a degraded picture
    std::vector<Tensor> pictures;
    for (int i = 0; i < n; ++i) {
      const auto [s, t] = sampler_.Next(rng);
      b.pairs.emplace_back(s, t);
      MFS_RETURN_IF_ERROR(cache_.Read(s, &source_));
      MFS_RETURN_IF_ERROR(cache_.Read(t, &target_));
      if (uniform(*rng) < c_.moved) MoveFace(&target_, rng);
      if (uniform(*rng) < c_.relit) RelightFace(&target_, rng);
      if (s != t) {
        teacher_.Run(source_, target_, nullptr, &picture_);
      } else {  // the target is its own best swap
        teacher_.Run(target_, target_, nullptr, &picture_);
        for (size_t k = 0; k < picture_.image.size(); ++k) picture_.image[k] = target_.crop[k] / 255.0f;
      }
      Put(i, uniform(*rng) < 0.5f, &b);
      if (uniform(*rng) < c_.degraded) {
        poor.push_back(i);
        pictures.push_back(torch::empty({kSide / 2, kSide / 2, 3}));
        DegradeSource(source_, rng, pictures.back().data_ptr<float>());
      }
    }
    b.wanted = b.z;
    if (!poor.empty()) {
      torch::NoGradGuard guard;
      const FrozenEmbedder::Output seen = embedder_.Run(torch::stack(pictures));
      const Tensor rows = torch::tensor(poor, torch::kLong);
      b.z = b.z.index_copy(0, rows, seen.z);
      b.map.index_copy_(0, rows, seen.features.back());
    }
    return b;
  }

 private:
  void Put(int i, bool flip, Batch* b) {
    std::copy(source_.z, source_.z + 512, b->z[i].data_ptr<float>());
    float* map = b->map[i].data_ptr<float>();
    for (int c = 0; c < 512; ++c) {
      for (int p = 0; p < 49; ++p) map[p * 512 + c] = HalfToFloat(source_.map[c * 49 + p]);
    }
    float *target = b->target[i].data_ptr<float>(), *teacher = b->teacher[i].data_ptr<float>();
    float *alpha = b->alpha[i].data_ptr<float>(), *background = b->background[i].data_ptr<float>();
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int64_t to = y * kSide + x, from = y * kSide + (flip ? kSide - 1 - x : x);
        alpha[to] = picture_.alpha[from];
        background[to] = picture_.background[from];
        for (int c = 0; c < 3; ++c) {
          target[3 * to + c] = target_.crop[3 * from + c] / 255.0f;
          teacher[3 * to + c] = picture_.image[3 * from + c];
        }
      }
    }
  }

  const FaceCache& cache_;
  const FrozenEmbedder& embedder_;
  const DistillConfig c_;
  PairSampler sampler_;
  MeshTeacher teacher_;
  FaceRecord source_, target_;
  TeacherPicture picture_;
};

// What makes a run go on to the same result: weights, moments, running statistics, the step. The random numbers of a step depend on
// seed, step and rank only.
struct Checkpoint {
  Student* student;
  Discriminator* discriminator;
  FlatAdam *student_adam, *discriminator_adam;

  std::vector<std::pair<std::string, Tensor>> Tensors() const {
    std::vector<std::pair<std::string, Tensor>> all{{"student.values", student_adam->values}, {"student.first", student_adam->first}, {"student.second", student_adam->second},
                                                    {"discriminator.values", discriminator_adam->values}, {"discriminator.first", discriminator_adam->first},
                                                    {"discriminator.second", discriminator_adam->second}};
    for (const auto& [name, t] : student->buffers()) all.emplace_back(name, t);
    for (const auto& [name, t] : discriminator->buffers()) all.emplace_back(name, t);
    return all;
  }
  Status Save(const std::string& path, int step) const {
    SafetensorsWriter w;
    w.SetMetadata("format", "mobilefaceswap-checkpoint");
    w.SetMetadata("step", std::to_string(step));
    w.SetMetadata("discriminator_steps", std::to_string(discriminator_adam->steps));
    for (const auto& [name, t] : Tensors()) MFS_RETURN_IF_ERROR(w.Add(name, t.sizes().vec(), t.data_ptr<float>(), DType::kF32));
    return w.Save(path);
  }
  StatusOr<int> Load(const std::string& path) const {
    MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
    if (file.Metadata("format") != "mobilefaceswap-checkpoint") return CorruptData(path + ": no checkpoint of mfs-train");
    torch::NoGradGuard guard;
    for (auto [name, t] : Tensors()) {
      auto values = file.ReadFloat(name, t.sizes().vec());
      if (!values.ok()) return CorruptData(path + ": a checkpoint of another architecture, or damaged (" + values.status().message() + ")");
      t.copy_(torch::tensor(*values).reshape(t.sizes()));
    }
    student_adam->steps = std::atoi(file.Metadata("step").c_str());
    discriminator_adam->steps = std::atoi(file.Metadata("discriminator_steps").c_str());
    return static_cast<int>(student_adam->steps);
  }
};

double LearningRate(const DistillConfig& c, double rate, int step) {
  rate *= std::min(1.0, (step + 1.0) / std::max(c.warmup, 1));
  const double left = (c.steps - step) / std::max(c.decay * c.steps, 1.0);
  if (left >= 1) return rate;
  constexpr double kLast = 1.0 / 30;
  return rate * (kLast + (1 - kLast) * 0.5 * (1 - std::cos(M_PI * std::max(left, 0.0))));
}

// Rows of source, target, teacher, student, mask.
Status SaveSamples(const std::string& path, const FaceCache& cache, const Batch& b, const Tensor& result, const Tensor& mask) {
  Sheet sheet{static_cast<int>(kSide), 10, {}};
  const auto add = [&](const Tensor& t) {
    const Tensor planes = t.detach().permute({2, 0, 1}).contiguous();
    ImageF image(kSide, kSide, static_cast<int>(planes.size(0)));
    std::copy_n(planes.data_ptr<float>(), planes.numel(), image.data());
    sheet.cells.push_back(std::move(image));
  };
  const auto source = std::make_unique<FaceRecord>();
  for (int64_t i = 0; i < std::min<int64_t>(b.z.size(0), 12); ++i) {
    MFS_RETURN_IF_ERROR(cache.Read(b.pairs[i].first, source.get()));
    sheet.cells.push_back(PlanarFromRgb8(source->crop, kSide, kSide));
    for (const Tensor& t : {b.target[i], b.teacher[i], result[i], mask[i]}) add(t);
  }
  return sheet.Save(path);
}

class Trainer {
 public:
  Trainer(const FrozenEmbedder& embedder, const DistillConfig& c, uint64_t seed)
      : student(seed), embedder_(embedder), c_(c), adam(student.parameters(), {c.beta1, c.beta2, 1e-8, c.clip}), discriminator_adam(discriminator.parameters(), {c.beta1, c.beta2, 1e-8, c.clip}) {}

  // Gradients of one batch into both optimisers; the losses by the order of kLossNames.
  std::array<double, kLosses> Backward(const Batch& b, int step, std::mt19937_64* rng) {
    std::array<double, kLosses> loss{};
    const int64_t n = b.z.size(0);
    FrozenEmbedder::Output teacher;
    Tensor alpha;
    {
      torch::NoGradGuard guard;
      teacher = embedder_.Run(HalfSize(b.teacher));
      // Loss reweighting (paper equation 9): cos(z, z')^2; the mean stays 1.
      const Tensor cosine = (teacher.z * b.wanted).sum(1).clamp_min(0.05);
      alpha = cosine * cosine;
      loss[7] = alpha.mean().item<double>();
      alpha = alpha / alpha.mean();
    }
    adam.ZeroGradient();
    const Student::Output out = student.Run(b.z, b.map, b.target, true);
    const Tensor result = Fuse(out.image, out.mask, b.target);
    const auto keep = [&](int i, const Tensor& t) {
      loss[i] = t.item<double>();
      return t;
    };
    Tensor total = keep(0, ReconstructionLoss(result, b.teacher, alpha, {c_.l1, c_.gradient, c_.colour}));
    if (c_.raw > 0) total = total + keep(1, c_.raw * ((out.image - b.teacher).abs() * b.alpha).sum() / (3 * b.alpha.sum() + 1));
    // The embedder must not be won over by a pattern that a pixel's shift or another white balance would break.
    std::uniform_int_distribution<int> shift(-2, 2);
    std::uniform_real_distribution<float> gain(-0.1f, 0.1f);
    Tensor seen = result;
    if (c_.jitter > 0) {
      const int reach = static_cast<int>(std::lround(c_.jitter));
      seen = torch::roll(seen, {shift(*rng) * reach, shift(*rng) * reach}, {1, 2});
      Tensor gains = torch::empty({n, 1, 1, 3});
      for (int64_t i = 0; i < gains.numel(); ++i) gains.data_ptr<float>()[i] = 1 + static_cast<float>(c_.jitter) * gain(*rng);
      seen = seen * gains;
    }
    const FrozenEmbedder::Output student_seen = embedder_.Run(HalfSize(seen));
    Tensor perceptual = torch::zeros({n});
    for (size_t i = 0; i < teacher.features.size(); ++i) {
      // Each map over its own mean square, so that no layer outweighs the others.
      const Tensor scale = teacher.features[i].square().mean().clamp_min(1e-6);
      perceptual = perceptual + (teacher.features[i] - student_seen.features[i]).square().mean({1, 2, 3}) / scale;
    }
    total = total + keep(2, c_.perceptual * (perceptual * alpha).mean());
    total = total + keep(3, c_.identity * (1 - (student_seen.z * b.wanted).sum(1)).mean());
    total = total + keep(4, c_.mask * (out.mask * b.background).sum() / (b.background.sum() + 1));

    const bool adversarial = c_.adversarial > 0 && step >= c_.adversarial_start;
    const bool discriminate = c_.adversarial > 0 && step >= c_.adversarial_start - 100;
    Tensor fake, real;
    if (discriminate) {
      const int crop = c_.discriminator_crop, room = static_cast<int>(kSide) - crop;
      std::uniform_int_distribution<int> place(room / 4, room - room / 4);
      const int y = place(*rng), x = place(*rng), other_y = place(*rng), other_x = place(*rng);
      fake = result.slice(1, y, y + crop).slice(2, x, x + crop);
      real = b.target.slice(1, other_y, other_y + crop).slice(2, other_x, other_x + crop);
    }
    if (adversarial) total = total + keep(5, -c_.adversarial * discriminator.Run(fake, false).mean());
    total.backward();
    discriminator_adam.ZeroGradient();  // the generator's pass left gradients there
    if (discriminate) {
      const Tensor d = torch::relu(1 - discriminator.Run(real, true)).mean() + torch::relu(1 + discriminator.Run(fake.detach(), false)).mean();
      keep(6, d);
      d.backward();
    }
    last_result = result.detach();
    last_mask = out.mask.detach();
    discriminated = discriminate;
    return loss;
  }

  Student student;
  Discriminator discriminator;

 private:
  const FrozenEmbedder& embedder_;
  const DistillConfig& c_;

 public:
  FlatAdam adam, discriminator_adam;
  Tensor last_result, last_mask;
  bool discriminated = false;
};

}  // namespace

Status Distill(const ModelStore& store, Processes* processes, const DistillOptions& o) {
  const DistillConfig& c = o.config;
  const bool first = processes->rank() == 0;
  if (c.batch % processes->size() != 0) return InvalidArgument("batch (" + std::to_string(c.batch) + ") must be a multiple of the number of processes (" + std::to_string(processes->size()) + ")");
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache));
  MFS_ASSIGN_OR_RETURN(const auto embedder, FrozenEmbedder::Create(store));
  std::error_code error;
  fs::create_directories(o.output, error);
  if (error) return IoError(o.output + ": the folder cannot be made (" + error.message() + ")");
  if (const auto space = fs::space(o.output, error); !error && space.available < (200u << 20)) return DiskFull(o.output + ": less than 200 MB are free");
  auto loader = std::make_unique<Loader>(*cache, *embedder, c);
  if (loader->empty()) return InvalidArgument(o.cache + ": no faces for training");
  Trainer trainer(*embedder, c, c.seed);
  const std::string checkpoint_path = o.output + "/checkpoint.safetensors", student_path = o.output + "/student.safetensors", log_path = o.output + "/log.csv";
  if (!o.start.empty()) MFS_RETURN_IF_ERROR(trainer.student.Load(o.start));
  const Checkpoint checkpoint{&trainer.student, &trainer.discriminator, &trainer.adam, &trainer.discriminator_adam};
  int step = 0;
  if (FileExists(checkpoint_path)) {
    MFS_ASSIGN_OR_RETURN(step, checkpoint.Load(checkpoint_path));
    if (first && o.progress) o.progress("going on from step " + std::to_string(step));
  }
  for (Tensor* t : {&trainer.adam.values, &trainer.discriminator_adam.values}) MFS_RETURN_IF_ERROR(processes->Broadcast(t));
  std::FILE* log = nullptr;
  if (first) {
    const std::string text = FormatDistillConfig(c);
    MFS_RETURN_IF_ERROR(WriteFileAtomically(o.output + "/config.json", text.data(), text.size()));
    const bool fresh = !FileExists(log_path);
    log = std::fopen(log_path.c_str(), "a");
    if (log == nullptr) return ErrnoStatus(log_path, errno);
    if (fresh) {
      std::fprintf(log, "step,seconds,samples_per_second,learning_rate");
      for (const char* name : kLossNames) std::fprintf(log, ",%s", name);
      std::fprintf(log, "\n");
    }
  }
  const auto close = [&] {
    if (log != nullptr) std::fclose(log);
    log = nullptr;
  };
  const auto start = std::chrono::steady_clock::now();
  const int last = o.stop_after > 0 ? std::min(c.steps, step + o.stop_after) : c.steps, first_step = step;
  std::array<double, kLosses> smooth{};
  const auto save = [&]() -> Status {
    // Every process has running statistics of its own: the mean of them is kept.
    for (auto [name, t] : trainer.student.buffers()) MFS_RETURN_IF_ERROR(processes->Average(&t));
    if (!first) return Status::Ok();
    MFS_RETURN_IF_ERROR(checkpoint.Save(checkpoint_path, step));
    if (FileExists(log_path)) MFS_RETURN_IF_ERROR(WriteReport(o.output));
    return trainer.student.Save(student_path, {{"steps", std::to_string(step)}, {"licence", "as the training data allow"}});
  };
  const Status done = [&]() -> Status {
    while (step < last) {
      std::mt19937_64 rng(c.seed * 1000003 + static_cast<uint64_t>(step) * 64 + processes->rank());
      MFS_ASSIGN_OR_RETURN(const Batch batch, loader->Next(c.batch / processes->size(), &rng));
      std::array<double, kLosses> loss = trainer.Backward(batch, step, &rng);
      double sum = 0;
      for (double v : loss) sum += v;
      // One flag for all, so that nobody waits for a process that has given up.
      Tensor flag = torch::full({1}, std::isfinite(sum) ? (o.cancel != nullptr && *o.cancel ? 1.0 : 0.0) : std::nan(""));
      MFS_RETURN_IF_ERROR(processes->Average(&flag));
      if (std::isnan(flag.item<double>())) {
        if (!std::isfinite(sum)) {
          std::string rows;
          for (const auto& [s, t] : batch.pairs) rows += cache->faces()[s].file + "\t" + cache->faces()[t].file + "\n";
          const Status ignored = WriteFileAtomically(o.output + "/nan-batch.tsv", rows.data(), rows.size());
          (void)ignored;
        }
        return Internal("the loss is no number at step " + std::to_string(step) + "; the pairs are in " + o.output + "/nan-batch.tsv; lower learning_rate and run again: it goes on from the last checkpoint");
      }
      if (flag.item<double>() > 0) {
        MFS_RETURN_IF_ERROR(save());
        return Cancelled("stopped at step " + std::to_string(step) + "; the same command goes on from here");
      }
      MFS_RETURN_IF_ERROR(processes->Average(&trainer.adam.gradient()));
      const double rate = LearningRate(c, c.learning_rate, step);
      loss[8] = trainer.adam.Step(rate);
      if (trainer.discriminated) {
        MFS_RETURN_IF_ERROR(processes->Average(&trainer.discriminator_adam.gradient()));
        trainer.discriminator_adam.Step(LearningRate(c, c.discriminator_rate, step));
      }
      ++step;
      for (int i = 0; i < kLosses; ++i) smooth[i] = step == first_step + 1 ? loss[i] : smooth[i] + 0.05 * (loss[i] - smooth[i]);
      if (first && (step % 10 == 0 || step == last)) {
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const double speed = (step - first_step) * static_cast<double>(c.batch) / seconds;
        std::fprintf(log, "%d,%.1f,%.2f,%.6f", step, seconds, speed, rate);
        for (double v : smooth) std::fprintf(log, ",%.5f", v);
        std::fprintf(log, "\n");
        std::fflush(log);
        if (o.progress) {
          char line[256];
          std::snprintf(line, sizeof(line), "step %d of %d, %.1f samples/s, %.0f min left; reconstruction %.3f identity %.3f mask %.4f adversarial %.3f", step, c.steps, speed,
                        (c.steps - step) * static_cast<double>(c.batch) / speed / 60, smooth[0], smooth[3], smooth[4], smooth[5]);
          o.progress(line);
        }
      }
      if (first && step % c.sheet_every == 0) {
        char name[64];
        std::snprintf(name, sizeof(name), "/samples-%07d.jpg", step);
        MFS_RETURN_IF_ERROR(SaveSamples(o.output + name, *cache, batch, trainer.last_result, trainer.last_mask));
      }
      if (step % c.save_every == 0 || step == last) MFS_RETURN_IF_ERROR(save());
    }
    return Status::Ok();
  }();
  close();
  return done;
}

}  // namespace mfs::train
