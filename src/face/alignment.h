// Where a face lies in the networks' crops.
#ifndef MFS_FACE_ALIGNMENT_H_
#define MFS_FACE_ALIGNMENT_H_

#include <array>

#include "base/geometry.h"
#include "base/status.h"
#include "face/face.h"

namespace mfs {

// The ArcFace template at 112 pixels, scaled to `size` (network.md: at 224 the numbers double).
std::array<Point, 5> ArcFaceTemplate(int size);

// The similarity transform (Umeyama) from the frame to the aligned crop of size x size pixels. Errors: kInvalidArgument when
// the points coincide.
StatusOr<Affine> ArcFaceAlignment(const std::array<Point, 5>& points, int size);

// Eyes, nose and mouth corners of the 68 landmarks.
std::array<Point, 5> FivePoints(const std::array<Point, 68>& landmarks);

// Root mean square distance of the five points from the template after the best similarity transform, in units of the
// template's eye distance: about 0.05 for a frontal face, 0.2 for a profile, more for what is no face.
float AlignmentResidual(const std::array<Point, 5>& points);

// Yaw, pitch and roll in degrees by a weak-perspective fit of a generic head to the landmarks.
void EstimatePose(const std::array<Point, 68>& landmarks, float* yaw, float* pitch, float* roll);

}  // namespace mfs

#endif  // MFS_FACE_ALIGNMENT_H_
