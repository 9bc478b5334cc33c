// What one step of the distillation learns from: pairs, what the student sees of them and what a teacher made of them.
#ifndef MFS_TRAIN_DISTILL_DATA_H_
#define MFS_TRAIN_DISTILL_DATA_H_

#include <torch/torch.h>

#include <random>
#include <utility>
#include <vector>

#include "base/status.h"
#include "config.h"
#include "face_cache.h"
#include "frozen_embedder.h"
#include "glasses.h"
#include "mesh_teacher.h"
#include "pairs.h"
#include "teachers.h"

namespace mfs::train {

// Pictures are [n,size,size,c], RGB in [0,1].
struct DistillBatch {
  torch::Tensor z, map;    // what the injection network sees of the sources: [n,512], [n,7,7,512]
  torch::Tensor person;    // [n,512], the sources' embeddings from the good pictures: who the teacher's pictures show
  torch::Tensor wanted;    // [n,512], what L_id wants: the sources' embeddings from the good pictures, with those of other views of them (poor ones that z is of, not those with drawn glasses; the
                           // target's light), each weighted by its cosine to the first
  torch::Tensor target_z;  // [n,512], the targets' persons; zeros where source and target are one
  torch::Tensor regions;   // [n,2,3], LandmarkRegions of the targets
  torch::Tensor target, teacher;
  torch::Tensor alpha;       // where the teacher changed the target, one channel
  torch::Tensor open;        // where the target shows for its own sake (TeacherPicture), one channel
  torch::Tensor background;  // 1 where surely no face is, one channel
  torch::Tensor around;      // the background beside the face (TeacherPicture), one channel
  torch::Tensor occluder;    // 1 inside the face's oval where surely no face is seen, one channel
  torch::Tensor features;    // eyes, brows and lips of the targets (TeacherPicture), one channel
  torch::Tensor frame;       // frames of the targets' glasses (TeacherPicture), one channel
  std::vector<std::pair<int, int>> pairs;

  // The teacher's alpha if the sources were seen whole.
  torch::Tensor FullAlpha() const { return 1 - open; }
  // How much of the embedder's gradient reaches each pixel, one channel: all of it where the face may change; of what the target shows for its own sake, the share `eyes` on eyes and mouth and `rest`
  // on all else (hair, frames, dark lenses, the rim, the background).
  torch::Tensor Judged(double eyes, double rest) const {
    const torch::Tensor seen = open * features * (1 - frame) * (1 - occluder) * (1 - background);
    return FullAlpha() + eyes * seen + rest * (open - seen);
  }
  // What the teacher asks for. What the source lacks (its eyes lie behind glasses, its brows under hair) the teacher leaves to the target, and that is no wish: taken for
  // one, the mask learns to close for such sources, and then for others that look like them to the embedder. There it is the result itself, to the last bit, and only the losses of
  // identity and landmarks judge it. Nothing in between: L1 goes by signs, so a wish that is mostly the result pulls as hard as a whole one.
  torch::Tensor Asked(const torch::Tensor& result) const {
    const torch::Tensor full = FullAlpha(), lacks = ((full - alpha) / full.clamp_min(0.8)).clamp(0, 1);
    return torch::where(lacks > 0.5, result.detach(), teacher);
  }
};

// Not thread-safe; keeps its buffers.
class DistillLoader {
 public:
  // All of them outlive the loader.
  // The batches and the embedder are on `device`.
  DistillLoader(const FaceCache& cache, const FrozenEmbedder& embedder, TeacherMix* teachers, const DistillConfig& config, const torch::Device& device);
  bool empty() const { return sampler_.empty(); }
  // The same rng gives the same batch. Errors: those of the cache and of the teachers.
  StatusOr<DistillBatch> Next(int n, std::mt19937_64* rng);

 private:
  void Put(int i, DistillBatch* batch) const;
  Status RunNetworks(const std::vector<int>& teacher_of, const torch::Tensor& sources, DistillBatch* batch);
  // Another picture of a sample's source.
  struct OtherView {
    int64_t sample;
    bool given;  // to the injection network, in place of the good photo
    float says;  // how much L_id wants who is seen in it: what a poor picture no longer shows cannot be asked for, and what it shows of a person is what people compare with
    torch::Tensor picture;
  };
  Status LearnGlasses();
  void EmbedOtherViews(const std::vector<OtherView>& views, DistillBatch* batch) const;

  const FaceCache& cache_;
  const FrozenEmbedder& embedder_;
  TeacherMix* teachers_;
  const DistillConfig& c_;
  torch::Device device_;
  PairSampler sampler_;
  MeshTeacher mesh_;
  FaceRecord source_, target_;
  FaceLabels source_labels_, target_labels_;
  TeacherPicture picture_;
  GlassesLayer glasses_;
  // How glasses move an embedding, [512] of length 1, and the mean share of it in faces without any. Undefined: not known.
  torch::Tensor glasses_direction_;
  float without_glasses_ = 0;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_DISTILL_DATA_H_
