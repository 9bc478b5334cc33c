#include "glasses.h"

#include <algorithm>
#include <cmath>

#include "blur.h"
#include "dice.h"

namespace mfs::train {
namespace {

constexpr int kSide = kCropSize, kPixels = kSide * kSide;

// One pair; lengths in distances of the eyes.
struct Style {
  float half_width, half_height, apart, drop;  // of a lens; its middle from the middle of the face
  float power_above, power_below, skew;        // outline: |u|^power + |v|^power = 1; how far it leans outward below
  float rim_above, rim_below, bridge, temple;  // thicknesses, 0: none
  float bridge_height, bridge_bend, end_piece;
  bool two_bridges, pads;
  Colour frame, spots;
  float opacity, gloss, spotted;
  Colour glass;
  float tint, gradient;  // of the glass's opacity; how much more of it above

  explicit Style(Dice* dice) {
    Dice& d = *dice;
    half_width = d(0.32f, 0.47f), half_height = half_width * d(0.5f, 0.97f);
    apart = std::max(0.5f + d(-0.02f, 0.06f), half_width + d(0.06f, 0.11f)), drop = d(-0.02f, 0.13f);
    power_above = d.Chance(0.4f) ? d(2, 2.4f) : d(2.4f, 6), power_below = d.Chance(0.5f) ? d(2, 2.4f) : d(2, std::max(power_above, 2.1f));
    skew = d.Chance(0.3f) ? d(-0.15f, 0.05f) : 0;
    const float kind = d(0, 1);
    const bool metal = kind >= 0.42f;
    const float thin = d(0.011f, 0.03f), thick = std::exp(d(std::log(0.028f), std::log(0.11f)));
    rim_above = kind < 0.42f ? thick : kind < 0.8f ? thin : kind < 0.9f ? d(0.02f, 0.07f) : 0;
    rim_below = kind < 0.42f ? thick * d(0.5f, 1) : kind < 0.8f ? thin : 0;
    bridge = std::max(rim_above * d(0.7f, 1.3f), 0.014f), temple = std::max(rim_above * d(0.7f, 1.5f), 0.016f);
    bridge_height = d(0.05f, 0.65f), bridge_bend = d(0, 2.5f), end_piece = d(0.03f, 0.1f);
    two_bridges = metal && d.Chance(0.15f), pads = metal && d.Chance(0.6f);
    const float hue = d(0, 1), value = d(0.5f, 0.95f);
    if (hue < 0.5f) {
      const float dark = d(0, 0.2f);
      frame = {{dark, dark * d(0.8f, 1), dark * d(0.7f, 1.1f)}};
    } else if (hue < 0.7f) {
      frame = metal || d.Chance(0.3f) ? Colour{{value, value, value * 1.03f}} : Colour{{d(0.2f, 0.45f), d(0.1f, 0.25f), d(0.03f, 0.15f)}};
    } else if (hue < 0.85f) {
      frame = metal ? Colour{{value, value * 0.82f, value * 0.5f}} : Colour{{d(0.3f, 0.5f), d(0.18f, 0.28f), d(0.05f, 0.15f)}};
    } else {
      for (float& v : frame.v) v = d(0, 1);
    }
    spotted = !metal && d.Chance(0.2f) ? d(0.3f, 0.9f) : 0;
    for (int k = 0; k < 3; ++k) spots.v[k] = frame.v[k] * d(0.1f, 0.5f);
    opacity = !metal && d.Chance(0.12f) ? d(0.35f, 0.75f) : d(0.85f, 1), gloss = d(0, 1);
    const float dark = d(0, 1);  // lenses: clear, tinted, for the sun
    tint = dark < 0.78f ? d(0, 0.1f) : dark < 0.88f ? d(0.1f, 0.45f) : d(0.7f, 0.98f);
    const float grey = dark < 0.78f ? d(0.3f, 0.9f) : dark < 0.88f ? d(0.1f, 0.6f) : d(0, 0.15f);
    for (float& v : glass.v) v = std::clamp(grey * d(0.75f, 1.25f), 0.0f, 1.0f);
    gradient = d.Chance(0.3f) ? d(0, 1) : 0;
  }
};

// Something bright that both lenses mirror: a window or a lamp, in coordinates of a lens (-1..1).
struct Reflection {
  float u, v, wide, high, angle, power, edge, alpha, shift;
  Colour colour;
  explicit Reflection(Dice* dice) {
    Dice& d = *dice;
    u = d(-0.7f, 0.7f), v = d(-0.7f, 0.6f), wide = d(0.12f, 0.7f), high = wide * d(0.3f, 1.6f), angle = d(-0.8f, 0.8f);
    power = d.Chance(0.5f) ? 2.0f : 6.0f, edge = d(0.08f, 0.9f), alpha = d.Chance(0.7f) ? d(0.05f, 0.4f) : d(0.4f, 0.9f), shift = d(-0.25f, 0.25f);
    const bool white = d.Chance(0.6f);  // else what an anti-reflection coating leaves of it
    colour = white ? Colour{{1, 1, d(0.9f, 1)}} : Colour{{d(0.2f, 0.8f), d(0.5f, 1), d(0.4f, 1)}};
  }
  float At(float lens_u, float lens_v, int side) const {
    const float dx = lens_u - u - side * shift, dy = lens_v - v, c = std::cos(angle), s = std::sin(angle);
    const float a = std::fabs((dx * c + dy * s) / wide), b = std::fabs((dy * c - dx * s) / high);
    if (a > 3 || b > 3) return 0;
    const float r = std::pow(std::pow(a, power) + std::pow(b, power), 1 / power);
    return alpha * std::clamp((1 - r) / edge + 0.5f, 0.0f, 1.0f);
  }
};

float Coverage(float distance) { return std::clamp(0.5f - distance, 0.0f, 1.0f); }  // signed distance to an outline, pixels

// Distance of p from the segment a b.
float FromSegment(Point p, Point a, Point b) {
  const Point d = b - a, q = p - a;
  const float t = std::clamp((q.x * d.x + q.y * d.y) / std::max(d.x * d.x + d.y * d.y, 1e-6f), 0.0f, 1.0f);
  return std::hypot(q.x - t * d.x, q.y - t * d.y);
}

void Soften(float sigma, int channels, std::vector<float>* image) {
  if (sigma < 0.25f) return;
  std::vector<float> scratch(image->size());
  Blur(image->data(), kSide, channels, sigma, scratch.data());
}

}  // namespace

GlassesPlane PlaneOfGlasses(const FaceRecord& face) {
  struct Vector {
    float x, y, z;
  };
  const auto mean = [&](const auto& points) {
    Vector m{0, 0, 0};
    for (int i : points) m.x += face.mesh[3 * i], m.y += face.mesh[3 * i + 1], m.z += face.mesh[3 * i + 2];
    const float n = static_cast<float>(points.size());
    return Vector{m.x / n, m.y / n, m.z / n};
  };
  // The person's right eye lies on the picture's left.
  const Vector right = mean(kMeshRightEye), left = mean(kMeshLeftEye), mouth = mean(kMeshInnerLips);
  const Vector middle{(right.x + left.x) / 2, (right.y + left.y) / 2, (right.z + left.z) / 2};
  Vector x{left.x - right.x, left.y - right.y, left.z - right.z}, y{mouth.x - middle.x, mouth.y - middle.y, mouth.z - middle.z};
  const float unit = std::max(std::sqrt(x.x * x.x + x.y * x.y + x.z * x.z), 1.0f);
  x = {x.x / unit, x.y / unit, x.z / unit};
  const float along = x.x * y.x + x.y * y.y + x.z * y.z;
  y = {y.x - along * x.x, y.y - along * x.y, y.z - along * x.z};
  const float length = std::max(std::sqrt(y.x * y.x + y.y * y.y + y.z * y.z), 1.0f);
  y = {y.x / length, y.y / length, y.z / length};
  GlassesPlane plane;
  plane.x = {unit * x.x, unit * x.y}, plane.y = {unit * y.x, unit * y.y};
  plane.backward = {unit * (x.y * y.z - x.z * y.y), unit * (x.z * y.x - x.x * y.z)};
  plane.middle = Point{middle.x, middle.y} - plane.backward * 0.2f;
  return plane;
}

void DrawGlasses(const GlassesPlane& plane, float light, float softness, std::mt19937_64* rng, GlassesLayer* out) {
  Dice d{*rng};
  const Style s(&d);
  std::vector<Reflection> reflections;
  if (d.Chance(0.45f)) {
    for (int i = 1 + d.Pick(3); i > 0; --i) reflections.emplace_back(&d);
  }
  const float determinant = plane.x.x * plane.y.y - plane.x.y * plane.y.x;
  const float pixels = std::sqrt(std::max(std::fabs(determinant), 1.0f));  // of one unit
  const float turn = d.Normal(0.02f), place_y = d.Normal(0.02f);           // never quite straight
  const float sun = d(-1, 1), wave_a = d(4, 14), wave_b = d(4, 14), phase = d(0, 6.2832f);
  out->colour.assign(3 * kPixels, 0.0f);
  out->alpha.assign(kPixels, 0.0f);
  out->inside.assign(kPixels, 0.0f);

  // Ends of the temples in the picture. One that would run inward is hidden by the face.
  Point hinge[2], end[2], ear[2];
  bool temple[2];
  for (int e = 0; e < 2; ++e) {
    const float side = e == 0 ? -1.0f : 1.0f, edge = side * (s.apart + 0.97f * s.half_width), at = s.drop + place_y - 0.4f * s.half_height;
    hinge[e] = plane.middle + plane.x * edge + plane.y * (at + turn * edge);
    end[e] = hinge[e] + plane.x * (side * s.end_piece);
    const Point way = plane.backward * 1.7f + plane.x * (side * 0.08f) + plane.y * d(-0.05f, 0.1f);
    ear[e] = end[e] + way;
    temple[e] = side * (way.x * plane.x.x + way.y * plane.x.y) > 0;
  }

  std::vector<float>& rim = out->frame;
  rim.assign(kPixels, 0.0f);
  const Point row{-plane.x.y / determinant, plane.x.x / determinant}, column{plane.y.y / determinant, -plane.y.x / determinant};
  for (int py = 0; py < kSide; ++py) {
    for (int px = 0; px < kSide; ++px) {
      const int i = py * kSide + px;
      const Point p{static_cast<float>(px), static_cast<float>(py)}, q = p - plane.middle;
      const float x = column.x * q.x + column.y * q.y, y = row.x * q.x + row.y * q.y - s.drop - place_y - turn * x;
      const int side = x < 0 ? -1 : 1;
      // The lens on this side: its own coordinates, and how far from its outline (Taylor's first step).
      float u = (side * x - s.apart) / s.half_width, v = y / s.half_height;
      u -= s.skew * v;
      float distance = 1e3f, in_lens = 0, in_rim = 0, across = 0;
      if (std::fabs(u) < 1.6f && std::fabs(v) < 1.8f) {
        const float power = v < 0 ? s.power_above : s.power_below, au = std::fabs(u), av = std::fabs(v);
        const float slope_u = std::pow(au, power - 1), slope_v = std::pow(av, power - 1);
        const float gradient = power * std::hypot(slope_u / s.half_width, slope_v / s.half_height);
        distance = (slope_u * au + slope_v * av - 1) / std::max(gradient, 1e-3f);
        in_lens = Coverage(distance * pixels);
        const float t = s.rim_below + (s.rim_above - s.rim_below) * std::clamp(0.5f - 1.2f * v, 0.0f, 1.0f);
        if (t > 0) {
          across = (distance - 0.1f * t) / (t / 2);
          in_rim = Coverage((std::fabs(distance - 0.1f * t) - t / 2) * pixels) * std::min(1.0f, t * pixels);
        } else {
          in_rim = 0.3f * Coverage(std::fabs(distance) * pixels - 0.3f);  // the edge of the glass
        }
      }
      float metal = 0;  // bridge, hinges and temples
      if (std::fabs(x) < s.apart && distance > 0) {
        for (int k = 0; k <= (s.two_bridges ? 1 : 0); ++k) {
          const float at = -s.half_height * (k == 0 ? s.bridge_height : 0.95f) + s.bridge_bend * (k == 0 ? 1.0f : 0.2f) * x * x;
          metal = std::max(metal, Coverage((std::fabs(y - at) - s.bridge / 2) * pixels) * std::min(1.0f, s.bridge * pixels));
        }
        if (s.pads) metal = std::max(metal, 0.6f * Coverage((std::hypot((std::fabs(x) - 0.13f) / 0.025f, (y - 0.12f) / 0.06f) - 1) * 0.03f * pixels));
      }
      if (distance > 0) {
        const int e = side < 0 ? 0 : 1;
        const float half = std::max(s.temple * pixels / 2, 0.6f);
        metal = std::max(metal, Coverage(FromSegment(p, hinge[e], end[e]) - half));
        if (temple[e]) metal = std::max(metal, Coverage(FromSegment(p, end[e], ear[e]) - half));
      }
      out->inside[i] = std::max({in_lens, in_rim, metal});
      rim[i] = std::max(in_rim, metal);
      const auto over = [&](const float* colour, float brightness, float a) {
        for (int k = 0; k < 3; ++k) out->colour[3 * i + k] += a * (std::min(colour[k] * brightness, 1.0f) - out->colour[3 * i + k]);
        out->alpha[i] += a * (1 - out->alpha[i]);
      };
      if (in_lens > 0) {
        over(s.glass.v, light, in_lens * std::clamp(s.tint * (1 - s.gradient * 0.5f * (v + 1)), 0.0f, 1.0f));
        for (const Reflection& r : reflections) over(r.colour.v, 0.4f + 0.6f * light, in_lens * r.At(u * side, v, side));
      }
      if (rim[i] > 0) {
        float colour[3];
        const float spot = s.spotted * std::clamp(2 * std::sin(wave_a * x + 3 * std::sin(wave_b * y + phase)) * std::sin(wave_b * y + phase), 0.0f, 1.0f);
        for (int k = 0; k < 3; ++k) colour[k] = s.frame.v[k] + spot * (s.spots.v[k] - s.frame.v[k]);
        over(colour, light * (1 + 0.25f * s.gloss * sun * std::clamp(across, -1.0f, 1.0f)), rim[i] * s.opacity);
        // A light runs along the upper edges here and there.
        const float shine = s.gloss * std::clamp(1 - 2.5f * std::fabs(across + 0.3f * sun), 0.0f, 1.0f) * std::clamp(1.5f * std::sin(2.2f * x + 3 * u + phase) - 0.6f, 0.0f, 1.0f);
        const float white[3] = {1, 1, 1};
        over(white, light, 0.6f * rim[i] * shine);
      }
    }
  }
  if (d.Chance(0.6f)) {  // the shadow, behind all of it
    const float strength = d(0.05f, 0.45f), shift_x = d(-0.04f, 0.04f) * pixels, shift_y = d(0, 0.1f) * pixels;
    std::vector<float> shadow(kPixels, 0.0f);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const int fx = x - static_cast<int>(std::lround(shift_x)), fy = y - static_cast<int>(std::lround(shift_y));
        if (fx >= 0 && fy >= 0 && fx < kSide && fy < kSide) shadow[y * kSide + x] = rim[fy * kSide + fx];
      }
    }
    Soften(d(0.01f, 0.05f) * pixels, 1, &shadow);
    for (int i = 0; i < kPixels; ++i) out->alpha[i] += (1 - out->alpha[i]) * strength * shadow[i];
  }
  for (float& v : rim) v *= s.opacity;
  Soften(softness, 1, &rim);
  Soften(softness, 3, &out->colour);
  Soften(softness, 1, &out->alpha);
}

void DrawGlasses(const FaceRecord& face, const FaceInfo& info, std::mt19937_64* rng, GlassesLayer* out) {
  // A crop that is a magnified small face has no sharper frames than skin.
  const float softness = std::clamp(0.45f / std::max(info.scale, 0.1f), 0.2f, 3.0f) * (info.sharpness < 60 ? 1.6f : 1.0f);
  DrawGlasses(PlaneOfGlasses(face), std::clamp(0.35f + 0.8f * info.luma, 0.3f, 1.0f), softness, rng, out);
}

void PutOn(const GlassesLayer& glasses, FaceRecord* face) {
  for (int i = 0; i < 3 * kPixels; ++i) {
    const float v = face->crop[i] * (1 - glasses.alpha[i / 3]) + 255 * glasses.colour[i];
    face->crop[i] = static_cast<uint8_t>(std::clamp(v, 0.0f, 255.0f) + 0.5f);
  }
}

void PutOn(const GlassesLayer& glasses, std::vector<float>* rgb) {
  for (int i = 0; i < 3 * kPixels; ++i) (*rgb)[i] = (*rgb)[i] * (1 - glasses.alpha[i / 3]) + glasses.colour[i];
}

void PutOn(const GlassesLayer& glasses, TeacherPicture* picture) {
  constexpr float kSurely = 0.7f;
  PutOn(glasses, &picture->image);
  for (int i = 0; i < kPixels; ++i) {
    const float a = glasses.alpha[i];
    picture->alpha[i] *= 1 - a;
    picture->open[i] = 1 - (1 - picture->open[i]) * (1 - a);
    picture->frame[i] = std::max(picture->frame[i], glasses.frame[i] * (1 - picture->background[i]));
    if (a > kSurely && glasses.frame[i] < 0.1f && picture->background[i] == 0) picture->occluder[i] = 1;
  }
}

}  // namespace mfs::train
