// The 468-point face mesh (MediaPipe Face Mesh, Kartynnik et al. 2019): dense landmarks with a fixed triangulation.
#ifndef MFS_FACE_FACE_MESH_H_
#define MFS_FACE_FACE_MESH_H_

#include <array>
#include <memory>

#include "base/frame.h"
#include "base/status.h"
#include "face/face.h"
#include "nn/plan.h"
#include "weights/model_store.h"

namespace mfs {

inline constexpr int kMeshPoints = 468;
inline constexpr int kMeshTriangles = 852;
using MeshPoints = std::array<Point, kMeshPoints>;

struct FaceMesh {
  MeshPoints points;                     // display pixels of the frame
  std::array<float, kMeshPoints> depth;  // pixels of the frame as well, smaller is nearer
  float score = 0;                       // 0..1: is there a face?
};

// Corners of every triangle of the skin; the openings of eyes and mouth have none.
extern const std::array<std::array<short, 3>, kMeshTriangles> kMeshTriangulation;
// Closed outlines.
extern const std::array<short, 36> kMeshFaceOval;
extern const std::array<short, 16> kMeshRightEye, kMeshLeftEye;  // of the person: the right one is left in the image
extern const std::array<short, 20> kMeshInnerLips;

// face_mesh468.tflite: 192 x 192 x 3, RGB in [0,1] -> 468 x (x, y, z) in pixels of the input, and one logit: is there a face?
StatusOr<Graph> LoadMeshGraph(const ModelStore& store);

// Not thread-safe.
class FaceMesher {
 public:
  static StatusOr<std::unique_ptr<FaceMesher>> Create(const ModelStore& store, const PlanOptions& options = {});
  // Runs twice: the region of the second pass comes from the points of the first.
  StatusOr<FaceMesh> Run(const FrameView& frame, const Face& face);

 private:
  Status Pass(const FrameView& frame, const Affine& crop, FaceMesh* mesh);
  std::unique_ptr<Plan> net_;
  ImageF crop_;
};

// The five points of alignment from the mesh (models.md).
std::array<Point, 5> FivePoints(const MeshPoints& mesh);

}  // namespace mfs

#endif  // MFS_FACE_FACE_MESH_H_
