#include "face/face_tracker.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "face/alignment.h"

namespace mfs {
namespace {

constexpr float kSameFace = 0.3f;       // intersection over union of a track and a detection of one face
constexpr float kCovered = 0.15f;       // overlap with a seen face from which on an unseen one is behind it
constexpr float kSameBehindCut = 0.6f;  // likeness (blind to brightness and contrast) from which a face is the same although the frame changed as at a cut; other faces in the same place: below 0.4
constexpr float kGone = 0.2f;           // likeness below which nothing is left of a lost face: a hand, or a cut that only changed a part of the picture
constexpr double kMostLag = 0.04;       // eye distances that the smoothed landmarks may be behind, on average
constexpr int kMaxUnconfirmed = 4;      // the landmark net fits a face onto anything: the detector has the last word
constexpr int kThumbnailWidth = 32, kThumbnailHeight = 18;

double EyeDistance(const Face& f) { return std::max(Distance(f.points[0], f.points[1]), 1.0f); }

// A few samples of the luma, or of green where there is none: enough to see a cut.
void ReadThumbnail(const FrameView& f, std::vector<float>* out) {
  out->resize(kThumbnailWidth * kThumbnailHeight);
  const FrameComponent& c = f.component[f.model == ColorModel::kRgb ? 1 : 0];
  const float scale = 1.0f / static_cast<float>((1 << f.bits) - 1);
  for (int i = 0; i < kThumbnailWidth * kThumbnailHeight; ++i) {
    const int x = (2 * (i % kThumbnailWidth) + 1) * f.stored_width / (2 * kThumbnailWidth), y = (2 * (i / kThumbnailWidth) + 1) * f.stored_height / (2 * kThumbnailHeight);
    const uint8_t* at = c.data + static_cast<ptrdiff_t>(y >> c.shift_y) * c.stride + static_cast<ptrdiff_t>(x >> c.shift_x) * c.step;
    uint16_t sample = *at;
    if (f.bits > 8) {
      std::memcpy(&sample, at, 2);
      sample = static_cast<uint16_t>(sample >> f.sample_shift);
    }
    (*out)[i] = sample * scale;
  }
}

}  // namespace

StatusOr<std::unique_ptr<FaceTracker>> FaceTracker::Create(const ModelStore& store, const FaceTrackerOptions& options) {
  MFS_ASSIGN_OR_RETURN(std::shared_ptr<FaceFinder> finder, FaceFinder::Create(store, options.finder));
  return Create(std::move(finder), options);
}

std::unique_ptr<FaceTracker> FaceTracker::Create(std::shared_ptr<FaceFinder> finder, const FaceTrackerOptions& options) {
  auto tracker = std::make_unique<FaceTracker>();
  tracker->options_ = options;
  tracker->finder_ = std::move(finder);
  return tracker;
}

bool FaceTracker::IsCut(const FrameView& frame) {
  std::swap(thumbnail_, last_thumbnail_);
  ReadThumbnail(frame, &thumbnail_);
  if (last_thumbnail_.size() != thumbnail_.size()) return true;
  // Black bars at the sides change in no cut: only what lies between them counts.
  constexpr float kBlack = 0.08f;
  const auto lit = [&](int x, int y) { return std::max(thumbnail_[y * kThumbnailWidth + x], last_thumbnail_[y * kThumbnailWidth + x]) > kBlack; };
  int x0 = kThumbnailWidth, x1 = 0, y0 = kThumbnailHeight, y1 = 0;
  for (int y = 0; y < kThumbnailHeight; ++y) {
    for (int x = 0; x < kThumbnailWidth; ++x) {
      if (lit(x, y)) x0 = std::min(x0, x), x1 = std::max(x1, x + 1), y0 = std::min(y0, y), y1 = std::max(y1, y + 1);
    }
  }
  // A lamp in a dark picture has no bars.
  if ((x1 - x0) * (y1 - y0) < kThumbnailWidth * kThumbnailHeight / 10) x0 = y0 = 0, x1 = kThumbnailWidth, y1 = kThumbnailHeight;
  float change = 0;
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) change += std::fabs(thumbnail_[y * kThumbnailWidth + x] - last_thumbnail_[y * kThumbnailWidth + x]);
  }
  return change > options_.cut * static_cast<float>((x1 - x0) * (y1 - y0));
}

// One filter constant for all points of a face, by the speed of the whole: its shape is never bent.
void FaceTracker::Smooth(Track* t, const Face& face, double dt) const {
  // The mean motion of the points and the turn and growth of the eyes' line: the noise of single points hardly enters.
  Point mean;
  for (int i = 0; i < 68; ++i) mean = mean + (face.landmarks[i] - t->raw.landmarks[i]) * (1.0f / 68);
  const Point eyes = (face.points[1] - face.points[0]) - (t->raw.points[1] - t->raw.points[0]);
  const double moved = std::hypot(mean.x, mean.y) + 0.5 * std::hypot(eyes.x, eyes.y);
  const auto weight = [dt](double cutoff) { return 1 / (1 + 1 / (2 * M_PI * cutoff * dt)); };
  t->speed += weight(1.0) * (moved / EyeDistance(face) / dt - t->speed);
  t->raw = face;
  const std::array<Point, 68> before = t->smooth.landmarks;
  float a = 1;
  if (options_.smooth) {
    // The speed is smoothed, too, so a sudden turn of the head is seen late; what the filter would then be behind is bounded.
    Point behind;
    for (int i = 0; i < 68; ++i) behind = behind + (face.landmarks[i] - before[i]) * (1.0f / 68);
    const double lag = std::hypot(behind.x, behind.y) / EyeDistance(face);
    a = static_cast<float>(std::max(weight(options_.min_cutoff + options_.beta * t->speed), 1 - kMostLag / std::max(lag, kMostLag)));
  }
  t->smooth = face;
  for (int i = 0; i < 68; ++i) t->smooth.landmarks[i] = before[i] + (face.landmarks[i] - before[i]) * a;
  t->smooth.points = FivePoints(t->smooth.landmarks);
}

// How the face looks where it was found: what comes in its place in the very next frame must be told from it.
Status FaceTracker::Remember(const FrameView& frame, Track* t) const {
  Face ignored;
  t->appearance.clear();
  return finder_->Follow(frame, t->raw, &t->appearance, &ignored, &t->likeness).status();
}

StatusOr<std::vector<TrackedFace>> FaceTracker::Update(const FrameView& frame, double seconds) {
  MFS_RETURN_IF_ERROR(ValidateFrame(frame));
  const double dt = frames_ == 0 ? 0.04 : std::clamp(seconds - last_time_, 1e-3, 1.0);
  const bool anew = seconds < last_time_;  // a source that was opened again counts from zero
  last_time_ = seconds;
  ++frames_;
  const bool cut = IsCut(frame) || anew;
  if (anew) tracks_.clear();
  // Whoever comes in unseen is shown as he is until the next look: while nobody is there, nothing else takes time.
  const bool scheduled = cut || tracks_.empty() || --until_detection_ <= 0;
  bool look = scheduled;
  for (Track& t : tracks_) {
    Face face;
    MFS_ASSIGN_OR_RETURN(t.seen, finder_->Follow(frame, t.raw, &t.appearance, &face, &t.likeness));
    t.found_again = false;
    if (t.seen) {
      Smooth(&t, face, dt);
      t.last_seen = seconds;
    } else {
      look = true;
    }
    ++t.age;
  }
  // A flash or a fast pan changes the frame as much as a cut, but the faces are where they were; behind a cut they are others.
  if (cut) tracks_.erase(std::remove_if(tracks_.begin(), tracks_.end(), [](const Track& t) { return !t.seen || t.likeness < kSameBehindCut; }), tracks_.end());
  // Two tracks on one face: the older one stays. (One that is not seen may lie behind the other.)
  for (size_t i = 0; i < tracks_.size(); ++i) {
    for (size_t j = tracks_.size(); --j > i;) {
      if (tracks_[i].seen && tracks_[j].seen && IntersectionOverUnion(tracks_[i].raw.box, tracks_[j].raw.box) > 0.5f) tracks_.erase(tracks_.begin() + static_cast<ptrdiff_t>(j));
    }
  }
  if (look) {
    ++detections_;
    if (scheduled) until_detection_ = options_.detect_every;
    std::vector<Face> previous;
    for (const Track& t : tracks_) previous.push_back(t.raw);
    MFS_ASSIGN_OR_RETURN(const std::vector<Face> found, finder_->Find(frame, &previous, Search::kQuick,
                                                                      !scheduled || !(options_.everyone || tracks_.empty()) ? -1
                                                                      : cut && options_.everyone                            ? 4
                                                                                                                            : part_++ % 4));
    // Tracks and detections pair up by overlap, the best pair first: at a crossing the order of the tracks must not decide.
    std::vector<bool> taken(found.size());
    std::vector<int> match(tracks_.size(), -1);
    for (;;) {
      float most = kSameFace;
      size_t track = 0, face = found.size();
      for (size_t k = 0; k < tracks_.size(); ++k) {
        for (size_t i = 0; i < found.size() && match[k] < 0; ++i) {
          const float overlap = taken[i] ? 0 : IntersectionOverUnion(found[i].box, tracks_[k].raw.box);
          if (overlap > most) most = overlap, track = k, face = i;
        }
      }
      if (face == found.size()) break;
      match[track] = static_cast<int>(face);
      taken[face] = true;
    }
    for (size_t k = 0; k < tracks_.size(); ++k) {
      Track& t = tracks_[k];
      const int best = match[k];
      if (best < 0) {
        if (!scheduled || !t.seen) continue;  // a lost one ends by time; looks for its sake, frame after frame, say nothing against the others
        MFS_ASSIGN_OR_RETURN(const bool confirmed, finder_->Confirm(frame, t.raw));
        t.unconfirmed = confirmed ? 0 : t.unconfirmed + 1;
        continue;
      }
      t.unconfirmed = 0;
      if (!t.seen) {
        Smooth(&t, found[best], dt);
        MFS_RETURN_IF_ERROR(Remember(frame, &t));
        t.seen = t.found_again = true;
        t.last_seen = seconds;
      }
    }
    for (size_t i = 0; i < found.size(); ++i) {
      if (taken[i]) continue;
      Track t;
      t.id = next_id_++;
      t.raw = t.smooth = found[i];
      t.last_seen = seconds;
      MFS_RETURN_IF_ERROR(Remember(frame, &t));
      tracks_.push_back(std::move(t));
    }
  }
  tracks_.erase(std::remove_if(tracks_.begin(), tracks_.end(), [&](const Track& t) { return t.unconfirmed >= kMaxUnconfirmed || seconds - t.last_seen > options_.hold_seconds; }), tracks_.end());
  std::vector<TrackedFace> faces;
  for (const Track& t : tracks_) {
    // A face that is not seen where another one is lies behind it.
    const bool covered = !t.seen && std::any_of(tracks_.begin(), tracks_.end(), [&](const Track& o) { return o.seen && IntersectionOverUnion(o.raw.box, t.raw.box) > kCovered; });
    const bool gone = !t.seen && t.likeness < kGone;
    faces.push_back({t.id, t.smooth, !t.seen, covered || gone, t.found_again, cut && t.age > 0, t.age});
  }
  std::stable_sort(faces.begin(), faces.end(), [](const TrackedFace& a, const TrackedFace& b) { return a.face.box.area() > b.face.box.area(); });
  return faces;
}

}  // namespace mfs
