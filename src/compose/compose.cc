#include "compose/compose.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace mfs {
namespace {

constexpr int kLeastWorking = 24;                        // pixels a side of the smallest working crop
constexpr float kLeastKept = 0.015f, kMostKept = 0.06f;  // BlendDetail.limit
constexpr float kLookStep = 0.08f;                       // per frame, of what is smoothed over time: about half a second at 25 frames/s
constexpr float kMaskStep = 0.35f;                       // per frame, of the mask where it hardly changes ...
constexpr float kMaskSurprise = 0.4f;                    // ... and all of it where it changes by so much: a hand that comes in is not smeared

Status CheckOptions(const ComposeOptions& options) {
  if (!(options.strength >= 0 && options.strength <= 1)) return InvalidArgument("the strength must be 0 to 1");
  if (!(options.edge_feather >= 0 && options.edge_feather <= 0.5f)) return InvalidArgument("the feather must be 0 to 0.5");
  if (!(options.feather >= 0 && options.feather <= 0.25f)) return InvalidArgument("the feather must be 0 to 0.25");
  return Status::Ok();
}

// Smoothstep ramp of n samples from both ends inwards.
std::vector<float> Ramp(int n, float reach) {
  std::vector<float> r(n);
  for (int i = 0; i < n; ++i) {
    const float t = std::min(1.0f, std::min(i, n - 1 - i) / std::max(1.0f, reach));
    r[i] = t * t * (3 - 2 * t);
  }
  return r;
}

// Mean over (2 radius + 1) squared pixels, borders repeated.
void BoxBlur(const ImageF& in, int radius, ImageF* scratch, ImageF* out) {
  const int w = in.width(), h = in.height();
  scratch->Reset(w, h, 1);
  out->Reset(w, h, 1);
  const float k = 1.0f / (2 * radius + 1);
  for (int y = 0; y < h; ++y) {
    const float* s = in.row(0, y);
    float* o = scratch->row(0, y);
    float sum = 0;
    for (int i = -radius; i <= radius; ++i) sum += s[std::clamp(i, 0, w - 1)];
    for (int x = 0; x < w; ++x) {
      o[x] = sum * k;
      sum += s[std::min(w - 1, x + radius + 1)] - s[std::max(0, x - radius)];
    }
  }
  std::vector<float> sums(w, 0.0f);
  for (int i = -radius; i <= radius; ++i) {
    const float* s = scratch->row(0, std::clamp(i, 0, h - 1));
    for (int x = 0; x < w; ++x) sums[x] += s[x];
  }
  for (int y = 0; y < h; ++y) {
    float* o = out->row(0, y);
    const float *coming = scratch->row(0, std::min(h - 1, y + radius + 1)), *going = scratch->row(0, std::max(0, y - radius));
    for (int x = 0; x < w; ++x) {
      o[x] = sums[x] * k;
      sums[x] += coming[x] - going[x];
    }
  }
}

// 1 inside the closed polygon, 0 outside (even-odd rule at pixel centres).
void FillPolygon(const std::vector<Point>& polygon, ImageF* plane) {
  std::fill(plane->vector().begin(), plane->vector().end(), 0.0f);
  std::vector<float> crossings;
  for (int y = 0; y < plane->height(); ++y) {
    crossings.clear();
    for (size_t i = 0; i < polygon.size(); ++i) {
      const Point a = polygon[i], b = polygon[(i + 1) % polygon.size()];
      if ((a.y <= y) != (b.y <= y)) crossings.push_back(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
    }
    std::sort(crossings.begin(), crossings.end());
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const int from = static_cast<int>(std::ceil(std::max(0.0f, crossings[i]))), to = static_cast<int>(std::floor(std::min(plane->width() - 1.0f, crossings[i + 1])));
      for (int x = from; x <= to; ++x) plane->row(0, y)[x] = 1;
    }
  }
}

// Sets the plane to zero in the box of some landmarks, widened by a quarter on every side.
void ClearAround(const Point* points, size_t n, ImageF* plane) {
  const Rect box = BoundingBox(points, n);
  const float mx = 0.25f * box.width(), my = 0.25f * std::max(box.height(), 0.3f * box.width());
  const auto clip = [](float v, int limit) { return static_cast<int>(std::clamp(v, 0.0f, static_cast<float>(limit))); };
  const int x0 = clip(box.x0 - mx, plane->width()), x1 = clip(box.x1 + mx + 1, plane->width());
  for (int y = clip(box.y0 - my, plane->height()); y < clip(box.y1 + my + 1, plane->height()); ++y) {
    if (x1 > x0) std::fill(plane->row(0, y) + x0, plane->row(0, y) + x1, 0.0f);
  }
}

}  // namespace

Status PasteAlpha(const ImageF& mask, const ComposeOptions& options, ImageF* alpha) {
  if (mask.channels() != 1 || mask.width() < 2 || mask.height() < 2) return InvalidArgument("the mask must be one plane");
  MFS_RETURN_IF_ERROR(CheckOptions(options));
  const int w = mask.width(), h = mask.height();
  const std::vector<float> rx = Ramp(w, options.edge_feather * w), ry = Ramp(h, options.edge_feather * h);
  alpha->Reset(w, h, 1);
  for (int y = 0; y < h; ++y) {
    const float* m = mask.row(0, y);
    float* a = alpha->row(0, y);
    const float k = ry[y] * options.strength;
    for (int x = 0; x < w; ++x) a[x] = std::min(1.0f, std::max(0.0f, m[x])) * rx[x] * k;
  }
  return Status::Ok();
}

Status PasteFace(const ImageF& raw, const ImageF& mask, const Affine& crop_from_frame, const ComposeOptions& options, FrameView* frame, IntRect* region) {
  ImageF alpha;
  MFS_RETURN_IF_ERROR(PasteAlpha(mask, options, &alpha));
  return BlendWarped(raw, alpha, crop_from_frame, frame, region);
}

// The weight of the paste without strength and border ramp, in the working crop: alpha_.
void FaceComposer::Alpha(const SwappedFace& face, LookState* state) {
  const size_t n = face.mask->plane_size();
  smoothed_ = *face.mask;
  float* m = smoothed_.data();
  for (size_t i = 0; i < n; ++i) m[i] = std::min(1.0f, std::max(0.0f, m[i]));
  if (face.visible != nullptr) {
    const float* v = face.visible->data();
    for (size_t i = 0; i < n; ++i) m[i] = std::min(m[i], v[i]);
  }
  if (state != nullptr && options_.smooth_mask) {
    if (state->mask.plane_size() == n) {
      const float* before = state->mask.data();
      for (size_t i = 0; i < n; ++i) {
        const float change = m[i] - before[i], surprise = std::min(1.0f, std::fabs(change) * (1 / kMaskSurprise));
        m[i] = before[i] + (kMaskStep + (1 - kMaskStep) * surprise) * change;
      }
    }
    state->mask = smoothed_;
  }
  if (target_.width() == smoothed_.width()) {
    alpha_ = smoothed_;
  } else {
    ReduceImage(smoothed_, target_.width(), target_.height(), &alpha_);
  }
}

// The mask's own edge is moved inwards by a soft ramp of about `radius` pixels. Outwards nothing grows: there may be a finger.
void FaceComposer::FadeInwards(int radius) {
  weight_ = alpha_;
  for (float& v : weight_.vector()) v = std::min(1.0f, 2 * v);
  BoxBlur(weight_, radius, &scratch_, &blurred_);
  float* a = alpha_.data();
  const float* b = blurred_.data();
  for (size_t i = 0; i < alpha_.plane_size(); ++i) {
    const float t = std::clamp(2 * b[i] - 1, 0.0f, 1.0f);
    a[i] *= t * t * (3 - 2 * t);
  }
}

// seen_: alpha_ where the crop lies in the frame. True, and nothing made, when all of it does.
bool FaceComposer::SeenAlpha(const FrameView& frame) {
  const Affine to_frame = working_from_frame_.Inverse();
  const int n = alpha_.width();
  const auto inside = [&](int x, int y) {
    const Point p = to_frame.Apply({static_cast<float>(x), static_cast<float>(y)});
    return p.x > -0.5f && p.y > -0.5f && p.x < static_cast<float>(frame.width()) - 0.5f && p.y < static_cast<float>(frame.height()) - 0.5f;
  };
  if (inside(0, 0) && inside(n - 1, 0) && inside(0, n - 1) && inside(n - 1, n - 1)) return true;
  seen_ = alpha_;
  for (int y = 0; y < n; ++y) {
    for (int x = 0; x < n; ++x) {
      if (!inside(x, y)) seen_.row(0, y)[x] = 0;
    }
  }
  return false;
}

Status FaceComposer::Prepare(const SwappedFace& face, const ComposeOptions& options, const FrameView& frame, LookState* state) {
  MFS_RETURN_IF_ERROR(CheckOptions(options));
  if (face.target == nullptr || face.raw == nullptr || face.mask == nullptr) return InvalidArgument("target, raw and mask are needed");
  const int size = face.raw->width();
  const auto fits = [&](const ImageF& i, int channels) { return i.width() == size && i.height() == size && i.channels() == channels; };
  if (size < kLeastWorking || !fits(*face.raw, 3) || !fits(*face.target, 3) || !fits(*face.mask, 1) || (face.visible != nullptr && !fits(*face.visible, 1))) {
    return InvalidArgument("target, raw and masks must be squares of one size");
  }
  options_ = options;
  has_points_ = face.landmarks != nullptr;
  if (options.keep_mouth && !has_points_) return InvalidArgument("keep_mouth needs landmarks");
  // A face that is smaller in the frame than its crop is judged and composed at the size that it has there.
  const float crop_per_frame = face.crop_from_frame.Scale();
  if (!std::isfinite(crop_per_frame) || crop_per_frame <= 0) return InvalidArgument("the crop's transform is singular");
  const int working = std::clamp(static_cast<int>(std::lround(size / std::max(1.0f, crop_per_frame))), kLeastWorking, size);
  const float k = static_cast<float>(working) / size;
  working_from_frame_ = Compose({k, 0, 0.5f * k - 0.5f, 0, k, 0.5f * k - 0.5f}, face.crop_from_frame);
  if (working == size) {
    target_ = *face.target, raw_ = *face.raw;
  } else {
    ReduceImage(*face.target, working, working, &target_);
    ReduceImage(*face.raw, working, working, &raw_);
  }
  if (has_points_) {
    for (int i = 0; i < 68; ++i) points_[i] = working_from_frame_.Apply((*face.landmarks)[i]);
  }
  Alpha(face, state);
  // What lies beyond the frame's border is only the border's pixels drawn out: no skin and no grain.
  const bool whole = SeenAlpha(frame);
  const ImageF& seen = whole ? alpha_ : seen_;
  LookState once;
  LookState* look = state == nullptr ? &once : state;
  if (options.color_match) {
    weight_ = seen;
    if (has_points_) {  // brows, eyes and mouth are no skin
      for (const auto& [first, count] : {std::pair{17, 5}, {22, 5}, {36, 6}, {42, 6}, {48, 12}}) ClearAround(&points_[first], count, &weight_);
    }
    UpdateColorMatch(raw_, target_, weight_, kLookStep, &look->color);
    if (look->color.started) ApplyColorMatch(look->color, &raw_);
  }
  if (options.detail_match) {
    const std::array<float, 3> luma = {frame.kr, 1 - frame.kr - frame.kb, frame.kb};
    LumaOf(target_, luma, &luma_);
    detail_.Run(luma_, seen, luma, kLookStep, &look->detail, &raw_);
    // Only where the frame is finer than the crop is there detail that the crop cannot hold. What stands out of the texture is the old face.
    kept_.luma = &luma_;
    kept_.amount = std::clamp((1 / crop_per_frame - 0.7f) / 0.6f, 0.0f, 1.0f);
    kept_.limit = std::clamp(2 * look->detail.limit[0], kLeastKept, kMostKept);
  }
  const int radius = static_cast<int>(std::lround(std::max(options.feather * working, options.feather > 0 ? working_from_frame_.Scale() : 0.0f)));
  if (radius > 0) FadeInwards(radius);
  if (options.keep_mouth) {
    std::vector<Point> mouth(points_.begin() + 48, points_.begin() + 60);
    Point middle;
    for (Point p : mouth) middle = middle + p * (1.0f / 12);
    for (Point& p : mouth) p = middle + (p - middle) * 1.2f;
    weight_.Reset(working, working, 1);
    FillPolygon(mouth, &weight_);
    const int soft = std::max(1, static_cast<int>(std::lround(0.03f * working)));
    BoxBlur(weight_, soft, &scratch_, &blurred_);
    BoxBlur(blurred_, soft, &scratch_, &weight_);
    for (size_t i = 0; i < alpha_.plane_size(); ++i) alpha_.data()[i] *= 1 - weight_.data()[i];
  }
  weight_ = alpha_;
  return PasteAlpha(weight_, options, &alpha_);
}

Status FaceComposer::Paste(FrameView* frame, IntRect* region, ThreadPool* pool) {
  MFS_RETURN_IF_ERROR(BlendWarped(raw_, alpha_, working_from_frame_, frame, region, options_.detail_match ? &kept_ : nullptr, pool));
  return options_.show == ShowOverlay::kMask ? ShowMask(alpha_, working_from_frame_, frame) : Status::Ok();
}

}  // namespace mfs
