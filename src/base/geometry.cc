#include "base/geometry.h"

#include <algorithm>
#include <cmath>

namespace mfs {

float Distance(Point a, Point b) { return std::hypot(a.x - b.x, a.y - b.y); }

float IntersectionOverUnion(const Rect& a, const Rect& b) {
  const Rect i{std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
  const float common = i.area();
  const float all = a.area() + b.area() - common;
  return all > 0 ? common / all : 0;
}

IntRect Intersect(const IntRect& a, const IntRect& b) { return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)}; }

float Affine::Scale() const { return std::sqrt(std::fabs(Determinant())); }

Affine Affine::Inverse() const {
  const double det = double{a} * d - double{b} * c;
  const double ia = d / det, ib = -b / det, ic = -c / det, id = a / det;
  return {float(ia), float(ib), float(-(ia * tx + ib * ty)), float(ic), float(id), float(-(ic * tx + id * ty))};
}

Affine Compose(const Affine& s, const Affine& f) {
  return {s.a * f.a + s.b * f.c, s.a * f.b + s.b * f.d, s.a * f.tx + s.b * f.ty + s.tx, s.c * f.a + s.d * f.c, s.c * f.b + s.d * f.d, s.c * f.tx + s.d * f.ty + s.ty};
}

Affine SquareCrop(Point center, float side, float degrees, int size) {
  const double angle = degrees * (M_PI / 180);
  const double scale = size / double{side};
  const double cs = std::cos(angle) * scale, sn = std::sin(angle) * scale;
  const double middle = (size - 1) / 2.0;
  return {float(cs), float(sn), float(middle - cs * center.x - sn * center.y), float(-sn), float(cs), float(middle + sn * center.x - cs * center.y)};
}

StatusOr<Affine> UmeyamaSimilarity(const Point* from, const Point* to, size_t n) {
  if (n < 2) return InvalidArgument("a similarity transform needs two points");
  double fx = 0, fy = 0, gx = 0, gy = 0;
  for (size_t i = 0; i < n; ++i) {
    fx += from[i].x, fy += from[i].y, gx += to[i].x, gy += to[i].y;
  }
  fx /= n, fy /= n, gx /= n, gy /= n;
  // In the plane the best rotation is the argument of the complex covariance; no SVD is needed.
  double dot = 0, cross = 0, variance = 0;
  for (size_t i = 0; i < n; ++i) {
    const double x = from[i].x - fx, y = from[i].y - fy, u = to[i].x - gx, v = to[i].y - gy;
    dot += x * u + y * v;
    cross += x * v - y * u;
    variance += x * x + y * y;
  }
  if (!(variance > 1e-12)) return InvalidArgument("the points of a similarity transform coincide");
  const double a = dot / variance, s = cross / variance;
  if (!std::isfinite(a) || !std::isfinite(s)) return InvalidArgument("points are not finite");
  return Affine{float(a), float(-s), float(gx - (a * fx - s * fy)), float(s), float(a), float(gy - (s * fx + a * fy))};
}

Rect BoundingBox(const Point* points, size_t n) {
  if (n == 0) return {};
  Rect r{points[0].x, points[0].y, points[0].x, points[0].y};
  for (size_t i = 1; i < n; ++i) {
    r.x0 = std::min(r.x0, points[i].x), r.x1 = std::max(r.x1, points[i].x);
    r.y0 = std::min(r.y0, points[i].y), r.y1 = std::max(r.y1, points[i].y);
  }
  return r;
}

}  // namespace mfs
