// Drawn glasses: on a face that wears none, what lies behind them is known. Label maps of photos call all that is seen through a lens glasses, so a student
// that learns from those alone keeps the eyes behind them with the frame.
#ifndef MFS_TRAIN_GLASSES_H_
#define MFS_TRAIN_GLASSES_H_

#include <random>
#include <vector>

#include "base/geometry.h"
#include "face_cache.h"
#include "mesh_teacher.h"

namespace mfs::train {

// The plane of the lenses in the 224 crop. One unit of x and y is the distance between the eyes, seen from the front.
struct GlassesPlane {
  Point middle;    // between the eyes, as far before them as glasses sit
  Point x, y;      // a step to the picture's right and down
  Point backward;  // a step of that length towards the ears
};

GlassesPlane PlaneOfGlasses(const FaceRecord& face);

// 224 x 224 pixels; a picture p behind them is seen as p (1 - alpha) + colour.
struct GlassesLayer {
  std::vector<float> colour;  // RGB interleaved, times alpha
  std::vector<float> alpha;   // of frame, tint, reflections and the frame's shadow
  std::vector<float> frame;   // of the frame alone
  std::vector<float> inside;  // 1 in frame and lens, 0 outside
};

// Full, half and no rims of plastic and metal, clear, tinted and dark lenses, reflections, temples, a shadow on the skin.
// light: how bright a white frame is, 0..1. softness: sigma in pixels of what the camera did to the face.
void DrawGlasses(const GlassesPlane& plane, float light, float softness, std::mt19937_64* rng, GlassesLayer* out);

// On a face; light and softness are its own.
void DrawGlasses(const FaceRecord& face, const FaceInfo& info, std::mt19937_64* rng, GlassesLayer* out);

void PutOn(const GlassesLayer& glasses, FaceRecord* face);
void PutOn(const GlassesLayer& glasses, std::vector<float>* rgb);  // 224 x 224 x 3 in [0,1]
// What a teacher made of the face without them becomes what it would make of it with them.
void PutOn(const GlassesLayer& glasses, TeacherPicture* picture);

}  // namespace mfs::train

#endif  // MFS_TRAIN_GLASSES_H_
