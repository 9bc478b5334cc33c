// The mesh teacher: swaps a face without any training, by warping the source's skin onto the target's mesh and carrying the target's
// light over as a ratio in linear light (design notes in docs/method.md). It makes the targets of the distillation.
#ifndef MFS_TRAIN_MESH_TEACHER_H_
#define MFS_TRAIN_MESH_TEACHER_H_

#include <vector>

#include "face_cache.h"

namespace mfs::train {

// The mesh point on the other side of the face; those of the middle are their own.
int OtherSideOfMesh(int point);

struct MeshTeacherOptions {
  float light_sigma = 28;  // pixels of the 224 crop: what is smoother counts as light, what is finer as skin
  float ratio_min = 0.015f, ratio_max = 30;
  float highlight_knee = 1.35f;  // luminance over its blurred self from which skin highlights of the source are compressed
  float highlight_slope = 0.3f;  // ... to this slope
  float relief = 0.35f;          // where the ratio r is above 1, the source's relief W / blur(W) below 1 is raised to max(0.5, 1 - relief ln r), what is above 1 divided by r:
                                 // dark skin has more contrast than light skin, and brightening it would show as blotches
  float hue_relief = 0.5f;       // ... and how far a colour lies from that around it is raised to r^-hue_relief: dark skin's orange and blue would show as patches
  float lips_ratio = 5;          // ... but not on lips up to this r, beyond it on a part of them: they would lose their red
  float beside_hair = 1.15f;     // the most that skin close to what covers the target is brighter than the target's own there
  int erosion = 13;              // pixels: diameter of the ellipse that shrinks the face oval
  float edge_sigma = 5;          // softness of the oval's edge
  int far_erosion = 5;           // ... both beyond the nose of a face that is turned away: there it is as narrow as the nose,
  float far_edge_sigma = 2;      // and the edge would take it away
  float opening_sigma = 1.2f;    // softness of the eye and mouth openings
  float fill_sigma = 10;         // pixels: how far covered skin is taken from
  float feature_sigma = 3;       // softness of the features that are left to the target
};

// Pixels are those of the 224 crop, row by row.
struct TeacherPicture {
  std::vector<float> image;       // 224 x 224 x 3, RGB in [0,1]
  std::vector<float> alpha;       // 224 x 224: how much of the warped source is in it
  std::vector<float> open;        // 224 x 224: how much the target shows there for its own sake: eyes, inner mouth, the rim of the face, what covers it; not what the source lacks, nor what is
                                  // seen through a lens
  std::vector<float> background;  // 224 x 224: 1 where no face is seen nor frame of glasses before it (weak supervision of the fusion mask), else 0
  std::vector<float> around;      // 224 x 224: 1 on `background` within 12 pixels of the face, where paint would show most
  std::vector<float> occluder;    // 224 x 224: 1 inside the face's oval where surely no face is seen: dark lenses, hair, hands; else 0
  std::vector<float> features;    // 224 x 224: 1 on the target's eyes with their lids and brows and on its lips, soft at the rim
  std::vector<float> frame;       // 224 x 224: how much of a frame of glasses is there; of real ones a band of 10 pixels that holds it, by how far it differs from what is around it
};

// What covers the faces: 224 x 224, 1 where a face is seen and 0 where hair, hands or glasses lie over it (FaceLabels::visible);
// null: everything is face.
struct TeacherVisible {
  const float *source = nullptr, *target = nullptr;
  const float* target_glasses = nullptr;  // FaceLabels::glasses; null: none
};

// Reuse one object for many pairs: it keeps its buffers. Not thread-safe.
class MeshTeacher {
 public:
  explicit MeshTeacher(const MeshTeacherOptions& options = {});
  // What covers the target stays; so do its eyes behind clear lenses, but that is no wish (`open` is 0 there). Where something covers the source, its skin is taken from the other side of its face, or
  // is smooth where that is covered, too; covered eyes, brows, nose and lips are left to the target.
  void Run(const FaceRecord& source, const FaceRecord& target, const TeacherVisible& visible, TeacherPicture* out);

 private:
  void Rasterise(const FaceRecord& source, const FaceRecord& target, bool covered);
  void Fill();
  void CarryLight(const FaceRecord& target, const float* target_visible);
  void DarkenBesideHair(const TeacherVisible& visible, const std::vector<float>& features);
  // out->features holds them with hard edges.
  void MakeAlpha(const FaceRecord& target, const TeacherVisible& visible, TeacherPicture* out);
  void SharpenFarEdge(const FaceRecord& target);
  bool FindLenses(const FaceRecord& target, const TeacherVisible& visible);

  MeshTeacherOptions options_;
  std::vector<float> to_linear_;                               // 256
  std::vector<float> source_linear_, target_linear_, warped_;  // 224 x 224 x 3
  std::vector<float> depth_;                                   // 224 x 224, infinity where there is no mesh
  std::vector<float> seen_;                                    // 224 x 224: of the source, 0 at the edges of what covers it
  std::vector<float> known_;                                   // 224 x 224: how much of the warped skin was seen on either side
  std::vector<float> small_, scratch_;
  std::vector<float> mask_, edge_, far_edge_, lens_, glasses_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_MESH_TEACHER_H_
