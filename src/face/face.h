#ifndef MFS_FACE_FACE_H_
#define MFS_FACE_FACE_H_

#include <array>

#include "base/geometry.h"

namespace mfs {

// A face of a frame; coordinates are display pixels of that frame.
struct Face {
  Rect box;         // around the 68 points, with forehead
  float score = 0;  // of the detector, 0..1
  // Left eye, right eye, nose tip, left and right mouth corner, left and right as seen in the image of an upright head.
  std::array<Point, 5> points;
  std::array<Point, 68> landmarks;     // iBUG 300-W order
  float yaw = 0, pitch = 0, roll = 0;  // degrees; yaw > 0 looks to the right of the image, pitch > 0 down, roll clockwise
};

}  // namespace mfs

#endif  // MFS_FACE_FACE_H_
