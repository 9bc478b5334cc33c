// From the network's crop back into the frame: only the face's region is touched.
#ifndef MFS_COMPOSE_COMPOSE_H_
#define MFS_COMPOSE_COMPOSE_H_

#include <array>

#include "base/frame.h"
#include "base/geometry.h"
#include "base/image.h"
#include "base/status.h"
#include "compose/color_match.h"
#include "compose/detail_match.h"

namespace mfs {

// What is drawn over the result, for finding faults.
enum class ShowOverlay { kNone, kMask, kBox, kPoints };

struct ComposeOptions {
  float strength = 1.0f;       // 0 leaves the target as it is, 1 is the full swap
  float edge_feather = 0.08f;  // share of the crop's side over which the mask fades at the crop's border
  float feather = 0.01f;       // share of the crop's side over which the mask fades inwards at its own edge; at least a pixel of the frame
  bool color_match = true;     // the target's skin colour and light
  bool detail_match = true;    // the target's sharpness and grain; its finest detail is kept where the crop is coarser than the frame
  bool keep_mouth = false;     // the target's lips and what is between them stay
  bool smooth_mask = true;     // the mask is smoothed over time (videos)
  ShowOverlay show = ShowOverlay::kNone;
};

// What lasts from frame to frame of one face of a video; a picture needs none.
struct LookState {
  ColorMatch color;
  DetailMatch detail;
  ImageF mask;  // smoothed, of the last frame
};

// One face that the network has swapped.
struct SwappedFace {
  const ImageF* target = nullptr;   // 3 planes, RGB in [0,1]: the crop as it was read from the frame
  const ImageF* raw = nullptr;      // 3 planes: what the decoder paints
  const ImageF* mask = nullptr;     // 1 plane, 0..1: the learned fusion mask
  const ImageF* visible = nullptr;  // 1 plane, 0..1: how surely the pixel is face and nothing lies in front of it; null: not known
  Affine crop_from_frame;
  const std::array<Point, 68>* landmarks = nullptr;  // in the frame; null: mouth and eyes count like the rest, and keep_mouth is refused
};

// The paste weight of every crop pixel: the network's mask (1 plane, 0..1) faded out towards the border of the crop, so that
// no straight edge of the crop can ever show. alpha has the mask's size.
Status PasteAlpha(const ImageF& mask, const ComposeOptions& options, ImageF* alpha);

// Pastes the raw network output (3 planes, RGB in [0,1]) into the frame through the mask. The frame's own pixels, not their
// resampled copy in the crop, show through where the mask is below one; where it is zero they keep their bits.
// Weakly semantic fusion, paper section 3.3, done at the frame's own resolution. region: see BlendWarped.
Status PasteFace(const ImageF& raw, const ImageF& mask, const Affine& crop_from_frame, const ComposeOptions& options, FrameView* frame, IntRect* region = nullptr);

// PasteFace with looks: docs/looks.md. Keeps its memory from call to call. Not thread-safe.
class FaceComposer {
 public:
  // Everything up to the paste, in the crop or, for a face smaller than it, at the face's own size. state: of this face, null for a picture.
  Status Prepare(const SwappedFace& face, const ComposeOptions& options, const FrameView& frame, LookState* state);
  // Pastes what was prepared; the pool, if given, shares the rows out and changes nothing of the result.
  Status Paste(FrameView* frame, IntRect* region = nullptr, ThreadPool* pool = nullptr);

 private:
  void Alpha(const SwappedFace& face, LookState* state);
  bool SeenAlpha(const FrameView& frame);
  void FadeInwards(int radius);

  ComposeOptions options_;
  std::array<Point, 68> points_;  // in the working crop
  bool has_points_ = false;
  Affine working_from_frame_;
  ImageF target_, raw_, alpha_, seen_, smoothed_, weight_, luma_, scratch_, blurred_;
  DetailMatcher detail_;
  BlendDetail kept_;
};

// Draws the overlay of one face into the frame: mask (of a composer's last Paste, tinted), box or points.
Status ShowMask(const ImageF& alpha, const Affine& crop_from_frame, FrameView* frame);
Status ShowBox(const Rect& box, FrameView* frame);
Status ShowPoints(const std::array<Point, 68>& landmarks, const std::array<Point, 5>& points, FrameView* frame);

}  // namespace mfs

#endif  // MFS_COMPOSE_COMPOSE_H_
