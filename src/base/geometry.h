// Points, boxes and affine maps of the image plane. Pixel centres lie at integer coordinates: (0,0) is the centre of the
// first pixel. x runs right, y down; angles are degrees, clockwise as seen in the image.
#ifndef MFS_BASE_GEOMETRY_H_
#define MFS_BASE_GEOMETRY_H_

#include <array>
#include <cstddef>

#include "base/status.h"

namespace mfs {

struct Point {
  float x = 0, y = 0;
};
inline Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
inline Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
inline Point operator*(Point a, float s) { return {a.x * s, a.y * s}; }
float Distance(Point a, Point b);

// Half-open box [x0,x1) x [y0,y1) in continuous coordinates.
struct Rect {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  float width() const { return x1 - x0; }
  float height() const { return y1 - y0; }
  float area() const { return width() > 0 && height() > 0 ? width() * height() : 0; }
  Point center() const { return {(x0 + x1) / 2, (y0 + y1) / 2}; }
};
float IntersectionOverUnion(const Rect& a, const Rect& b);

// Integer pixel box, half-open.
struct IntRect {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
  bool empty() const { return x1 <= x0 || y1 <= y0; }
};
IntRect Intersect(const IntRect& a, const IntRect& b);

// [x'; y'] = [a b; c d] [x; y] + [tx; ty].
struct Affine {
  float a = 1, b = 0, tx = 0;
  float c = 0, d = 1, ty = 0;

  Point Apply(Point p) const { return {a * p.x + b * p.y + tx, c * p.x + d * p.y + ty}; }
  float Determinant() const { return a * d - b * c; }
  // Length in the image of a unit length before it: sqrt |det|.
  float Scale() const;
  // A singular map has no inverse; the result is then full of NaN (callers check Determinant()).
  Affine Inverse() const;
  static Affine Translation(float x, float y) { return {1, 0, x, 0, 1, y}; }
  static Affine Scaling(float s) { return {s, 0, 0, 0, s, 0}; }
};
// first, then second: Compose(second, first).Apply(p) == second.Apply(first.Apply(p)).
Affine Compose(const Affine& second, const Affine& first);

// The map from the (rotated) square of the image with the given centre, side and clockwise angle to a size x size crop.
Affine SquareCrop(Point center, float side, float degrees, int size);

// Least-squares similarity transform from `from` to `to` (Umeyama 1991, without reflection), n >= 2 points.
StatusOr<Affine> UmeyamaSimilarity(const Point* from, const Point* to, size_t n);

// Bounding box of the points.
Rect BoundingBox(const Point* points, size_t n);

}  // namespace mfs

#endif  // MFS_BASE_GEOMETRY_H_
