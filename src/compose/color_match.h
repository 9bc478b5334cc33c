// The swapped face in the target's skin and light: an affine map of colours from statistics of the two aligned crops.
#ifndef MFS_COMPOSE_COLOR_MATCH_H_
#define MFS_COMPOSE_COLOR_MATCH_H_

#include <array>

#include "base/image.h"

namespace mfs {

// Of each pixel x: the channels are scaled by `ratio` (so that dark brows stay dark), the contrast is changed around the skin's mean by
// `gain`, and the whole is multiplied by 1 + slope_x * u + slope_y * v (light from one side), where u and v run from -0.5 to 0.5 across
// the crop. All of it is smoothed over time except the pivot, the swapped face's own mean in this frame.
struct ColorMatch {
  std::array<float, 3> ratio = {1, 1, 1}, pivot = {};
  std::array<float, 9> gain = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // row-major
  float slope_x = 0, slope_y = 0;
  bool started = false;
};

// raw, target: 3 planes; weight: 1 plane, how surely a pixel is skin, 0..1; all of one size. Moves *match by `step` (0..1; the first
// time all the way) towards the map that gives raw the mean, the covariance (Monge-Kantorovich map of two Gaussians, Pitie and
// Kokaram 2007, its gains held within 0.8 to 1.25; of a target with one axis of colours only, black and white, no gain across it) and the slope of light of the target. With too few pixels nothing
// moves.
void UpdateColorMatch(const ImageF& raw, const ImageF& target, const ImageF& weight, float step, ColorMatch* match);

// Applies it in place; the result is clamped to [0,1].
void ApplyColorMatch(const ColorMatch& match, ImageF* raw);

}  // namespace mfs

#endif  // MFS_COMPOSE_COLOR_MATCH_H_
