// Overlays for finding faults. Drawn as small crops, so that they work on every layout of pixels.
#include <algorithm>
#include <cmath>

#include "compose/compose.h"

namespace mfs {
namespace {

constexpr int kCanvas = 512;  // pixels of a canvas' longer side at most

// A transparent picture over a box of the frame.
struct Canvas {
  ImageF rgb, alpha;
  Affine from_frame;

  explicit Canvas(const Rect& box) {
    const float scale = std::min(1.0f, kCanvas / std::max({box.width(), box.height(), 1.0f}));
    const int w = std::max(2, static_cast<int>(std::ceil(box.width() * scale))), h = std::max(2, static_cast<int>(std::ceil(box.height() * scale)));
    rgb.Reset(w, h, 3), alpha.Reset(w, h, 1);
    std::fill(rgb.vector().begin(), rgb.vector().end(), 0.0f);
    std::fill(alpha.vector().begin(), alpha.vector().end(), 0.0f);
    from_frame = {scale, 0, -box.x0 * scale, 0, scale, -box.y0 * scale};
  }
  // A square of 2 reach + 1 frame pixels (at least one of the canvas) around a point of the frame.
  void Dot(Point at, float reach, const float* color) {
    const Point p = from_frame.Apply(at);
    const int r = std::max(0, static_cast<int>(std::lround(reach * from_frame.Scale()))), cx = static_cast<int>(std::lround(p.x)), cy = static_cast<int>(std::lround(p.y));
    for (int y = std::max(0, cy - r); y <= std::min(rgb.height() - 1, cy + r); ++y) {
      for (int x = std::max(0, cx - r); x <= std::min(rgb.width() - 1, cx + r); ++x) {
        alpha.row(0, y)[x] = 1;
        for (int c = 0; c < 3; ++c) rgb.row(c, y)[x] = color[c];
      }
    }
  }
  void Line(Point a, Point b, float reach, const float* color) {
    const int n = std::max(1, static_cast<int>(2 * Distance(a, b) * from_frame.Scale()));
    for (int i = 0; i <= n; ++i) Dot(a + (b - a) * (static_cast<float>(i) / n), reach, color);
  }
};

Rect Widen(const Rect& r, float by) { return {r.x0 - by, r.y0 - by, r.x1 + by, r.y1 + by}; }

constexpr float kGreen[3] = {0.1f, 0.9f, 0.2f}, kRed[3] = {0.95f, 0.2f, 0.15f};

}  // namespace

Status ShowMask(const ImageF& alpha, const Affine& crop_from_frame, FrameView* frame) {
  ImageF color(alpha.width(), alpha.height(), 3), half = alpha;
  for (int c = 0; c < 3; ++c) std::fill_n(color.plane(c), color.plane_size(), kGreen[c]);
  for (float& v : half.vector()) v *= 0.5f;
  return BlendWarped(color, half, crop_from_frame, frame);
}

Status ShowBox(const Rect& box, FrameView* frame) {
  const float reach = std::max(1.0f, 0.005f * std::max(box.width(), box.height()));
  Canvas canvas(Widen(box, 3 * reach));
  const Point corners[4] = {{box.x0, box.y0}, {box.x1, box.y0}, {box.x1, box.y1}, {box.x0, box.y1}};
  for (int i = 0; i < 4; ++i) canvas.Line(corners[i], corners[(i + 1) % 4], reach, kGreen);
  return BlendWarped(canvas.rgb, canvas.alpha, canvas.from_frame, frame);
}

Status ShowPoints(const std::array<Point, 68>& landmarks, const std::array<Point, 5>& points, FrameView* frame) {
  const Rect box = BoundingBox(landmarks.data(), landmarks.size());
  const float reach = 0.006f * std::max(box.width(), box.height());
  Canvas canvas(Widen(box, 4 * reach + 2));
  for (Point p : landmarks) canvas.Dot(p, reach, kGreen);
  for (Point p : points) canvas.Dot(p, 1.5f * reach, kRed);
  return BlendWarped(canvas.rgb, canvas.alpha, canvas.from_frame, frame);
}

}  // namespace mfs
