// From the network's crop back into the frame: only the face's region is touched.
#ifndef MFS_COMPOSE_COMPOSE_H_
#define MFS_COMPOSE_COMPOSE_H_

#include "base/frame.h"
#include "base/geometry.h"
#include "base/image.h"
#include "base/status.h"

namespace mfs {

struct ComposeOptions {
  float strength = 1.0f;       // 0 leaves the target as it is, 1 is the full swap
  float edge_feather = 0.08f;  // share of the crop's side over which the mask fades at the crop's border
};

// The paste weight of every crop pixel: the network's mask (1 plane, 0..1) faded out towards the border of the crop, so that
// no straight edge of the crop can ever show. alpha has the mask's size.
Status PasteAlpha(const ImageF& mask, const ComposeOptions& options, ImageF* alpha);

// Pastes the raw network output (3 planes, RGB in [0,1]) into the frame through the mask. The frame's own pixels, not their
// resampled copy in the crop, show through where the mask is below one; where it is zero they keep their bits.
// Weakly semantic fusion, paper section 3.3, done at the frame's own resolution. region: see BlendWarped.
Status PasteFace(const ImageF& raw, const ImageF& mask, const Affine& crop_from_frame, const ComposeOptions& options,
                 FrameView* frame, IntRect* region = nullptr);

}  // namespace mfs

#endif  // MFS_COMPOSE_COMPOSE_H_
