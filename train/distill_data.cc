#include "distill_data.h"

#include <algorithm>

#include "augment.h"
#include "frozen_landmarks.h"
#include "ops.h"
#include "pictures.h"
#include "weights/float16.h"

namespace mfs::train {

using torch::Tensor;

namespace {

constexpr float kOtherLight = 0.1f;  // difference of the faces' luma from which L_id wants the person in the target's light, too

}  // namespace

DistillLoader::DistillLoader(const FaceCache& cache, const FrozenEmbedder& embedder, TeacherMix* teachers, const DistillConfig& c, const torch::Device& device)
    : cache_(cache),
      embedder_(embedder),
      teachers_(teachers),
      c_(c),
      device_(device),
      sampler_(cache, false, {static_cast<float>(c.same), static_cast<float>(c.similar_pose), 6, static_cast<float>(c.any_source)}) {}

// By drawing some on faces without.
Status DistillLoader::LearnGlasses() {
  constexpr int kFaces = 200, kTogether = 25;
  std::mt19937_64 rng(2022);
  std::vector<int> ids;
  for (int id : cache_.Split(false)) {
    if (SourceQuality(cache_.faces()[id]) > 0.3f) ids.push_back(id);
  }
  std::shuffle(ids.begin(), ids.end(), rng);
  torch::NoGradGuard guard;
  Tensor moved = torch::zeros({512}), plain = torch::zeros({512});
  int faces = 0;
  std::vector<Tensor> pictures;  // of each face without and with glasses
  const auto embed = [&] {
    if (pictures.empty()) return;
    const Tensor z = embedder_.Run(torch::stack(pictures).to(device_)).z.cpu().reshape({-1, 2, 512});
    plain += z.select(1, 0).sum(0), moved += (z.select(1, 1) - z.select(1, 0)).sum(0);
    faces += static_cast<int>(z.size(0));
    pictures.clear();
  };
  for (size_t i = 0; i < ids.size() && faces < kFaces; ++i) {
    if (pictures.size() >= 2 * kTogether) embed();
    MFS_RETURN_IF_ERROR(cache_.ReadLabels(ids[i], &source_labels_));
    if (source_labels_.WearsGlasses()) continue;
    MFS_RETURN_IF_ERROR(cache_.Read(ids[i], &source_));
    for (int worn = 0; worn < 2; ++worn) {
      if (worn == 1) {
        DrawGlasses(source_, cache_.faces()[ids[i]], &rng, &glasses_);
        PutOn(glasses_, &source_);
      }
      pictures.push_back(torch::empty({kCropSize / 2, kCropSize / 2, 3}));
      HalveSource(source_, pictures.back().data_ptr<float>());
    }
  }
  embed();
  if (faces == 0) return Status::Ok();
  glasses_direction_ = moved / moved.norm().clamp_min(1e-6);
  without_glasses_ = (plain / faces).dot(glasses_direction_).item<float>();
  return Status::Ok();
}

StatusOr<DistillBatch> DistillLoader::Next(int n, std::mt19937_64* rng) {
  if (c_.source_glasses > 0 && cache_.has_labels() && !glasses_direction_.defined()) MFS_RETURN_IF_ERROR(LearnGlasses());
  std::vector<int64_t> wearers;
  DistillBatch b;
  b.z = torch::empty({n, 512});
  b.map = torch::empty({n, 7, 7, 512});
  b.target = torch::empty({n, kCropSize, kCropSize, 3});
  b.teacher = torch::empty({n, kCropSize, kCropSize, 3});
  b.alpha = torch::empty({n, kCropSize, kCropSize, 1});
  b.open = torch::empty({n, kCropSize, kCropSize, 1});
  b.background = torch::empty({n, kCropSize, kCropSize, 1});
  b.around = torch::empty({n, kCropSize, kCropSize, 1});
  b.occluder = torch::empty({n, kCropSize, kCropSize, 1});
  b.features = torch::empty({n, kCropSize, kCropSize, 1});
  b.frame = torch::empty({n, kCropSize, kCropSize, 1});
  b.target_z = torch::zeros({n, 512});
  b.regions = torch::empty({n, 2, 3});
  const bool networks = teachers_->networks() > 0;
  Tensor sources = networks ? torch::empty({n, kCropSize, kCropSize, 3}) : Tensor();
  std::vector<int> teacher_of;
  std::uniform_real_distribution<float> uniform;
  std::vector<OtherView> views;
  for (int i = 0; i < n; ++i) {
    bool mirrored = false;
    const auto [s, t] = sampler_.Next(rng, &mirrored);
    b.pairs.emplace_back(s, t);
    MFS_RETURN_IF_ERROR(cache_.Read(s, &source_));
    MFS_RETURN_IF_ERROR(cache_.Read(t, &target_));
    const bool labelled = cache_.has_labels();
    if (labelled) {
      MFS_RETURN_IF_ERROR(cache_.ReadLabels(s, &source_labels_));
      MFS_RETURN_IF_ERROR(cache_.ReadLabels(t, &target_labels_));
    }
    const FaceInfo &source_info = cache_.faces()[s], &target_info = cache_.faces()[t];
    // Before the teacher: a mirrored result would be of the mirrored source, of which the embedding is not.
    if (mirrored) MirrorFace(&target_, labelled ? &target_labels_ : nullptr);
    if (uniform(*rng) < c_.moved) MoveFace(&target_, labelled ? &target_labels_ : nullptr, rng);
    if (uniform(*rng) < c_.relit) RelightFace(&target_, rng);
    if (uniform(*rng) < c_.two_lights) LightFromTwoSides(&target_, rng);
    const bool grey = uniform(*rng) < c_.grey;
    if (grey) TakeColours(&target_);
    teacher_of.push_back(teachers_->Draw(rng));
    // The networks' pictures, too, go into the mesh teacher's alpha.
    TeacherVisible visible;
    if (labelled) visible = {s == t ? nullptr : source_labels_.visible.data(), target_labels_.visible.data(), target_labels_.glasses.data()};
    mesh_.Run(s == t ? target_ : source_, target_, visible, &picture_);
    if (grey) TakeColours(&picture_.image);
    if (s == t) {  // the target is its own best swap
      CopyCrop(target_, false, picture_.image.data());
      teacher_of.back() = -1;
      // What is seen through its lenses is known for once.
      for (size_t p = 0; p < picture_.alpha.size(); ++p) picture_.alpha[p] = std::max(picture_.alpha[p], 1 - picture_.open[p]);
    }
    const bool wears = labelled && source_labels_.WearsGlasses();
    if (s != t && wears) wearers.push_back(i);
    if (s != t && c_.target_light > 0 && !wears) {
      OtherView view{i, false, static_cast<float>(c_.target_light), torch::empty({kCropSize / 2, kCropSize / 2, 3})};
      if (LightSource(source_, target_, kOtherLight, view.picture.data_ptr<float>())) views.push_back(std::move(view));
    }
    // Without labels nobody knows who wears some already: then one in fourteen gets two.
    if (uniform(*rng) < c_.target_glasses && !(labelled && target_labels_.WearsGlasses())) {
      DrawGlasses(target_, target_info, rng, &glasses_);
      PutOn(glasses_, &target_);
      PutOn(glasses_, &picture_);
    }
    Put(i, &b);
    if (s != t) std::copy(target_.z, target_.z + 512, b.target_z[i].data_ptr<float>());
    if (networks) CopyCrop(source_, false, sources[i].data_ptr<float>());
    const bool degraded = uniform(*rng) < c_.degraded, glasses = uniform(*rng) < c_.source_glasses && !wears;
    if (degraded || glasses) {
      // Glasses are on the photo that people compare with, but they are not the person.
      views.push_back({i, true, glasses ? 0.0f : 1.0f, torch::empty({kCropSize / 2, kCropSize / 2, 3})});
      if (glasses) {
        DrawGlasses(source_, source_info, rng, &glasses_);
        PutOn(glasses_, &source_);
      }
      if (degraded) {
        DegradeSource(source_, rng, views.back().picture.data_ptr<float>());
      } else {
        HalveSource(source_, views.back().picture.data_ptr<float>());
      }
    }
  }
  b.person = b.wanted = b.z;
  if (networks) MFS_RETURN_IF_ERROR(RunNetworks(teacher_of, sources, &b));
  if (!views.empty()) EmbedOtherViews(views, &b);
  if (glasses_direction_.defined() && !wearers.empty()) {
    // The person without the glasses that the photo shows: with them L_id asks for their shadows on the eyes and the bridge of the nose.
    b.wanted = b.wanted.clone();
    for (int64_t row : wearers) {
      const Tensor w = b.wanted[row] + (without_glasses_ - b.wanted[row].dot(glasses_direction_)) * glasses_direction_;
      b.wanted[row].copy_(w / w.norm().clamp_min(1e-6));
    }
  }
  for (Tensor* t : {&b.target, &b.teacher, &b.alpha, &b.open, &b.background, &b.around, &b.occluder, &b.features, &b.frame}) *t = Shrink(t->to(device_), c_.size, c_.size);
  for (Tensor* t : {&b.z, &b.map, &b.wanted, &b.person, &b.target_z, &b.regions}) *t = t->to(device_);
  return b;
}

void DistillLoader::Put(int i, DistillBatch* b) const {
  std::copy(source_.z, source_.z + 512, b->z[i].data_ptr<float>());
  LandmarkRegions(target_, false, b->regions[i].data_ptr<float>());
  float* map = b->map[i].data_ptr<float>();
  for (int c = 0; c < 512; ++c) {
    for (int p = 0; p < 49; ++p) map[p * 512 + c] = HalfToFloat(source_.map[c * 49 + p]);
  }
  CopyCrop(target_, false, b->target[i].data_ptr<float>());
  CopyCrop(picture_.image.data(), 3, false, 1, b->teacher[i].data_ptr<float>());
  CopyCrop(picture_.alpha.data(), 1, false, 1, b->alpha[i].data_ptr<float>());
  CopyCrop(picture_.open.data(), 1, false, 1, b->open[i].data_ptr<float>());
  CopyCrop(picture_.background.data(), 1, false, 1, b->background[i].data_ptr<float>());
  CopyCrop(picture_.around.data(), 1, false, 1, b->around[i].data_ptr<float>());
  CopyCrop(picture_.occluder.data(), 1, false, 1, b->occluder[i].data_ptr<float>());
  CopyCrop(picture_.features.data(), 1, false, 1, b->features[i].data_ptr<float>());
  CopyCrop(picture_.frame.data(), 1, false, 1, b->frame[i].data_ptr<float>());
}

Status DistillLoader::RunNetworks(const std::vector<int>& teacher_of, const Tensor& sources, DistillBatch* b) {
  for (int k = 0; k < teachers_->networks(); ++k) {
    std::vector<int64_t> mine;
    for (size_t i = 0; i < teacher_of.size(); ++i) {
      if (teacher_of[i] == k) mine.push_back(static_cast<int64_t>(i));
    }
    if (mine.empty()) continue;
    const Tensor rows = torch::tensor(mine, torch::kLong);
    const Tensor target = b->target.index_select(0, rows);
    MFS_ASSIGN_OR_RETURN(const Tensor made, teachers_->network(k)->Run({b->wanted.index_select(0, rows), sources.index_select(0, rows), target}));
    b->teacher.index_copy_(0, rows, target + b->alpha.index_select(0, rows) * (made - target));
  }
  return Status::Ok();
}

void DistillLoader::EmbedOtherViews(const std::vector<OtherView>& views, DistillBatch* b) const {
  torch::NoGradGuard guard;
  std::vector<Tensor> pictures;
  for (const OtherView& v : views) pictures.push_back(v.picture);
  const FrozenEmbedder::Output seen = embedder_.Run(torch::stack(pictures).to(device_));
  const Tensor z = seen.z.cpu(), map = seen.features.back().cpu();
  b->z = b->z.clone(), b->wanted = b->wanted.clone();  // were one
  for (size_t i = 0; i < views.size(); ++i) {
    const OtherView& v = views[i];
    const int64_t row = static_cast<int64_t>(i);
    // The less a view is like the good photo, the less it says.
    b->wanted[v.sample] += v.says * (b->person[v.sample] * z[row]).sum().clamp_min(0) * z[row];
    if (!v.given) continue;
    b->z[v.sample].copy_(z[row]);
    b->map[v.sample].copy_(map[row]);
  }
  b->wanted = b->wanted / b->wanted.norm(2, 1, true).clamp_min(1e-6);
}

}  // namespace mfs::train
