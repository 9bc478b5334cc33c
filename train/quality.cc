#include "quality.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/file.h"
#include "face_cache.h"
#include "mesh_teacher.h"
#include "ops.h"
#include "pairs.h"
#include "pictures.h"
#include "quality_net.h"
#include "run_loop.h"
#include "sheet.h"
#include "swap_generator.h"
#include "teacher_net.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr int kSize = QualityNet::kSize;
constexpr int kAtOnce = 16;       // pictures made in one run of a generator
constexpr int kJudgedPairs = 24;  // validation pairs of each checkpoint

// Pictures as bytes, with what Q should say of them.
struct Pool {
  std::vector<Tensor> pictures;  // [kSize,kSize,3], uint8
  std::vector<float> progress;
  std::vector<std::string> names;
};

struct Held {
  std::string path;
  std::unique_ptr<SwapGenerator> generator;
  double progress = 0;
  bool held_back = false;
};

// Source and target of one pair.
struct PairPictures {
  Tensor z, target;  // [512], [224,224,3]
};

StatusOr<PairPictures> ReadPair(const FaceCache& cache, std::pair<int, int> pair, FaceRecord* record) {
  PairPictures p{torch::empty({512}), torch::empty({kCropSize, kCropSize, 3})};
  MFS_RETURN_IF_ERROR(cache.Read(pair.first, record));
  std::copy(record->z, record->z + 512, p.z.data_ptr<float>());
  MFS_RETURN_IF_ERROR(cache.Read(pair.second, record));
  CopyCrop(*record, false, p.target.data_ptr<float>());
  return p;
}

// What a checkpoint makes of pairs, at Q's size.
StatusOr<Tensor> MakePictures(const FaceCache& cache, SwapGenerator* generator, const torch::Device& device, const std::vector<std::pair<int, int>>& pairs) {
  torch::NoGradGuard guard;
  const auto record = std::make_unique<FaceRecord>();
  std::vector<Tensor> made;
  const int64_t size = generator->shape().size;
  for (size_t i = 0; i < pairs.size(); i += kAtOnce) {
    std::vector<Tensor> z, target;
    for (size_t k = i; k < std::min(pairs.size(), i + kAtOnce); ++k) {
      MFS_ASSIGN_OR_RETURN(PairPictures p, ReadPair(cache, pairs[k], record.get()));
      z.push_back(p.z), target.push_back(p.target);
    }
    made.push_back(Shrink(generator->Run(torch::stack(z).to(device), Shrink(torch::stack(target).to(device), size, size), false), kSize, kSize).cpu());
  }
  return torch::cat(made);
}

Tensor Quantise(const Tensor& t) { return (t * 255).round().clamp(0, 255).to(torch::kByte); }

class QualityStage : public Stage {
 public:
  QualityStage(const FaceCache& cache, Processes* processes, const QualityOptions& o)
      : cache_(cache), processes_(processes), o_(o), c_(o.config), net_(c_.seed, o.device), adam_(net_.parameters(), {c_.beta1, c_.beta2, 1e-8, c_.clip}), checkpoint_("quality") {
    checkpoint_.Add("quality", &adam_);
    checkpoint_.Add(net_.buffers());
  }

  Status OpenTeacher() {
    MFS_ASSIGN_OR_RETURN(const auto files, NetTeacherCheckpoints(o_.teacher));
    const int held_back = static_cast<int>(files.size()) / c_.held_back;
    if (held_back < 2) {
      const std::string made = o_.teacher + ": " + std::to_string(files.size()) + " numbered checkpoints";
      return InvalidArgument(made + ", of which held_back = " + std::to_string(c_.held_back) + " leaves out " + std::to_string(held_back) +
                             "; two are needed to see how Q ranks them: lower held_back, or keep_every of mfs-train teacher-net");
    }
    // A teacher that was trained on for more steps than it was begun with: its older files name the smaller number.
    int total = 1;
    for (size_t i = 0; i < files.size(); ++i) {
      Held h;
      h.path = files[i];
      MFS_ASSIGN_OR_RETURN(h.generator, SwapGenerator::Load(h.path, o_.device));
      total = std::max(total, h.generator->total_steps());
      h.held_back = static_cast<int>(i) % c_.held_back == c_.held_back - 1;
      held_.push_back(std::move(h));
    }
    for (Held& h : held_) h.progress = static_cast<double>(h.generator->steps()) / total;
    return Status::Ok();
  }

  // This process's share of the pictures that Q learns from.
  Status MakePool() {
    const PairSampler sampler(cache_, false, {0, 0.5f, 6});
    if (sampler.empty()) return InvalidArgument(o_.cache + ": no faces for training");
    std::mt19937_64 rng(c_.seed * 7919 + processes_->rank());
    const int share = (c_.pictures + processes_->size() - 1) / processes_->size();
    for (const Held& h : held_) {
      if (h.held_back) continue;
      if (o_.cancel != nullptr && *o_.cancel) return Cancelled("stopped; the same command begins again");
      std::vector<std::pair<int, int>> pairs;
      for (int i = 0; i < share; ++i) pairs.push_back(sampler.Next(&rng));
      MFS_ASSIGN_OR_RETURN(const Tensor made, MakePictures(cache_, h.generator.get(), o_.device, pairs));
      const Tensor bytes = Quantise(made);
      for (int i = 0; i < share; ++i) Add(bytes[i], h.progress, cache_.faces()[pairs[i].first].file + "\t" + cache_.faces()[pairs[i].second].file + "\t" + BaseName(h.path));
    }
    const int mesh = static_cast<int>(c_.mesh / (1 - c_.mesh) * static_cast<double>(pool_.pictures.size()));
    for (int i = 0; i < mesh; ++i) {
      const auto pair = sampler.Next(&rng);
      MFS_ASSIGN_OR_RETURN(const Tensor picture, MeshPicture(pair));
      Add(Quantise(picture), 1, cache_.faces()[pair.first].file + "\t" + cache_.faces()[pair.second].file + "\tmesh");
    }
    if (processes_->rank() == 0 && o_.progress) o_.progress(std::to_string(pool_.pictures.size() * processes_->size()) + " pictures of " + std::to_string(held_.size()) + " checkpoints made");
    return Status::Ok();
  }

  StatusOr<int> Restore() { return checkpoint_.Restore(processes_, o_.output + "/checkpoint.safetensors"); }

  std::vector<std::string> Columns() const override { return {"squared_error", "gradient_norm"}; }

  Status Backward(int, std::mt19937_64* rng, std::vector<double>* figures) override {
    const int n = c_.batch / processes_->size();
    std::uniform_int_distribution<size_t> pick(0, pool_.pictures.size() - 1);
    std::bernoulli_distribution coin(0.5);
    std::vector<Tensor> pictures;
    Tensor wanted = torch::empty({n});
    last_.clear();
    for (int i = 0; i < n; ++i) {
      last_.push_back(pick(*rng));
      const Tensor& p = pool_.pictures[last_.back()];
      pictures.push_back(coin(*rng) ? p.flip({1}) : p);
      wanted.data_ptr<float>()[i] = pool_.progress[last_.back()];
    }
    adam_.ZeroGradient();
    last_score_ = net_.Run(torch::stack(pictures).to(o_.device).to(torch::kFloat) / 255, true);
    const Tensor loss = (last_score_ - wanted.to(o_.device)).square().mean();
    (*figures)[0] = loss.item<double>();
    loss.backward();
    return Status::Ok();
  }

  StatusOr<double> Update(int step, std::vector<double>* figures) override {
    const double rate = Schedule{c_.steps, c_.warmup, c_.decay}.Rate(c_.learning_rate, step);
    MFS_ASSIGN_OR_RETURN((*figures)[1], StepTogether(processes_, rate, &adam_));
    return rate;
  }

  Status Synchronise(Processes* processes) override { return processes->Average(net_.buffers()); }

  std::string DescribeBatch() const override {
    std::string rows;
    for (size_t i : last_) rows += pool_.names[i] + "\n";
    return rows;
  }

  // The batch by what Q says, worst first.
  Status SaveSamples(const std::string& path) override {
    std::vector<size_t> order(last_.size());
    std::iota(order.begin(), order.end(), 0);
    const Tensor score = last_score_.detach().cpu().contiguous();
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return score.data_ptr<float>()[a] < score.data_ptr<float>()[b]; });
    Sheet sheet{kSize, 8, {}};
    for (size_t i : order) sheet.cells.push_back(PlanarFromTensor(pool_.pictures[last_[i]].to(torch::kFloat) / 255));
    return sheet.Save(path);
  }

  Status Save(int step) override {
    MFS_RETURN_IF_ERROR(checkpoint_.Save(o_.output + "/checkpoint.safetensors", step));
    return net_.Save(o_.output + "/quality.safetensors", {{"steps", std::to_string(step)}, {"teacher_checkpoints", std::to_string(held_.size())}});
  }

  StatusOr<QualityReport> Judge() {
    QualityReport r;
    const auto pairs = ValidationPairs(cache_, kJudgedPairs, 1);
    std::vector<double> progress, mean, each_progress, each;
    for (const Held& h : held_) {
      MFS_ASSIGN_OR_RETURN(const Tensor made, MakePictures(cache_, h.generator.get(), o_.device, pairs));
      const Tensor score = Score(made);
      r.checkpoints.push_back({BaseName(h.path), h.progress, score.mean().item<double>(), h.held_back});
      if (!h.held_back) continue;
      progress.push_back(h.progress), mean.push_back(r.checkpoints.back().mean);
      for (int64_t i = 0; i < score.size(0); ++i) each_progress.push_back(h.progress), each.push_back(score[i].item<double>());
    }
    r.spearman = Spearman(progress, mean), r.spearman_pictures = Spearman(each_progress, each);
    std::vector<Tensor> photos, good, bad;
    const auto record = std::make_unique<FaceRecord>();
    // Good: the validation target nearest in pose; bad: the farthest.
    const std::vector<int> ids = cache_.Split(true);
    const auto& faces = cache_.faces();
    for (const auto& [s, t] : pairs) {
      MFS_ASSIGN_OR_RETURN(const PairPictures p, ReadPair(cache_, {s, t}, record.get()));
      photos.push_back(p.target);
      const auto distance = [&faces, s = s](int other) { return other == s ? -1.0f : std::hypot(faces[other].yaw - faces[s].yaw, faces[other].pitch - faces[s].pitch); };
      int near = t, far = t;
      for (int other : ids) {
        if (other != s && distance(other) < distance(near)) near = other;
        if (distance(other) > distance(far)) far = other;
      }
      MFS_ASSIGN_OR_RETURN(const Tensor a, MeshPicture({s, near}));
      MFS_ASSIGN_OR_RETURN(const Tensor b, MeshPicture({s, far}));
      good.push_back(a), bad.push_back(b);
    }
    const Tensor clean = torch::stack(good);
    torch::manual_seed(1);
    const Tensor noisy = (clean + 0.08 * torch::randn(clean.sizes())).clamp(0, 1);
    r.photos = Score(torch::stack(photos)).mean().item<double>();
    r.mesh_good = Score(clean).mean().item<double>();
    r.mesh_bad = Score(torch::stack(bad)).mean().item<double>();
    r.mesh_damaged = Score(noisy).mean().item<double>();
    return r;
  }

 private:
  void Add(const Tensor& picture, double progress, std::string name) {
    pool_.pictures.push_back(picture);
    pool_.progress.push_back(static_cast<float>(progress));
    pool_.names.push_back(std::move(name));
  }
  // At Q's size.
  StatusOr<Tensor> MeshPicture(std::pair<int, int> pair) {
    const auto source = std::make_unique<FaceRecord>(), target = std::make_unique<FaceRecord>();
    MFS_RETURN_IF_ERROR(cache_.Read(pair.first, source.get()));
    MFS_RETURN_IF_ERROR(cache_.Read(pair.second, target.get()));
    mesh_.Run(*source, *target, {}, &picture_);
    return Shrink(torch::from_blob(picture_.image.data(), {1, kCropSize, kCropSize, 3}), kSize, kSize)[0].clone();
  }
  Tensor Score(const Tensor& pictures) {
    torch::NoGradGuard guard;
    return net_.Run(pictures.to(o_.device), false).cpu();
  }

  const FaceCache& cache_;
  Processes* processes_;
  const QualityOptions& o_;
  const QualityConfig& c_;
  QualityNet net_;
  FlatAdam adam_;
  Checkpoint checkpoint_;
  std::vector<Held> held_;
  Pool pool_;
  MeshTeacher mesh_;
  TeacherPicture picture_;
  std::vector<size_t> last_;
  Tensor last_score_;
};

std::vector<double> Ranks(const std::vector<double>& v) {
  std::vector<size_t> order(v.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return v[a] < v[b]; });
  std::vector<double> rank(v.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && v[order[end]] == v[order[i]]) ++end;
    for (size_t k = i; k < end; ++k) rank[order[k]] = (static_cast<double>(i) + static_cast<double>(end) - 1) / 2;
    i = end;
  }
  return rank;
}

}  // namespace

double Spearman(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> ra = Ranks(a), rb = Ranks(b);
  const double mean = (static_cast<double>(a.size()) - 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (ra[i] - mean) * (rb[i] - mean);
    aa += (ra[i] - mean) * (ra[i] - mean);
    bb += (rb[i] - mean) * (rb[i] - mean);
  }
  return aa == 0 || bb == 0 ? 0 : ab / std::sqrt(aa * bb);
}

StatusOr<QualityReport> TrainQuality(const ModelStore&, Processes* processes, const QualityOptions& o) {
  const QualityConfig& c = o.config;
  MFS_RETURN_IF_ERROR(CheckBatch(c.batch, *processes));
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache));
  if (cache->Split(true).size() < 2) return InvalidArgument(o.cache + ": too few validation faces for a pair, by which Q is judged; prepare more photos");
  MFS_RETURN_IF_ERROR(OpenRunFolder(o.output, uint64_t{400} << 20, uint64_t{1200} << 20));
  QualityStage stage(*cache, processes, o);
  MFS_RETURN_IF_ERROR(stage.OpenTeacher());
  MFS_ASSIGN_OR_RETURN(const int first, stage.Restore());
  if (first < c.steps) MFS_RETURN_IF_ERROR(stage.MakePool());
  LoopOptions loop;
  loop.output = o.output;
  loop.config = FormatConfig(c);
  loop.caption = "the batch, by what Q says of it: worst first";
  loop.steps = c.steps, loop.stop_after = o.stop_after, loop.batch = c.batch;
  loop.save_every = c.save_every, loop.sheet_every = c.sheet_every, loop.seed = c.seed;
  loop.cancel = o.cancel, loop.progress = o.progress;
  MFS_RETURN_IF_ERROR(RunLoop(processes, loop, first, &stage));
  if (processes->rank() != 0) return QualityReport();
  MFS_ASSIGN_OR_RETURN(const QualityReport report, stage.Judge());
  nlohmann::ordered_json json{{"spearman", report.spearman},      {"spearman_pictures", report.spearman_pictures}, {"mesh_near_pose", report.mesh_good},
                              {"mesh_far_pose", report.mesh_bad}, {"mesh_with_noise", report.mesh_damaged},        {"photos", report.photos}};
  for (const auto& row : report.checkpoints) json["checkpoints"].push_back({{"name", row.name}, {"progress", row.progress}, {"mean", row.mean}, {"held_back", row.held_back}});
  const std::string text = json.dump(1) + "\n";
  MFS_RETURN_IF_ERROR(WriteFileAtomically(o.output + "/quality.json", text.data(), text.size()));
  return report;
}

std::string FormatQualityReport(const QualityReport& r) {
  std::string text = "| checkpoint | progress | Q (mean of validation pairs) | |\n|---|---|---|---|\n";
  char line[160];
  for (const auto& row : r.checkpoints) {
    std::snprintf(line, sizeof(line), " | %.2f | %.3f | %s |\n", row.progress, row.mean, row.held_back ? "held back" : "");
    text += "| " + row.name + line;
  }
  std::snprintf(line, sizeof(line), "Spearman on held-back checkpoints: %.3f (means), %.3f (single pictures)\n", r.spearman, r.spearman_pictures);
  text += line;
  std::snprintf(line, sizeof(line), "Q of mesh-teacher pictures: near pose %.3f, far pose %.3f, near pose with noise %.3f; of photos %.3f\n", r.mesh_good, r.mesh_bad, r.mesh_damaged, r.photos);
  return text + line;
}

}  // namespace mfs::train
