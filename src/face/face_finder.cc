#include "face/face_finder.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "face/alignment.h"
#include "face/face_nets.h"

namespace mfs {
namespace {

constexpr float kNmsOverlap = 0.3f;
constexpr float kBlazeThreshold = 0.5f;
constexpr float kSureBlaze = 0.75f;  // of a face beside others
// Faces that pass have residuals below 0.25 even in profile; the points of a hand or a lamp lie above.
constexpr float kMaxResidual = 0.30f;
// Mean distance between the two landmark passes in units of the eye distance: 0.02 to 0.09 on upright faces of the sample photos,
// 0.13 to 0.8 where the head lies on its side or upside down. Above the first a second opinion is asked, above the second
// there is no face.
constexpr float kDoubtfulDisagreement = 0.10f, kMaxDisagreement = 0.30f;

// Between the landmark net's crops of one face in two frames; 0.9 and more in a calm clip, around 0 for another picture.
constexpr float kMinCorrelation = 0.4f;

struct Candidate {
  Rect box;
  float score = 0;
  float roll = 0;  // degrees
};

void NonMaximumSuppression(std::vector<Candidate>* c) {
  std::sort(c->begin(), c->end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  std::vector<Candidate> kept;
  for (const Candidate& x : *c) {
    if (std::none_of(kept.begin(), kept.end(), [&](const Candidate& k) { return IntersectionOverUnion(k.box, x.box) > kNmsOverlap; })) kept.push_back(x);
  }
  *c = std::move(kept);
}

// Normalised cross-correlation of two pictures of one size, -1..1; 0 where one of them is flat.
float Correlation(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return 0;
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
  for (size_t i = 0; i < a.size(); ++i) sa += a[i], sb += b[i], saa += double{a[i]} * a[i], sbb += double{b[i]} * b[i], sab += double{a[i]} * b[i];
  const double n = static_cast<double>(a.size()), va = saa / n - sa / n * (sa / n), vb = sbb / n - sb / n * (sb / n);
  constexpr double kFlat = 1e-5;  // variance of values 0..1
  return va < kFlat || vb < kFlat ? 0 : static_cast<float>((sab / n - sa / n * (sb / n)) / std::sqrt(va * vb));
}

// Does the edge of a part of the frame cut through the box? Then it lies whole in another part, or was found before.
bool CutBy(const Rect& part, float frame_width, float frame_height, const Rect& box) {
  constexpr float kEdge = 4;
  return (part.x0 > 0 && box.x0 < part.x0 + kEdge) || (part.y0 > 0 && box.y0 < part.y0 + kEdge) || (part.x1 < frame_width && box.x1 > part.x1 - kEdge) ||
         (part.y1 < frame_height && box.y1 > part.y1 - kEdge);
}

float RollOf(const std::array<Point, 68>& l) {
  const std::array<Point, 5> p = FivePoints(l);
  return std::atan2(p[1].y - p[0].y, p[1].x - p[0].x) * static_cast<float>(180 / M_PI);
}

}  // namespace

struct FaceFinder::Impl {
  FaceFinderOptions options;
  std::unique_ptr<Plan> rfb, landmarks, blaze;
  ImageF crop;
  std::vector<float> input;  // of the landmark net
  std::vector<RfbBox> boxes;
  std::vector<float> scores, offsets;

  // RFB-320 on a region of the frame, resized without keeping the aspect ratio, as it was trained.
  Status DetectRfb(const FrameView& frame, const Rect& region, std::vector<Candidate>* found) {
    const float sx = kRfbWidth / region.width(), sy = kRfbHeight / region.height();
    const Affine map{sx, 0, (0.5f - region.x0) * sx - 0.5f, 0, sy, (0.5f - region.y0) * sy - 0.5f};
    MFS_RETURN_IF_ERROR(ReadWarped(frame, map, kRfbWidth, kRfbHeight, &crop));
    const MapView& in = rfb->input();
    for (int y = 0; y < kRfbHeight; ++y) {
      for (int x = 0; x < kRfbWidth; ++x) {
        for (int c = 0; c < 3; ++c) in.at(y, x)[c] = (crop.row(c, y)[x] * 255 - 127) / 128;
      }
    }
    rfb->Run();
    boxes.clear();
    DecodeRfb(*rfb, options.score_threshold, &boxes);
    for (const RfbBox& b : boxes) {
      found->push_back(
          {{region.x0 + b.box.x0 * region.width() - 0.5f, region.y0 + b.box.y0 * region.height() - 0.5f, region.x0 + b.box.x1 * region.width() - 0.5f, region.y0 + b.box.y1 * region.height() - 0.5f},
           b.score,
           0});
    }
    return Status::Ok();
  }

  // BlazeFace on a square of the frame, turned by `degrees`. It stands rolls up to about 60 degrees by itself.
  Status DetectBlaze(const FrameView& frame, Point center, float side, float degrees, std::vector<Candidate>* found) {
    const Affine map = SquareCrop(center, side, degrees, kBlazeSize);
    MFS_RETURN_IF_ERROR(ReadWarped(frame, map, kBlazeSize, kBlazeSize, &crop));
    // Letterbox: outside the frame is black.
    const Affine back = map.Inverse();
    const MapView& in = blaze->input();
    for (int y = 0; y < kBlazeSize; ++y) {
      for (int x = 0; x < kBlazeSize; ++x) {
        const Point p = back.Apply({float(x), float(y)});
        const bool inside = p.x >= -0.5f && p.y >= -0.5f && p.x < frame.width() - 0.5f && p.y < frame.height() - 0.5f;
        for (int c = 0; c < 3; ++c) in.at(y, x)[c] = inside ? crop.row(c, y)[x] * 2 - 1 : -1;
      }
    }
    blaze->Run();
    for (int layer = 0; layer < 2; ++layer) {
      const int stride = layer == 0 ? 16 : 32, per_cell = layer == 0 ? 2 : 6, cells = kBlazeSize / stride;
      blaze->CopyOutput(layer, &scores);
      blaze->CopyOutput(2 + layer, &offsets);
      for (int i = 0; i < cells * cells * per_cell; ++i) {
        const float score = 1 / (1 + std::exp(-scores[i]));
        if (!(score > kBlazeThreshold)) continue;
        const int cell = i / per_cell;
        const float ax = (cell % cells + 0.5f) * stride, ay = (cell / cells + 0.5f) * stride;
        const float* r = &offsets[static_cast<size_t>(i) * 16];
        const Point c = back.Apply({ax + r[0] - 0.5f, ay + r[1] - 0.5f});
        const float w = r[2] * back.Scale(), h = r[3] * back.Scale();
        const float roll = degrees + std::atan2(r[7] - r[5], r[6] - r[4]) * static_cast<float>(180 / M_PI);
        found->push_back({{c.x - w / 2, c.y - h / 2, c.x + w / 2, c.y + h / 2}, score, roll});
      }
    }
    return Status::Ok();
  }

  Status Landmarks(const FrameView& frame, Point center, float side, float roll, std::array<Point, 68>* points) {
    const Affine map = SquareCrop(center, side, roll, kLandmarkSize);
    MFS_RETURN_IF_ERROR(ReadWarped(frame, map, kLandmarkSize, kLandmarkSize, &crop));
    const size_t plane = crop.plane_size();
    input.resize(plane);
    for (size_t i = 0; i < plane; ++i) {
      input[i] = (0.299f * crop.plane(0)[i] + 0.587f * crop.plane(1)[i] + 0.114f * crop.plane(2)[i]) * (255.0f / 256);
    }
    landmarks->Run(input.data());
    const float* out = landmarks->output(0).data;
    const Affine back = map.Inverse();
    for (int i = 0; i < 68; ++i) {
      (*points)[i] = back.Apply({out[2 * i] * kLandmarkSize - 0.5f, out[2 * i + 1] * kLandmarkSize - 0.5f});
    }
    return Status::Ok();
  }

  // The upright second pass from given points.
  Status SecondPass(const FrameView& frame, const std::array<Point, 68>& first, std::array<Point, 68>* points) {
    // The extent is taken in the head's own axes, so that it does not grow with the roll.
    const float roll = RollOf(first);
    const Affine upright = SquareCrop({0, 0}, 1, roll, 1);
    std::array<Point, 68> turned;
    for (int i = 0; i < 68; ++i) turned[i] = upright.Apply(first[i]);
    const Rect box = BoundingBox(turned.data(), 68);
    const float side = 1.1f * std::max(box.width(), box.height());
    if (!(side > 1)) return NoFace("the landmarks coincide");
    return Landmarks(frame, upright.Inverse().Apply(box.center()), side, roll, points);
  }

  // Landmarks of a candidate. Returns how far the passes disagree, and infinity when the points do not look like a face.
  StatusOr<float> Fit(const FrameView& frame, const Candidate& c, const Face* previous, Face* face) {
    constexpr float kNoFit = std::numeric_limits<float>::infinity();
    std::array<Point, 68> first;
    if (previous != nullptr) {
      first = previous->landmarks;
    } else {
      MFS_RETURN_IF_ERROR(Landmarks(frame, c.box.center(), c.roll == 0 ? c.box.height() : 1.15f * std::max(c.box.width(), c.box.height()), c.roll, &first));
    }
    Status s = SecondPass(frame, first, &face->landmarks);
    if (s.code() == StatusCode::kNoFace) return kNoFit;
    MFS_RETURN_IF_ERROR(s);
    face->score = c.score;
    face->points = FivePoints(face->landmarks);
    EstimatePose(face->landmarks, &face->yaw, &face->pitch, &face->roll);
    face->box = BoundingBox(face->landmarks.data(), 68);
    face->box.y0 -= 0.2f * face->box.height();  // the points end at the brows
    const float eyes = Distance(face->points[0], face->points[1]), height = Distance(face->points[0] + face->points[1], face->points[3] + face->points[4]) / 2;
    if (!(std::max(eyes, height) > 2)) return kNoFit;
    float moved = 0;
    for (int i = 0; i < 68; ++i) moved += Distance(first[i], face->landmarks[i]) / 68;
    moved = previous == nullptr ? moved / std::max(eyes, height) : 0;  // a face may move between frames
    const bool plausible = AlignmentResidual(face->points) < kMaxResidual && IntersectionOverUnion(face->box, c.box) > 0.2f;
    return plausible && moved < kMaxDisagreement ? moved : kNoFit;
  }
};

FaceFinder::FaceFinder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FaceFinder::~FaceFinder() = default;

StatusOr<std::unique_ptr<FaceFinder>> FaceFinder::Create(const ModelStore& store, const FaceFinderOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  MFS_ASSIGN_OR_RETURN(Graph rfb, LoadRfbGraph(store));
  MFS_ASSIGN_OR_RETURN(impl->rfb, Plan::Create(std::move(rfb), options.plan));
  MFS_ASSIGN_OR_RETURN(Graph landmarks, LoadLandmarkGraph(store));
  MFS_ASSIGN_OR_RETURN(impl->landmarks, Plan::Create(std::move(landmarks), options.plan));
  MFS_ASSIGN_OR_RETURN(Graph blaze, LoadBlazeGraph(store));
  MFS_ASSIGN_OR_RETURN(impl->blaze, Plan::Create(std::move(blaze), options.plan));
  return std::unique_ptr<FaceFinder>(new FaceFinder(std::move(impl)));
}

StatusOr<std::vector<Face>> FaceFinder::Find(const FrameView& frame, const std::vector<Face>* previous, Search search, int part) {
  MFS_RETURN_IF_ERROR(ValidateFrame(frame));
  Impl& m = *impl_;
  std::vector<Face> faces;
  const float w = static_cast<float>(frame.width()), h = static_cast<float>(frame.height());
  if (std::min(w, h) < m.options.min_size) return faces;
  std::vector<Candidate> candidates;
  bool beside = false;  // only faces whose middle lies in none that is there already
  const auto inside = [](const Rect& box, const Point& p) { return p.x > box.x0 && p.x < box.x1 && p.y > box.y0 && p.y < box.y1; };
  const auto keep = [&](const Face& face) {
    for (const Face& f : faces) {
      if (IntersectionOverUnion(f.box, face.box) > kNmsOverlap) return;
      if (beside && (IntersectionOverUnion(f.box, face.box) > 0.1f || inside(f.box, face.box.center()) || inside(face.box, f.box.center()))) return;
    }
    if (std::max(face.box.width(), face.box.height()) >= m.options.min_size) faces.push_back(face);
  };
  const auto fit = [&](const Candidate& c) -> Status {
    const Face* near = nullptr;
    if (previous != nullptr) {
      for (const Face& f : *previous) {
        if (IntersectionOverUnion(f.box, c.box) > 0.4f) near = &f;
      }
    }
    Face face;
    float moved = 1e9f;
    if (near != nullptr) {
      MFS_ASSIGN_OR_RETURN(moved, m.Fit(frame, c, near, &face));
    }
    if (!(moved < kMaxDisagreement)) {  // new, or moved too far for its old points
      MFS_ASSIGN_OR_RETURN(moved, m.Fit(frame, c, nullptr, &face));
    }
    if (moved > kDoubtfulDisagreement) {
      // A head on its side or upside down: the points of the upright crop are made up. BlazeFace sees which way it lies.
      std::vector<Candidate> turned;
      for (int quarter = 0; quarter < 4; ++quarter) {
        MFS_RETURN_IF_ERROR(m.DetectBlaze(frame, c.box.center(), 2.5f * std::max(c.box.width(), c.box.height()), 90.0f * quarter, &turned));
      }
      NonMaximumSuppression(&turned);
      for (const Candidate& t : turned) {
        if (IntersectionOverUnion(t.box, c.box) < 0.1f) continue;
        Face other;
        MFS_ASSIGN_OR_RETURN(const float other_moved, m.Fit(frame, t, nullptr, &other));
        if (other_moved < moved) face = other, moved = other_moved;
      }
    }
    if (moved < kMaxDisagreement && beside) {
      // The more looks, the more stairs and folds look like a face to one of the networks: BlazeFace has to see it, too, at its size.
      MFS_ASSIGN_OR_RETURN(const bool seen, Confirm(frame, face));
      if (!seen) return Status::Ok();
    }
    if (moved < kMaxDisagreement) keep(face);
    return Status::Ok();
  };
  const auto fit_all = [&]() -> Status {
    NonMaximumSuppression(&candidates);
    for (const Candidate& c : candidates) {
      if (static_cast<int>(faces.size()) < m.options.max_faces) MFS_RETURN_IF_ERROR(fit(c));
    }
    candidates.clear();
    return Status::Ok();
  };
  // A part of the frame for itself: smaller faces are seen in it.
  const auto look_at = [&](const Rect& r) -> Status {
    std::vector<Candidate> found;
    MFS_RETURN_IF_ERROR(m.DetectRfb(frame, r, &found));
    std::copy_if(found.begin(), found.end(), std::back_inserter(candidates), [&](const Candidate& c) { return !CutBy(r, w, h, c.box); });
    return Status::Ok();
  };
  MFS_RETURN_IF_ERROR(m.DetectRfb(frame, {0, 0, w, h}, &candidates));
  MFS_RETURN_IF_ERROR(fit_all());
  // A picture is worth looks at any angle, whoever has been found: people lie beside others. In a video one must do, where nobody is seen.
  const bool picture = previous == nullptr;
  if (!picture && part >= 0 && std::max(w, h) > 640) {
    beside = true;  // as the looks are many
    for (int i = 0; i < 4; ++i) {
      if (part != 4 && part != i) continue;
      MFS_RETURN_IF_ERROR(look_at({(i & 1) != 0 ? 0.4f * w : 0, (i & 2) != 0 ? 0.4f * h : 0, (i & 1) != 0 ? w : 0.6f * w, (i & 2) != 0 ? h : 0.6f * h}));
    }
    MFS_RETURN_IF_ERROR(fit_all());
  }
  for (int quarter = 0; quarter < (picture ? 4 : 1); ++quarter) {
    beside = !faces.empty();
    if (beside && (quarter == 0 || search == Search::kQuick || !picture)) continue;  // upright ones RFB has seen
    MFS_RETURN_IF_ERROR(m.DetectBlaze(frame, {w / 2 - 0.5f, h / 2 - 0.5f}, std::max(w, h), 90.0f * quarter, &candidates));
    MFS_RETURN_IF_ERROR(fit_all());
    if (picture && quarter == 0 && faces.empty()) {
      // A face that fills the picture is larger than the faces the networks know: from further off, with a black border.
      MFS_RETURN_IF_ERROR(m.DetectBlaze(frame, {w / 2 - 0.5f, h / 2 - 0.5f}, 1.8f * std::max(w, h), 0, &candidates));
      MFS_RETURN_IF_ERROR(fit_all());
    }
  }
  if (picture && std::max(w, h) > 640 && (search == Search::kEveryone || faces.empty())) {
    // Small faces in a large picture vanish in 320x240: overlapping parts of it, four or, of photos of many megapixels and panoramas, more.
    beside = !faces.empty();
    constexpr int kMost = 24;
    constexpr float kWidth = 2880, kHeight = 2160, kStrip = 2.5f;
    const auto tile = [](float side, int count) { return side / (1 + (count - 1) * 2 / 3.0f); };  // they overlap by a third
    int columns = h > kStrip * w ? 1 : 2, rows = w > kStrip * h ? 1 : 2;
    while (columns < kMost && (tile(w, columns) > kWidth || (rows == 1 && tile(w, columns) > 1.5f * h))) ++columns;
    while (rows < kMost && (tile(h, rows) > kHeight || (columns == 1 && tile(h, rows) > 1.2f * w))) ++rows;
    const float tile_w = tile(w, columns), tile_h = tile(h, rows);
    for (int i = 0; i < columns * rows; ++i) {
      const int column = i % columns, row = i / columns;
      const float x0 = column * tile_w * 2 / 3, y0 = row * tile_h * 2 / 3;
      MFS_RETURN_IF_ERROR(look_at({x0, y0, column + 1 == columns ? w : x0 + tile_w, row + 1 == rows ? h : y0 + tile_h}));
    }
    MFS_RETURN_IF_ERROR(fit_all());
  }
  std::stable_sort(faces.begin(), faces.end(), [](const Face& a, const Face& b) { return a.box.area() > b.box.area(); });
  if (static_cast<int>(faces.size()) > m.options.max_faces) faces.resize(m.options.max_faces);
  return faces;
}

StatusOr<bool> FaceFinder::Confirm(const FrameView& frame, const Face& face) {
  std::vector<Candidate> seen;
  MFS_RETURN_IF_ERROR(impl_->DetectBlaze(frame, face.box.center(), 2 * std::max(face.box.width(), face.box.height()), face.roll, &seen));
  return std::any_of(seen.begin(), seen.end(), [&](const Candidate& s) { return s.score > kSureBlaze && IntersectionOverUnion(s.box, face.box) > 0.3f; });
}

StatusOr<bool> FaceFinder::Follow(const FrameView& frame, const Face& previous, std::vector<float>* appearance, Face* face, float* likeness) {
  MFS_RETURN_IF_ERROR(ValidateFrame(frame));
  MFS_ASSIGN_OR_RETURN(const float fit, impl_->Fit(frame, {previous.box, previous.score, 0}, &previous, face));
  *likeness = appearance->empty() ? 1 : Correlation(impl_->input, *appearance);
  // The landmark net finds a face in anything; what it saw tells a face from a hand or a wall.
  if (!(fit < kMaxDisagreement) || *likeness <= kMinCorrelation) return false;
  *appearance = impl_->input;
  float moved = 0;
  for (int i = 0; i < 68; ++i) moved += Distance(previous.landmarks[i], face->landmarks[i]) / 68;
  const float size = std::sqrt(std::max(previous.box.area(), 1.0f)), growth = std::sqrt(std::max(face->box.area(), 1.0f)) / size;
  return moved < 0.25f * size && growth > 0.75f && growth < 1.33f;
}

}  // namespace mfs
