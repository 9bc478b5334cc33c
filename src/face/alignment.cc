#include "face/alignment.h"

#include <algorithm>
#include <cmath>

namespace mfs {

std::array<Point, 5> ArcFaceTemplate(int size) {
  std::array<Point, 5> t = {{{38.2946f, 51.6963f}, {73.5318f, 51.5014f}, {56.0252f, 71.7366f}, {41.5493f, 92.3655f}, {70.7299f, 92.2041f}}};
  for (Point& p : t) p = p * (size / 112.0f);
  return t;
}

StatusOr<Affine> ArcFaceAlignment(const std::array<Point, 5>& points, int size) {
  const std::array<Point, 5> t = ArcFaceTemplate(size);
  return UmeyamaSimilarity(points.data(), t.data(), 5);
}

std::array<Point, 5> FivePoints(const std::array<Point, 68>& l) {
  // Pupils lie in the middle of the four lid points, whatever the corners do.
  const Point left = (l[37] + l[38] + l[40] + l[41]) * 0.25f, right = (l[43] + l[44] + l[46] + l[47]) * 0.25f;
  return {left, right, l[30], (l[48] + l[60]) * 0.5f, (l[54] + l[64]) * 0.5f};
}

float AlignmentResidual(const std::array<Point, 5>& points) {
  const auto m = ArcFaceAlignment(points, 112);
  if (!m.ok()) return 1e9f;
  const std::array<Point, 5> t = ArcFaceTemplate(112);
  float sum = 0;
  for (int i = 0; i < 5; ++i) {
    const Point d = m->Apply(points[i]) - t[i];
    sum += d.x * d.x + d.y * d.y;
  }
  return std::sqrt(sum / 5) / Distance(t[0], t[1]);
}

void EstimatePose(const std::array<Point, 68>& l, float* yaw, float* pitch, float* roll) {
  // A generic head in millimetres, x right and y down in the image, z away from the camera: nose tip, chin, outer eye corners,
  // mouth corners, inner eye corners.
  struct Landmark {
    int index;
    double x, y, z;
  };
  static constexpr Landmark kHead[] = {{30, 0, 0, 0}, {8, 0, 66, 13}, {36, -45, -34, 27}, {45, 45, -34, 27}, {48, -29, 30, 24}, {54, 29, 30, 24}, {39, -17, -33, 22}, {42, 17, -33, 22}};
  constexpr int kCount = sizeof kHead / sizeof kHead[0];
  double mean[5] = {};
  for (const Landmark& h : kHead) {
    mean[0] += h.x / kCount, mean[1] += h.y / kCount, mean[2] += h.z / kCount;
    mean[3] += l[h.index].x / kCount, mean[4] += l[h.index].y / kCount;
  }
  // Least squares for the 2x3 matrix that maps centred model points to centred image points: normal equations, 3x3.
  double ata[3][3] = {}, atb[3][2] = {};
  for (const Landmark& h : kHead) {
    const double m[3] = {h.x - mean[0], h.y - mean[1], h.z - mean[2]};
    const double p[2] = {l[h.index].x - mean[3], l[h.index].y - mean[4]};
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) ata[i][j] += m[i] * m[j];
      for (int j = 0; j < 2; ++j) atb[i][j] += m[i] * p[j];
    }
  }
  const auto cofactor = [&](int i, int j) {
    const int a = (i + 1) % 3, b = (i + 2) % 3, c = (j + 1) % 3, d = (j + 2) % 3;
    return ata[a][c] * ata[b][d] - ata[a][d] * ata[b][c];
  };
  const double det = ata[0][0] * cofactor(0, 0) + ata[0][1] * cofactor(0, 1) + ata[0][2] * cofactor(0, 2);
  double r[2][3] = {};
  for (int row = 0; row < 2; ++row) {
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) r[row][i] += cofactor(i, j) * atb[j][row] / det;
    }
  }
  // Two scaled rows of the rotation: normalise them and make them orthogonal.
  double n0 = std::sqrt(r[0][0] * r[0][0] + r[0][1] * r[0][1] + r[0][2] * r[0][2]);
  double n1 = std::sqrt(r[1][0] * r[1][0] + r[1][1] * r[1][1] + r[1][2] * r[1][2]);
  if (!(n0 > 1e-9) || !(n1 > 1e-9)) {
    *yaw = *pitch = *roll = 0;
    return;
  }
  for (int i = 0; i < 3; ++i) r[0][i] /= n0, r[1][i] /= n1;
  const double dot = r[0][0] * r[1][0] + r[0][1] * r[1][1] + r[0][2] * r[1][2];
  double a[3], b[3];
  for (int i = 0; i < 3; ++i) a[i] = r[0][i] - dot / 2 * r[1][i], b[i] = r[1][i] - dot / 2 * r[0][i];
  n0 = std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]), n1 = std::sqrt(b[0] * b[0] + b[1] * b[1] + b[2] * b[2]);
  for (int i = 0; i < 3; ++i) a[i] /= n0, b[i] /= n1;
  // The camera sees the head's forward axis (-z) at -(a[2], b[2]).
  constexpr double kDegrees = 180 / M_PI;
  *yaw = static_cast<float>(std::asin(std::clamp(-a[2], -1.0, 1.0)) * kDegrees);
  *pitch = static_cast<float>(std::asin(std::clamp(-b[2], -1.0, 1.0)) * kDegrees);
  // Roll is read off the eyes, which hardly move.
  const Point left = (l[36] + l[39]) * 0.5f, right = (l[42] + l[45]) * 0.5f;
  *roll = static_cast<float>(std::atan2(right.y - left.y, right.x - left.x) * kDegrees);
}

}  // namespace mfs
