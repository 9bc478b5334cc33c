#include "face_recorder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "face/alignment.h"
#include "media/picture.h"
#include "sharpness.h"
#include "sheet.h"
#include "weights/float16.h"

namespace mfs::train {
namespace {

// The photo with a third of its size reflected around it, so that tight crops have a surrounding and no black border.
struct PaddedPhoto {
  std::vector<uint8_t> rgb;
  int width = 0, height = 0, pad_x = 0, pad_y = 0;
  FrameView Inner() { return Rgb8View(rgb.data() + (static_cast<size_t>(pad_y) * width + pad_x) * 3, width - 2 * pad_x, height - 2 * pad_y, 3 * static_cast<ptrdiff_t>(width)); }
  FrameView Whole() { return Rgb8View(rgb.data(), width, height, 3 * static_cast<ptrdiff_t>(width)); }
};

int Reflect(int i, int n) {
  if (n == 1) return 0;
  i = std::abs(i) % (2 * n - 2);
  return i < n ? i : 2 * n - 2 - i;
}

Status Pad(const FrameView& view, PaddedPhoto* p) {
  ImageF image;
  MFS_RETURN_IF_ERROR(ReadScaled(view, view.width(), view.height(), &image));
  const std::vector<uint8_t> rgb = Rgb8FromPlanar(image);
  p->pad_x = view.width() / 3, p->pad_y = view.height() / 3;
  p->width = view.width() + 2 * p->pad_x, p->height = view.height() + 2 * p->pad_y;
  p->rgb.resize(static_cast<size_t>(p->width) * p->height * 3);
  for (int y = 0; y < p->height; ++y) {
    const uint8_t* row = rgb.data() + static_cast<size_t>(Reflect(y - p->pad_y, view.height())) * view.width() * 3;
    for (int x = 0; x < p->width; ++x) std::memcpy(&p->rgb[(static_cast<size_t>(y) * p->width + x) * 3], row + 3 * Reflect(x - p->pad_x, view.width()), 3);
  }
  return Status::Ok();
}

// The crop's middle: cheeks, eyes, nose, mouth at the place of the template.
constexpr int kFaceLeft = 56, kFaceRight = 168, kFaceTop = 78, kFaceBottom = 200;

void Measure(const FaceRecord& r, FaceInfo* info) {
  const std::vector<float> luma = CropLuma(r.crop);
  const auto in_face = [](int i) {
    const int x = i % kCropSize, y = i / kCropSize;
    return x >= kFaceLeft && x < kFaceRight && y >= kFaceTop && y < kFaceBottom;
  };
  info->sharpness = static_cast<float>(LaplacianVariance(luma, in_face));
  double halves[2] = {};
  for (int i = 0; i < kCropSize * kCropSize; ++i) {
    if (in_face(i)) halves[i % kCropSize >= kCropSize / 2] += luma[i];
  }
  info->evenness = static_cast<float>(std::min(halves[0], halves[1]) / std::max(std::max(halves[0], halves[1]), 1.0));
  // Cheeks (mesh 50 and 280), nose bridge (6) and forehead (151) are skin on nearly every photo.
  std::vector<float> skin;
  for (int id : {50, 280, 6, 151, 205, 425}) {
    const int cx = static_cast<int>(r.mesh[3 * id]), cy = static_cast<int>(r.mesh[3 * id + 1]);
    for (int y = std::max(cy - 4, 0); y < std::min(cy + 5, kCropSize); ++y) {
      for (int x = std::max(cx - 4, 0); x < std::min(cx + 5, kCropSize); ++x) skin.push_back(luma[y * kCropSize + x]);
    }
  }
  if (!skin.empty()) {
    std::nth_element(skin.begin(), skin.begin() + skin.size() / 2, skin.end());
    info->luma = skin[skin.size() / 2] / 255;
  }
  const auto distance = [&](int a, int b) { return std::hypot(r.mesh[3 * a] - r.mesh[3 * b], r.mesh[3 * a + 1] - r.mesh[3 * b + 1]); };
  info->mouth_open = distance(13, 14) / std::max(distance(78, 308), 1.0f);
}

void PutMesh(const FaceMesh& mesh, const Affine& align, FaceRecord* r) {
  for (int i = 0; i < kMeshPoints; ++i) {
    const Point p = align.Apply(mesh.points[i]);
    r->mesh[3 * i] = p.x, r->mesh[3 * i + 1] = p.y, r->mesh[3 * i + 2] = mesh.depth[i] * align.Scale();
  }
}

Status PutCrop(const FrameView& view, const Face& face, const Affine& align, FaceRecord* r) {
  ImageF crop;
  MFS_RETURN_IF_ERROR(ReadWarped(view, align, kCropSize, kCropSize, &crop));
  const std::vector<uint8_t> rgb = Rgb8FromPlanar(crop);
  std::copy(rgb.begin(), rgb.end(), r->crop);
  for (int i = 0; i < 68; ++i) {
    const Point p = align.Apply(face.landmarks[i]);
    r->landmarks[2 * i] = p.x, r->landmarks[2 * i + 1] = p.y;
  }
  return Status::Ok();
}

}  // namespace

StatusOr<std::unique_ptr<FaceRecorder>> FaceRecorder::Create(const ModelStore& store) {
  auto r = std::make_unique<FaceRecorder>();
  MFS_ASSIGN_OR_RETURN(r->finder_, FaceFinder::Create(store));
  MFS_ASSIGN_OR_RETURN(r->embedder_, Embedder::Create(store));
  MFS_ASSIGN_OR_RETURN(r->mesher_, FaceMesher::Create(store));
  return r;
}

StatusOr<float> FaceRecorder::Frame(const FrameView& view, const Face& face, FaceRecord* record) {
  std::fill(record->z, record->z + 512, 0.0f);
  std::fill(record->map, record->map + 512 * 49, uint16_t{0});
  MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(face.points, kCropSize));
  MFS_ASSIGN_OR_RETURN(const FaceMesh mesh, mesher_->Run(view, face));
  PutMesh(mesh, align, record);
  MFS_RETURN_IF_ERROR(PutCrop(view, face, align, record));
  return mesh.score;
}

Status FaceRecorder::Embed(const FrameView& view, const Face& face, FaceRecord* record) {
  ImageF crop;
  MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(face.points, 112));
  MFS_RETURN_IF_ERROR(ReadWarped(view, align, 112, 112, &crop));
  MFS_ASSIGN_OR_RETURN(const Embedding e, embedder_->Run(crop));
  std::copy(e.z.begin(), e.z.end(), record->z);
  for (size_t i = 0; i < e.map.size(); ++i) record->map[i] = FloatToHalf(e.map[i]);
  return Status::Ok();
}

StatusOr<std::string> FaceRecorder::Photo(const std::string& bytes, const RecordLimits& o, std::unique_ptr<FaceRecord>* record, FaceInfo* info) {
  auto picture = DecodePicture(bytes);
  if (!picture.ok()) return std::string("unreadable");
  PaddedPhoto photo;
  MFS_RETURN_IF_ERROR(Pad(picture->View(), &photo));
  MFS_ASSIGN_OR_RETURN(std::vector<Face> faces, finder_->Find(photo.Inner()));
  if (o.one_face && faces.size() > 1 && faces[1].box.area() > 0.5f * faces[0].box.area()) return std::string("several faces");
  Face face;
  const Point pad{static_cast<float>(photo.pad_x), static_cast<float>(photo.pad_y)};
  if (!faces.empty()) {
    face = faces[0];
    for (Point& p : face.points) p = p + pad;
    for (Point& p : face.landmarks) p = p + pad;
    face.box = {face.box.x0 + pad.x, face.box.y0 + pad.y, face.box.x1 + pad.x, face.box.y1 + pad.y};
  } else {  // cropped so tight that the detector misses it
    MFS_ASSIGN_OR_RETURN(faces, finder_->Find(photo.Whole()));
    const Point middle{photo.width / 2.0f, photo.height / 2.0f};
    const auto central = std::min_element(faces.begin(), faces.end(), [&](const Face& a, const Face& b) { return Distance(a.box.center(), middle) < Distance(b.box.center(), middle); });
    if (central == faces.end() || Distance(central->box.center(), middle) > 0.25f * photo.width) return std::string("no face");
    face = *central;
  }
  const FrameView view = photo.Whole();
  MFS_ASSIGN_OR_RETURN(const Affine align, ArcFaceAlignment(face.points, kCropSize));
  info->scale = 1 / align.Scale();
  if (info->scale < o.min_scale) return std::string("too small");
  MFS_ASSIGN_OR_RETURN(const FaceMesh mesh, mesher_->Run(view, face));
  if (mesh.score < o.min_mesh_score) return std::string("mesh unsure");
  const auto other = FivePoints(mesh.points);
  float apart = 0;
  for (int i : {0, 1, 3, 4}) apart += Distance(other[i], face.points[i]) / 4;
  if (o.one_face && apart > 0.15f * Distance(face.points[0], face.points[1])) return std::string("landmarks disagree");
  int outside = 0;
  for (short id : kMeshFaceOval) {
    const Point p = mesh.points[id] - pad;
    outside += p.x < 0 || p.y < 0 || p.x > photo.width - 2 * photo.pad_x || p.y > photo.height - 2 * photo.pad_y;
  }
  if (outside > o.max_outside * kMeshFaceOval.size()) return std::string("cut by the border");

  *record = std::make_unique<FaceRecord>();
  FaceRecord* r = record->get();
  PutMesh(mesh, align, r);
  MFS_RETURN_IF_ERROR(PutCrop(view, face, align, r));
  info->yaw = face.yaw, info->pitch = face.pitch;
  Measure(*r, info);
  if (info->sharpness < o.min_sharpness) return std::string("blurred");
  MFS_RETURN_IF_ERROR(Embed(view, face, r));
  return std::string();
}

}  // namespace mfs::train
