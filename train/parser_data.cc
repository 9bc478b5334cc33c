#include "parser_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "dice.h"
#include "face/alignment.h"
#include "face/face_finder.h"
#include "glasses.h"
#include "media/picture.h"
#include "sheet.h"
#include "simd.h"

namespace mfs::train {
namespace {

namespace fs = std::filesystem;
constexpr int kSide = kParserInput, kPixels = kSide * kSide;
constexpr int kHeldBack = 5;  // one photo of so many

// Classes of CelebAMask-HQ.
constexpr FacePart kPartOfClass[] = {FacePart::kBackground, FacePart::kSkin, FacePart::kNose, FacePart::kGlasses, FacePart::kEye,       FacePart::kEye,  FacePart::kBrow,
                                     FacePart::kBrow,       FacePart::kEar,  FacePart::kEar,  FacePart::kMouth,   FacePart::kLips,      FacePart::kLips, FacePart::kHair,
                                     FacePart::kHat,        FacePart::kEar,  FacePart::kNeck, FacePart::kNeck,    FacePart::kBackground};
constexpr int kClasses = sizeof kPartOfClass / sizeof kPartOfClass[0];

// A crop that is being made.
struct Canvas {
  std::vector<float> rgb = std::vector<float>(3 * kPixels);
  std::vector<uint8_t> label = std::vector<uint8_t>(kPixels);
};

int Mirror(int i, int n) {
  if (n == 1) return 0;
  i = std::abs(i) % (2 * n - 2);
  return i < n ? i : 2 * n - 2 - i;
}

// Bilinear colour at a place of the photo; outside, the border is repeated or the photo mirrored. The label there, kNoLabel outside.
uint8_t ReadPhoto(const LabelledPhoto& photo, Point p, bool mirror, float* rgb) {
  const float fx = std::floor(p.x), fy = std::floor(p.y), tx = p.x - fx, ty = p.y - fy;
  const int ix = static_cast<int>(std::clamp(fx, -1e6f, 1e6f)), iy = static_cast<int>(std::clamp(fy, -1e6f, 1e6f));
  const auto column = [&](int x) { return mirror ? Mirror(x, photo.width) : std::clamp(x, 0, photo.width - 1); };
  const auto row = [&](int y) { return mirror ? Mirror(y, photo.height) : std::clamp(y, 0, photo.height - 1); };
  const int x0 = column(ix), x1 = column(ix + 1), y0 = row(iy), y1 = row(iy + 1);
  const uint8_t *a = &photo.rgb[3 * (static_cast<size_t>(y0) * photo.width + x0)], *b = &photo.rgb[3 * (static_cast<size_t>(y0) * photo.width + x1)];
  const uint8_t *c = &photo.rgb[3 * (static_cast<size_t>(y1) * photo.width + x0)], *d = &photo.rgb[3 * (static_cast<size_t>(y1) * photo.width + x1)];
  for (int k = 0; k < 3; ++k) {
    const float top = a[k] + tx * (b[k] - a[k]), bottom = c[k] + tx * (d[k] - c[k]);
    rgb[k] = (top + ty * (bottom - top)) / 255;
  }
  const int nx = ix + (tx >= 0.5f), ny = iy + (ty >= 0.5f);
  return nx >= 0 && ny >= 0 && nx < photo.width && ny < photo.height ? photo.parts[static_cast<size_t>(ny) * photo.width + nx] : kNoLabel;
}

void Warp(const LabelledPhoto& photo, const Affine& photo_from_canvas, bool mirror, Canvas* out) {
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const int i = y * kSide + x;
      out->label[i] = ReadPhoto(photo, photo_from_canvas.Apply({static_cast<float>(x), static_cast<float>(y)}), mirror, &out->rgb[3 * i]);
    }
  }
}

// Mean of the (2 radius + 1)^2 pixels around each, borders repeated.
void BoxBlur(int radius, std::vector<float>* image) {
  std::vector<float> line(kSide);
  for (const int step : {1, kSide}) {
    const int other = step == 1 ? kSide : 1;
    for (int j = 0; j < kSide; ++j) {
      float* p = image->data() + static_cast<size_t>(j) * other;
      float sum = 0;
      for (int i = -radius; i <= radius; ++i) sum += p[std::clamp(i, 0, kSide - 1) * step];
      for (int i = 0; i < kSide; ++i) {
        line[i] = sum / (2 * radius + 1);
        sum += p[std::min(i + radius + 1, kSide - 1) * step] - p[std::max(i - radius, 0) * step];
      }
      for (int i = 0; i < kSide; ++i) p[i * step] = line[i];
    }
  }
}

// ---- What covers faces ----

// The surface of a thing: a colour or a piece of a photo, with light that falls from one side.
class Surface {
 public:
  Surface(Dice* dice, const LabelledPhoto& other, const Colour& skin, bool is_skin) : other_(other) {
    Dice& d = *dice;
    photo_ = !is_skin && d.Chance(0.5f);
    const float light = d(0.55f, 1.25f);
    for (int k = 0; k < 3; ++k) colour_.v[k] = is_skin ? std::clamp(skin.v[k] * light * (1 + d.Normal(0.05f)), 0.0f, 1.0f) : d(0, 1);
    if (!is_skin && d.Chance(0.5f)) {  // things are grey more often than bright
      const float grey = d(0, 1);
      for (float& v : colour_.v) v = grey + 0.15f * (v - grey);
    }
    const float angle = d(0, 6.2832f), scale = d(0.5f, 2);
    from_ = {scale * std::cos(angle), -scale * std::sin(angle), d(0, static_cast<float>(other.width)), scale * std::sin(angle), scale * std::cos(angle), d(0, static_cast<float>(other.height))};
    const float slope = d(0, 0.004f), direction = d(0, 6.2832f);
    gx_ = slope * std::cos(direction), gy_ = slope * std::sin(direction);
    for (int i = 0; i < 3; ++i) wave_[i] = {d(0.02f, 0.35f), d(0, 6.2832f), d(0, 6.2832f), d(0, is_skin ? 0.04f : 0.08f)};
  }
  void At(float x, float y, float* rgb) const {
    float light = 1 + gx_ * (x - kSide / 2) + gy_ * (y - kSide / 2);
    for (const auto& w : wave_) light += w.strength * std::sin(w.frequency * (x * std::cos(w.direction) + y * std::sin(w.direction)) + w.phase);
    if (photo_) {
      ReadPhoto(other_, from_.Apply({x, y}), true, rgb);
    } else {
      std::copy(colour_.v, colour_.v + 3, rgb);
    }
    for (int k = 0; k < 3; ++k) rgb[k] = std::clamp(rgb[k] * light, 0.0f, 1.0f);
  }

 private:
  struct Wave {
    float frequency, direction, phase, strength;
  };
  const LabelledPhoto& other_;
  bool photo_;
  Colour colour_;
  Affine from_;
  float gx_, gy_;
  Wave wave_[3];
};

// A thing laid over the canvas: how much of each pixel it covers, and its light there.
struct Cover {
  std::vector<float> alpha = std::vector<float>(kPixels, 0.0f);
  std::vector<float> light = std::vector<float>(kPixels, 1.0f);
};

// f(x, y) of every pixel of a box: the signed distance to the outline (negative inside), in pixels.
template <typename F>
void AddShape(float x0, float y0, float x1, float y1, const F& f, Cover* cover) {
  for (int y = std::max(0, static_cast<int>(y0)); y < std::min(kSide, static_cast<int>(y1) + 1); ++y) {
    for (int x = std::max(0, static_cast<int>(x0)); x < std::min(kSide, static_cast<int>(x1) + 1); ++x) {
      float light = 1;
      const float a = std::clamp(0.5f - f(static_cast<float>(x), static_cast<float>(y), &light), 0.0f, 1.0f);
      const int i = y * kSide + x;
      if (a > 0) cover->light[i] = a * light + (1 - a) * cover->light[i];
      cover->alpha[i] = std::max(cover->alpha[i], a);
    }
  }
}

// A round rod from a to b with radii ra and rb, shaded as one; sun: where the light comes from.
void AddRod(Point a, Point b, float ra, float rb, Point sun, Cover* cover) {
  const float r = std::max(ra, rb) + 2;
  const Point d = b - a;
  const float length2 = std::max(d.x * d.x + d.y * d.y, 1e-3f);
  AddShape(
      std::min(a.x, b.x) - r, std::min(a.y, b.y) - r, std::max(a.x, b.x) + r, std::max(a.y, b.y) + r,
      [&](float x, float y, float* light) {
        const float t = std::clamp(((x - a.x) * d.x + (y - a.y) * d.y) / length2, 0.0f, 1.0f), radius = ra + t * (rb - ra);
        const float nx = (x - a.x - t * d.x) / radius, ny = (y - a.y - t * d.y) / radius, n2 = std::min(nx * nx + ny * ny, 1.0f);
        *light = 0.72f + 0.3f * std::sqrt(1 - n2) + 0.18f * (nx * sun.x + ny * sun.y);
        return (std::hypot(nx, ny) - 1) * radius;
      },
      cover);
}

Point Turn(float angle, float length) { return {length * std::cos(angle), length * std::sin(angle)}; }

// Palm, fingers of two or three joints, and the arm to the border. At the size that hands have before an aligned face.
void AddHand(Dice* dice, float scale, Cover* cover) {
  Dice& d = *dice;
  const Point sun = Turn(d(0, 6.2832f), 1);
  const float finger = scale * d(6.5f, 10.5f), heading = d(0, 6.2832f);  // radius of a finger
  const Point palm{kSide * d(0.12f, 0.88f), kSide * d(0.25f, 1.0f)};
  const float width = 4.2f * finger;
  const Point across = Turn(heading + 1.5708f, 1), along = Turn(heading, 1);
  if (d.Chance(0.8f)) AddRod(palm - along * (2 * finger), palm - along * d(120, 260) + across * d(-60, 60), width * 0.55f, width * d(0.6f, 0.9f), sun, cover);
  if (d.Chance(0.85f)) {  // the palm: rods side by side
    for (int i = 0; i < 4; ++i) {
      const Point side = across * (width * (i - 1.5f) / 4.2f);
      AddRod(palm + side - along * (2.2f * finger), palm + side + along * (2.6f * finger), 1.5f * finger, 1.3f * finger, sun, cover);
    }
  }
  const int fingers = 1 + d.Pick(5);
  const float bend = d(-0.5f, 0.5f), spread = d(0.02f, 0.25f);
  for (int i = 0; i < fingers; ++i) {
    Point at = palm + across * (width * (i - (fingers - 1) / 2.0f) / 4.0f) + along * (2.2f * finger);
    float angle = heading + spread * (i - (fingers - 1) / 2.0f) + d.Normal(0.06f);
    float radius = finger * d(0.9f, 1.1f);
    for (int joint = 0; joint < 3; ++joint) {
      const Point next = at + Turn(angle, radius * d(2.4f, 3.4f));
      AddRod(at, next, radius, radius * 0.93f, sun, cover);
      at = next, radius *= 0.93f, angle += bend * d(0.4f, 1.2f);
    }
  }
  if (d.Chance(0.5f)) {  // thumb
    const float side = d.Chance(0.5f) ? 1.0f : -1.0f;
    const Point root = palm + across * (side * width * 0.5f), middle = root + Turn(heading + side * d(0.5f, 1.2f), 4 * finger);
    AddRod(root, middle, 1.25f * finger, 1.1f * finger, sun, cover);
    AddRod(middle, middle + Turn(heading + side * d(-0.1f, 0.8f), 3 * finger), 1.1f * finger, finger, sun, cover);
  }
}

void AddStick(Dice* dice, Cover* cover) {
  Dice& d = *dice;
  const Point sun = Turn(d(0, 6.2832f), 1), tip{kSide * d(0.2f, 0.8f), kSide * d(0.3f, 0.95f)};
  const float angle = d.Chance(0.7f) ? d(0.5f, 2.6f) : d(0, 6.2832f), radius = d(2, 14);
  AddRod(tip, tip + Turn(angle, d(60, 260)), radius, radius * d(0.7f, 1.3f), sun, cover);
  if (d.Chance(0.5f)) {  // a microphone's head
    const float head = std::max(radius * d(1.3f, 2), 8.0f);
    AddRod(tip, tip + Turn(angle, head * d(0.1f, 0.8f)), head, head, sun, cover);
  }
}

void AddBlob(Dice* dice, Cover* cover) {
  Dice& d = *dice;
  const Point centre{kSide * d(0.05f, 0.95f), kSide * d(0.05f, 0.98f)};
  const float a = d(10, 60), b = a * d(0.4f, 1.2f), angle = d(0, 3.1416f), wobble = d(0, 0.25f), phase = d(0, 6.2832f), power = d.Chance(0.5f) ? 2.0f : d(4, 10);
  const int waves = 2 + d.Pick(6);
  const float reach = 1.3f * std::max(a, b);
  AddShape(
      centre.x - reach, centre.y - reach, centre.x + reach, centre.y + reach,
      [&](float x, float y, float*) {
        const float dx = x - centre.x, dy = y - centre.y, u = (dx * std::cos(angle) + dy * std::sin(angle)) / a, v = (dy * std::cos(angle) - dx * std::sin(angle)) / b;
        const float r = std::pow(std::pow(std::fabs(u), power) + std::pow(std::fabs(v), power), 1 / power);
        return (r - 1 - wobble * std::sin(waves * std::atan2(v, u) + phase)) * std::min(a, b);
      },
      cover);
}

// A mask or scarf over nose and mouth, or a paper or cup that covers the lower face. place: from the template's crop to the canvas.
void AddFaceMask(Dice* dice, const Affine& place, Cover* cover) {
  Dice& d = *dice;
  const float top = d(118, 170), bottom = d(205, 260), half = d(45, 75), sag = d(-8, 18), middle = 112 + d(-8, 8);
  const Affine back = place.Inverse();
  const float scale = place.Scale();
  AddShape(
      0, 0, kSide, kSide,
      [&](float x, float y, float* light) {
        const Point p = back.Apply({x, y});
        const float u = (p.x - middle) / half;
        *light = 0.8f + 0.25f * std::sqrt(std::max(0.0f, 1 - u * u)) + 0.04f * std::sin(p.y * 0.6f);
        return scale * std::max({(std::fabs(u) - 1) * half, top + sag * u * u - p.y, p.y - bottom + 40 * u * u});
      },
      cover);
}

// Lays the thing over the canvas, with its shadow.
void Lay(const Cover& cover, const Surface& surface, FacePart part, Dice* dice, Canvas* canvas) {
  Dice& d = *dice;
  if (d.Chance(0.7f)) {
    const int dx = d.Pick(13) - 6, dy = d.Pick(13) - 4, radius = 2 + d.Pick(8);
    const float strength = d(0.1f, 0.6f);
    std::vector<float> shadow(kPixels);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) shadow[y * kSide + x] = cover.alpha[std::clamp(y - dy, 0, kSide - 1) * kSide + std::clamp(x - dx, 0, kSide - 1)];
    }
    BoxBlur(radius, &shadow);
    BoxBlur(radius, &shadow);
    for (int i = 0; i < kPixels; ++i) {
      for (int k = 0; k < 3; ++k) canvas->rgb[3 * i + k] *= 1 - strength * shadow[i];
    }
  }
  for (int i = 0; i < kPixels; ++i) {
    const float a = cover.alpha[i];
    if (a <= 0) continue;
    float rgb[3];
    surface.At(static_cast<float>(i % kSide), static_cast<float>(i / kSide), rgb);
    for (int k = 0; k < 3; ++k) canvas->rgb[3 * i + k] += a * (std::min(rgb[k] * cover.light[i], 1.0f) - canvas->rgb[3 * i + k]);
    if (a >= 0.5f) canvas->label[i] = static_cast<uint8_t>(part);
  }
}

void AddOccluder(Dice* dice, const LabelledPhoto& other, const Colour& skin, const Affine& place, Canvas* canvas) {
  Dice& d = *dice;
  Cover cover;
  const float kind = d(0, 1);
  bool is_skin = d.Chance(0.3f);
  if (kind < 0.5f) {
    AddHand(dice, place.Scale() * d(0.85f, 1.2f), &cover);
    is_skin = d.Chance(0.9f);
  } else if (kind < 0.65f) {
    AddStick(dice, &cover);
  } else if (kind < 0.88f) {
    AddBlob(dice, &cover);
  } else {
    AddFaceMask(dice, place, &cover);
    is_skin = false;
  }
  Lay(cover, Surface(dice, other, skin, is_skin), FacePart::kOccluder, dice, canvas);
}

// Drawn glasses before the eyes. place: from the template's crop to the canvas.
void AddGlasses(Dice* dice, const Affine& place, Canvas* canvas) {
  Dice& d = *dice;
  const auto eyes = ArcFaceTemplate(kSide);
  const float unit = Distance(eyes[0], eyes[1]);
  GlassesPlane plane;
  plane.middle = place.Apply((eyes[0] + eyes[1]) * 0.5f);
  plane.x = Point{place.a, place.c} * unit, plane.y = Point{place.b, place.d} * unit;
  plane.backward = plane.x * d.Normal(0.2f) + plane.y * d.Normal(0.1f);
  GlassesLayer glasses;
  DrawGlasses(plane, d(0.5f, 1), d(0, 1), &d.rng, &glasses);
  PutOn(glasses, &canvas->rgb);
  for (int i = 0; i < kPixels; ++i) {
    if (glasses.inside[i] >= 0.5f) canvas->label[i] = static_cast<uint8_t>(FacePart::kGlasses);
  }
}

// Hair, hat or glasses of another photo, laid where they lie on the other face.
void Transplant(const LabelledPhoto& other, FacePart part, const Affine& photo_from_canvas, float light, Canvas* canvas) {
  Canvas from;
  Warp(other, photo_from_canvas, false, &from);
  std::vector<float> alpha(kPixels);
  for (int i = 0; i < kPixels; ++i) alpha[i] = from.label[i] == static_cast<uint8_t>(part);
  BoxBlur(1, &alpha);
  for (int i = 0; i < kPixels; ++i) {
    if (alpha[i] <= 0) continue;
    for (int k = 0; k < 3; ++k) canvas->rgb[3 * i + k] += alpha[i] * (std::min(light * from.rgb[3 * i + k], 1.0f) - canvas->rgb[3 * i + k]);
    if (alpha[i] >= 0.5f) canvas->label[i] = static_cast<uint8_t>(part);
  }
}

// A few thin strands before the face.
void AddStrands(Dice* dice, const Colour& hair, Canvas* canvas) {
  Dice& d = *dice;
  Cover cover;
  const int bundles = 1 + d.Pick(3);
  for (int b = 0; b < bundles; ++b) {
    const Point root{kSide * d(0.1f, 0.9f), kSide * d(-0.05f, 0.3f)};
    const float heading = d(0.7f, 2.4f), curl = d(-0.12f, 0.12f);
    const int strands = 3 + d.Pick(20);
    for (int s = 0; s < strands; ++s) {
      Point at = root + Point{d.Normal(9), d.Normal(5)};
      float angle = heading + d.Normal(0.08f);
      const float radius = d(0.5f, 1.6f);
      const int pieces = 4 + d.Pick(10);
      for (int i = 0; i < pieces; ++i) {
        const Point next = at + Turn(angle, 10);
        AddRod(at, next, radius, radius, {0, -1}, &cover);
        at = next, angle += curl + d.Normal(0.05f);
      }
    }
  }
  for (int i = 0; i < kPixels; ++i) {
    const float a = cover.alpha[i];
    if (a <= 0) continue;
    for (int k = 0; k < 3; ++k) canvas->rgb[3 * i + k] += a * (std::min(hair.v[k] * (0.5f + 0.6f * cover.light[i]), 1.0f) - canvas->rgb[3 * i + k]);
  }
  // Where strands lie close they are hair; a single one on the skin is not worth a hole in the mask.
  BoxBlur(2, &cover.alpha);
  for (int i = 0; i < kPixels; ++i) {
    if (cover.alpha[i] >= 0.5f) canvas->label[i] = static_cast<uint8_t>(FacePart::kHair);
  }
}

// Mean colour of the parts; fallback where there are none.
Colour MeanColour(const Canvas& canvas, std::initializer_list<FacePart> parts, Colour fallback) {
  double sum[3] = {}, n = 0;
  for (int i = 0; i < kPixels; ++i) {
    for (FacePart part : parts) {
      if (canvas.label[i] != static_cast<uint8_t>(part)) continue;
      for (int k = 0; k < 3; ++k) sum[k] += canvas.rgb[3 * i + k];
      n += 1;
    }
  }
  if (n < 50) return fallback;
  return {{static_cast<float>(sum[0] / n), static_cast<float>(sum[1] / n), static_cast<float>(sum[2] / n)}};
}

// ---- Light and camera ----

// Skin of another tone: darker with more red left, as melanin does it, or lighter.
void ChangeSkin(Dice* dice, Canvas* canvas) {
  std::vector<float> skin(kPixels);
  for (int i = 0; i < kPixels; ++i) {
    const auto part = static_cast<FacePart>(canvas->label[i]);
    skin[i] = part == FacePart::kSkin || part == FacePart::kNose || part == FacePart::kEar || part == FacePart::kNeck || part == FacePart::kLips ? 1.0f : 0.0f;
  }
  BoxBlur(2, &skin);
  const float dark = (*dice)(-0.25f, 1);
  const float power[3] = {1 + 0.75f * dark, 1 + 1.0f * dark, 1 + 1.1f * dark};
  for (int i = 0; i < kPixels; ++i) {
    if (skin[i] <= 0) continue;
    for (int k = 0; k < 3; ++k) {
      float& v = canvas->rgb[3 * i + k];
      v += skin[i] * (std::pow(v, power[k]) - v);
    }
  }
}

void ChangeLight(Dice* dice, std::vector<float>* rgb) {
  Dice& d = *dice;
  const float gamma = std::exp(d.Normal(0.25f)), contrast = std::exp(d.Normal(0.15f)), saturation = d.Chance(0.08f) ? 0.0f : std::exp(d.Normal(0.25f)), brightness = d.Normal(0.06f);
  float gain[3];
  for (float& g : gain) g = std::exp(d.Normal(0.1f));
  const float direction = d(0, 6.2832f), slope = d.Chance(0.6f) ? d(0, 0.006f) : 0.0f, gx = slope * std::cos(direction), gy = slope * std::sin(direction);
  // The edge of a shadow: a line across, sharp or soft.
  const bool shadow = d.Chance(0.2f);
  const float edge = d(0, 6.2832f), offset = d(-70, 70), softness = d(2, 40), shade = d(0.3f, 0.8f);
  float table[1025];
  for (int i = 0; i <= 1024; ++i) table[i] = std::pow(i / 1024.0f, gamma);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      float* p = &(*rgb)[3 * (y * kSide + x)];
      const float cx = x - kSide / 2.0f, cy = y - kSide / 2.0f;
      float light = std::max(0.1f, 1 + gx * cx + gy * cy);
      if (shadow) light *= shade + (1 - shade) / (1 + std::exp(-(cx * std::cos(edge) + cy * std::sin(edge) - offset) / softness));
      for (int k = 0; k < 3; ++k) p[k] = table[static_cast<int>(std::clamp(p[k] * light * gain[k], 0.0f, 1.0f) * 1024)];
      const float luma = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
      for (int k = 0; k < 3; ++k) p[k] = std::clamp(((luma + saturation * (p[k] - luma)) - 0.5f) * contrast + 0.5f + brightness, 0.0f, 1.0f);
    }
  }
}

// from x from pixels of `channels` floats to `to` x to: a triangle as wide as the step when it shrinks, Catmull-Rom when it grows.
std::vector<float> Resize(const std::vector<float>& in, int from, int to, int channels) {
  struct Tap {
    int first;
    std::vector<float> weight;
  };
  const float step = static_cast<float>(from) / to, support = step > 1 ? step : 2.0f;
  std::vector<Tap> taps(to);
  for (int i = 0; i < to; ++i) {
    const float centre = (i + 0.5f) * step - 0.5f;
    Tap& t = taps[i];
    t.first = static_cast<int>(std::ceil(centre - support));
    float sum = 0;
    for (int j = t.first; j <= static_cast<int>(std::floor(centre + support)); ++j) {
      const float u = std::fabs(j - centre);
      const float w = step > 1 ? std::max(0.0f, 1 - u / step) : u < 1 ? 1 + u * u * (1.5f * u - 2.5f) : u < 2 ? 2 - u * (4 - u * (2.5f - 0.5f * u)) : 0.0f;
      t.weight.push_back(w);
      sum += w;
    }
    for (float& w : t.weight) w /= sum;
  }
  const int row = from * channels;
  std::vector<float> half(static_cast<size_t>(to) * row, 0.0f), out(static_cast<size_t>(to) * to * channels, 0.0f);
  for (int y = 0; y < to; ++y) {
    float* o = &half[static_cast<size_t>(y) * row];
    for (size_t k = 0; k < taps[y].weight.size(); ++k) {
      const float* p = &in[static_cast<size_t>(std::clamp(taps[y].first + static_cast<int>(k), 0, from - 1)) * row];
      const float w = taps[y].weight[k];
      for (int i = 0; i < row; ++i) o[i] += w * p[i];
    }
  }
  for (int y = 0; y < to; ++y) {
    const float* p = &half[static_cast<size_t>(y) * row];
    for (int x = 0; x < to; ++x) {
      float* o = &out[(static_cast<size_t>(y) * to + x) * channels];
      for (size_t k = 0; k < taps[x].weight.size(); ++k) {
        const int at = std::clamp(taps[x].first + static_cast<int>(k), 0, from - 1) * channels;
        for (int c = 0; c < channels; ++c) o[c] += taps[x].weight[k] * p[at + c];
      }
    }
  }
  return out;
}

// What JPEG and video codecs leave: luma and halved chroma as 8 x 8 cosine blocks with rounded coefficients. side: a multiple of 16.
MFS_CLONES void Quantise(float* plane, int side, float strength, const float* cosine) {
  for (int by = 0; by < side; by += 8) {
    for (int bx = 0; bx < side; bx += 8) {
      float a[64], b[64];
      for (int y = 0; y < 8; ++y) {
        for (int u = 0; u < 8; ++u) {
          float sum = 0;
          for (int x = 0; x < 8; ++x) sum += cosine[8 * u + x] * plane[(by + y) * side + bx + x];
          a[8 * y + u] = sum;
        }
      }
      for (int v = 0; v < 8; ++v) {
        for (int u = 0; u < 8; ++u) {
          float sum = 0;
          for (int y = 0; y < 8; ++y) sum += cosine[8 * v + y] * a[8 * y + u];
          const float step = strength * static_cast<float>(1 + u + v);
          b[8 * v + u] = u + v == 0 ? sum : std::nearbyint(sum / step) * step;
        }
      }
      for (int y = 0; y < 8; ++y) {
        for (int u = 0; u < 8; ++u) {
          float sum = 0;
          for (int v = 0; v < 8; ++v) sum += cosine[8 * v + y] * b[8 * v + u];
          a[8 * y + u] = sum;
        }
      }
      for (int y = 0; y < 8; ++y) {
        for (int x = 0; x < 8; ++x) {
          float sum = 0;
          for (int u = 0; u < 8; ++u) sum += cosine[8 * u + x] * a[8 * y + u];
          plane[(by + y) * side + bx + x] = sum;
        }
      }
    }
  }
}

void Compress(float strength, int side, std::vector<float>* rgb) {
  float cosine[64];
  for (int u = 0; u < 8; ++u) {
    for (int x = 0; x < 8; ++x) cosine[8 * u + x] = (u == 0 ? std::sqrt(0.125f) : 0.5f) * std::cos((2 * x + 1) * u * 3.14159265f / 16);
  }
  const int n = side * side, half = side / 2;
  std::vector<float> luma(n), blue(n / 4, 0.0f), red(n / 4, 0.0f);
  for (int i = 0; i < n; ++i) {
    const float* p = &(*rgb)[3 * i];
    luma[i] = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
    const int j = i / side / 2 * half + i % side / 2;
    blue[j] += (p[2] - luma[i]) / 4, red[j] += (p[0] - luma[i]) / 4;
  }
  Quantise(luma.data(), side, strength, cosine);
  Quantise(blue.data(), half, 1.7f * strength, cosine);
  Quantise(red.data(), half, 1.7f * strength, cosine);
  for (int i = 0; i < n; ++i) {
    float* p = &(*rgb)[3 * i];
    const int j = i / side / 2 * half + i % side / 2;
    p[2] = luma[i] + blue[j], p[0] = luma[i] + red[j];
    p[1] = (luma[i] - 0.299f * p[0] - 0.114f * p[2]) / 0.587f;
  }
}

// Fewer pixels, noise and compression, as a face of a video frame has them when it is brought to 224.
void ChangeCamera(Dice* dice, std::vector<float>* rgb) {
  Dice& d = *dice;
  int side = kSide;
  if (d.Chance(0.6f)) side = 16 * static_cast<int>(d(3, 14.999f));
  std::vector<float> small = side == kSide ? std::move(*rgb) : Resize(*rgb, kSide, side, 3);
  if (d.Chance(0.2f)) small = Resize(Resize(small, side, side / 2, 3), side / 2, side, 3);  // out of focus
  if (d.Chance(0.4f)) {
    const float sigma = d(0, 0.05f), grey = d(0, 1);
    // Sums of uniform numbers are near enough to normal ones, and a tenth of the time.
    uint64_t state = d.rng();
    const auto noise = [&] {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      const uint32_t a = static_cast<uint32_t>(state >> 32);
      return (static_cast<float>(a & 0xffff) + static_cast<float>(a >> 16)) / 65535.0f * 2.449f - 2.449f;
    };
    for (size_t i = 0; i < small.size(); i += 3) {
      const float shared = grey * noise();
      for (int k = 0; k < 3; ++k) small[i + k] += sigma * (shared + (1 - grey) * noise());
    }
  }
  if (d.Chance(0.5f)) Compress(std::exp(d(-5.5f, -2.6f)), side, &small);
  *rgb = side == kSide ? std::move(small) : Resize(small, side, kSide, 3);
  for (float& v : *rgb) v = std::clamp(v, 0.0f, 1.0f);
}

// The most frequent label of every 2 x 2 pixels.
void HalveLabels(const std::vector<uint8_t>& from, std::vector<uint8_t>* to) {
  to->resize(kParserOutput * kParserOutput);
  for (int y = 0; y < kParserOutput; ++y) {
    for (int x = 0; x < kParserOutput; ++x) {
      const uint8_t* p = &from[2 * y * kSide + 2 * x];
      const uint8_t four[4] = {p[0], p[1], p[kSide], p[kSide + 1]};
      int best = 0, best_count = 0;
      for (int i = 0; i < 4; ++i) {
        const int count = static_cast<int>(std::count(four, four + 4, four[i]));
        if (count > best_count) best = four[i], best_count = count;
      }
      (*to)[y * kParserOutput + x] = static_cast<uint8_t>(best);
    }
  }
}

StatusOr<LabelledPhoto> ReadPair(const std::string& image_path, const std::string& label_path) {
  MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(image_path));
  MFS_ASSIGN_OR_RETURN(const Picture labels, ReadPicture(label_path));
  LabelledPhoto photo;
  photo.name = BaseName(image_path);
  ImageF image;
  const FrameView view = picture.View();
  photo.width = view.width(), photo.height = view.height();
  if (labels.stored_width != photo.width || labels.stored_height != photo.height) {
    return CorruptData(label_path + ": the labels are " + std::to_string(labels.stored_width) + "x" + std::to_string(labels.stored_height) + ", the photo is " + std::to_string(photo.width) + "x" +
                       std::to_string(photo.height) + "; they must be the same");
  }
  if (labels.channels != 1 || labels.bits != 8) return CorruptData(label_path + ": labels must be an 8-bit grey picture whose values are the classes");
  if (picture.channels == 3 && picture.bits == 8 && picture.orientation == 1) {
    photo.rgb = std::move(picture.pixels);
  } else {
    MFS_RETURN_IF_ERROR(ReadScaled(view, photo.width, photo.height, &image));
    photo.rgb = Rgb8FromPlanar(image);
  }
  photo.parts.resize(labels.pixels.size());
  for (size_t i = 0; i < labels.pixels.size(); ++i) {
    if (labels.pixels[i] >= kClasses) return CorruptData(label_path + ": has class " + std::to_string(labels.pixels[i]) + "; 0 to " + std::to_string(kClasses - 1) + " are known");
    const FacePart part = kPartOfClass[labels.pixels[i]];
    photo.parts[i] = static_cast<uint8_t>(part);
    photo.glasses |= part == FacePart::kGlasses, photo.hat |= part == FacePart::kHat, photo.hair |= part == FacePart::kHair;
  }
  return photo;
}

}  // namespace

StatusOr<ParserData> ParserData::Load(const ModelStore& store, const std::string& folder, int threads, const std::atomic<bool>* cancel, const std::function<void(const std::string&)>& progress) {
  ParserData data;
  std::vector<std::string> images;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder + "/images", error)) {
    if (IsPictureName(entry.path().string())) images.push_back(entry.path().string());
  }
  if (error || images.empty()) return NotFound(folder + ": no pictures in images/; a folder with images/NAME.jpg and labels/NAME.png is wanted");
  std::vector<std::pair<std::string, std::string>> order;  // by hash
  for (const std::string& path : images) {
    const std::string name = BaseName(path);
    order.emplace_back(Sha256Hex(name.data(), name.size()), path);
  }
  std::sort(order.begin(), order.end());
  const auto label_of = [&](const std::string& path) {
    const std::string name = BaseName(path);
    return folder + "/labels/" + name.substr(0, name.rfind('.')) + ".png";
  };
  const int missing = static_cast<int>(std::count_if(order.begin(), order.end(), [&](const auto& o) { return !FileExists(label_of(o.second)); }));
  if (missing == static_cast<int>(order.size())) return NotFound(folder + ": no picture of images/ has its labels (labels/NAME.png)");
  if (missing > 0) data.dropped_["without labels"] = missing;

  ThreadPool pool(std::max(threads, 1));
  std::vector<std::unique_ptr<FaceFinder>> finders;
  for (int i = 0; i < pool.threads(); ++i) {
    MFS_ASSIGN_OR_RETURN(auto finder, FaceFinder::Create(store));
    finders.push_back(std::move(finder));
  }
  std::vector<LabelledPhoto> photos(order.size());
  std::vector<Status> states(order.size());
  std::vector<char> found(order.size(), 0);
  std::atomic<size_t> next{0};
  pool.Run(pool.threads(), [&](int w) {
    for (size_t i; (i = next++) < order.size();) {
      if (cancel != nullptr && *cancel) return;
      if (!FileExists(label_of(order[i].second))) continue;
      states[i] = [&]() -> Status {
        MFS_ASSIGN_OR_RETURN(photos[i], ReadPair(order[i].second, label_of(order[i].second)));
        LabelledPhoto& p = photos[i];
        const FrameView view = Rgb8View(p.rgb.data(), p.width, p.height, 3 * static_cast<ptrdiff_t>(p.width));
        MFS_ASSIGN_OR_RETURN(const std::vector<Face> faces, finders[w]->Find(view));
        if (faces.empty()) return Status::Ok();
        MFS_ASSIGN_OR_RETURN(p.crop_from_photo, ArcFaceAlignment(faces[0].points, kSide));
        found[i] = 1;
        return Status::Ok();
      }();
    }
  });
  if (cancel != nullptr && *cancel) return Cancelled("stopped");
  for (size_t i = 0; i < order.size(); ++i) {
    MFS_RETURN_IF_ERROR(states[i]);
    if (!FileExists(label_of(order[i].second))) continue;
    if (!found[i]) {
      ++data.dropped_["no face"];
      continue;
    }
    (i < order.size() / kHeldBack ? data.held_back_ : data.training_).push_back(std::move(photos[i]));
  }
  if (data.training_.empty() || data.held_back_.empty())
    return NoFace(folder + ": too few usable photos (" + std::to_string(data.training_.size() + data.held_back_.size()) + "); some are held back, some are needed for training");
  double sum = 0;
  for (const LabelledPhoto& p : data.training_) data.weight_sums_.push_back(sum += p.glasses || p.hat ? 3 : 1);
  if (progress) progress(std::to_string(data.training_.size()) + " photos for training, " + std::to_string(data.held_back_.size()) + " held back");
  return data;
}

const LabelledPhoto& ParserData::Draw(std::mt19937_64* rng) const {
  const double at = std::uniform_real_distribution<double>(0, weight_sums_.back())(*rng);
  const size_t i = std::upper_bound(weight_sums_.begin(), weight_sums_.end(), at) - weight_sums_.begin();
  return training_[std::min(i, training_.size() - 1)];
}

void ParserData::Make(const LabelledPhoto& photo, Change change, std::mt19937_64* rng, ParserSample* out) const {
  Dice d{*rng};
  Canvas canvas;
  Affine place;  // from the template's crop to the canvas
  if (change == Change::kAll) {
    const float scale = std::exp(d.Normal(0.1f)), angle = std::clamp(d.Normal(0.2f), -0.8f, 0.8f), stretch = std::exp(d.Normal(0.04f)), shear = d.Normal(0.04f);
    const float flip = d.Chance(0.5f) ? -1.0f : 1.0f, co = std::cos(angle), si = std::sin(angle);
    // About the middle of the face.
    const Point centre{112, 130}, to{112 + d.Normal(8), 130 + d.Normal(8)};
    place.a = flip * scale * stretch * co, place.b = scale * (shear * co - si / stretch), place.c = flip * scale * stretch * si, place.d = scale * (shear * si + co / stretch);
    const Point moved = place.Apply(centre);
    place.tx = to.x - moved.x, place.ty = to.y - moved.y;
  }
  const Affine canvas_back = place.Inverse();
  const auto other = [&]() -> const LabelledPhoto& { return training_[d.Pick(static_cast<int>(training_.size()))]; };
  Warp(photo, Compose(photo.crop_from_photo.Inverse(), canvas_back), change == Change::kAll && d.Chance(0.4f), &canvas);
  const Colour skin = MeanColour(canvas, {FacePart::kSkin, FacePart::kNose}, {{0.7f, 0.55f, 0.48f}});
  if (change == Change::kAll) {
    const auto loose = [&](float sigma) {  // nearly where it lies on the other's face
      Affine m = Affine::Scaling(std::exp(d.Normal(0.06f)));
      m.tx = d.Normal(sigma), m.ty = d.Normal(sigma);
      return Compose(m, canvas_back);
    };
    const auto transplant = [&](FacePart part, float sigma) {
      const LabelledPhoto& from = part == FacePart::kHair ? other() : Draw(rng);
      const bool has = part == FacePart::kHair ? from.hair : part == FacePart::kHat ? from.hat : from.glasses;
      if (has) Transplant(from, part, Compose(from.crop_from_photo.Inverse(), loose(sigma)), d(0.6f, 1.3f), &canvas);
    };
    if (d.Chance(0.5f)) ChangeSkin(&d, &canvas);
    if (d.Chance(0.12f)) transplant(FacePart::kHair, 10);
    if (d.Chance(0.06f)) AddStrands(&d, MeanColour(canvas, {FacePart::kHair}, {{0.2f, 0.15f, 0.1f}}), &canvas);
    if (!photo.glasses && d.Chance(0.4f)) transplant(FacePart::kGlasses, 4);
    if (!photo.glasses && d.Chance(0.08f)) AddGlasses(&d, place, &canvas);
    if (!photo.hat && d.Chance(0.3f)) transplant(FacePart::kHat, 8);
  }
  if (change == Change::kOccluders || (change == Change::kAll && d.Chance(0.4f))) {
    const int things = d.Chance(0.25f) ? 2 : 1;
    // Hands have the tone of the face most of the time, since the skin changes before them.
    const Colour now = MeanColour(canvas, {FacePart::kSkin, FacePart::kNose}, skin);
    for (int i = 0; i < things; ++i) AddOccluder(&d, other(), d.Chance(0.75f) ? now : skin, place, &canvas);
  }
  if (change == Change::kAll) {
    ChangeLight(&d, &canvas.rgb);
    ChangeCamera(&d, &canvas.rgb);
  }
  out->image = std::move(canvas.rgb);
  HalveLabels(canvas.label, &out->label);
}

}  // namespace mfs::train
