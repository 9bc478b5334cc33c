// A picture or video frame in the layout the decoder gave it, never converted as a whole.
//
// All coordinates here are *display* coordinates: the EXIF orientation or the rotation of the video is applied, so a
// caller sees an upright picture of size width() x height() whatever the memory looks like.
#ifndef MFS_BASE_FRAME_H_
#define MFS_BASE_FRAME_H_

#include <cstddef>
#include <cstdint>

#include "base/geometry.h"
#include "base/image.h"
#include "base/status.h"

namespace mfs {

class ThreadPool;

enum class ColorModel { kGray, kRgb, kYuv };

// One colour component in memory. Sample (x,y) lies at data + y*stride + x*step.
struct FrameComponent {
  uint8_t* data = nullptr;
  ptrdiff_t stride = 0;  // bytes from a row to the next
  int step = 1;          // bytes from a sample to the next
  int shift_x = 0;       // log2 of the horizontal subsampling (1 for the chroma of 4:2:0 and 4:2:2)
  int shift_y = 0;       // log2 of the vertical subsampling
};

// A view of memory owned by somebody else; cheap to copy.
struct FrameView {
  ColorModel model = ColorModel::kRgb;
  int bits = 8;                             // significant bits of a sample; 9..16 lie in native-endian uint16_t (low bits unless shifted)
  int sample_shift = 0;                     // left shift of the significant bits in their 16 (P010: 6)
  bool full_range = true;                   // kYuv only: 0..2^bits-1, else 16..235 and 16..240 scaled
  float kr = 0.299f, kb = 0.114f;           // kYuv only: luma weights (BT.601 0.299/0.114, BT.709 0.2126/0.0722, BT.2020 0.2627/0.0593)
  int stored_width = 0, stored_height = 0;  // as in memory, before the orientation
  int orientation = 1;                      // EXIF 1..8: how to turn the stored picture to show it
  float pixel_aspect = 1;                   // width of a stored pixel by its height: old television and camcorders have pixels that are not square
  FrameComponent component[3];              // R,G,B or Y,U,V or grey; alpha is nobody's business here and stays as it is

  // As shown, in square pixels as high as a stored one.
  int width() const { return orientation >= 5 ? stored_height : shown_width(); }
  int height() const { return orientation >= 5 ? shown_width() : stored_height; }
  int shown_width() const { return pixel_aspect == 1 ? stored_width : static_cast<int>(static_cast<float>(stored_width) * pixel_aspect + 0.5f); }
  int num_components() const { return model == ColorModel::kGray ? 1 : 3; }
};

// 8-bit interleaved RGB (or any order by offsets), the usual view of a plain buffer. stride in bytes.
FrameView Rgb8View(uint8_t* data, int width, int height, ptrdiff_t stride, int step = 3);

// Checks sizes, pointers, bits and orientation of a view that comes from outside.
Status ValidateFrame(const FrameView& frame);

// The stored picture's coordinates from display coordinates.
Affine StoredFromDisplay(const FrameView& frame);

// Reads a width x height RGB crop in [0,1]: crop pixel p shows the frame at crop_from_frame^-1(p). Minification is
// area-filtered, magnification bicubic (Catmull-Rom). Outside the frame the border pixel is repeated.
// Errors: kInvalidArgument for a singular map or a size of zero.
Status ReadWarped(const FrameView& frame, const Affine& crop_from_frame, int width, int height, ImageF* rgb);

// The whole frame resized to width x height (area filter when smaller).
Status ReadScaled(const FrameView& frame, int width, int height, ImageF* rgb);

// Shrinks every plane to width x height by area averages. Sides that would grow are interpolated linearly.
void ReduceImage(const ImageF& in, int width, int height, ImageF* out);

// What BlendWarped keeps of the frame's own finest detail: everything that a crop cannot hold (pores, grain, hair).
struct BlendDetail {
  const ImageF* luma = nullptr;  // 1 plane of the crop's size: the luma (by the frame's kr and kb) of the crop as it was read
  float amount = 1;              // 0 none, 1 all of it
  float limit = 0.05f;           // differences far above this (of 0..1) are edges of the old face, not texture: they are held back
};

// A difference as BlendDetail lets it through: itself where small, at most 0.57 * limit (at 0.76 * limit), little where large.
inline float LimitDetail(float difference, float inverse_limit) {
  const float q = difference * inverse_limit;
  return difference / (1 + q * q * q * q);
}

// Blends a crop (RGB in [0,1], CHW) back: frame = (1-a)*frame + a*crop, where alpha (1 plane of the crop's size, 0..1)
// and crop are sampled at crop_from_frame(pixel). Samples with a == 0 or outside the crop keep their bits.
// When the crop is larger than its place in the frame, it is area-filtered first. region, if given, receives the touched box
// in display coordinates. With detail, the luma of the crop gains LimitDetail(frame's luma - detail's luma) at every pixel.
// The rows are shared out over the pool, if given; the result is the same.
Status BlendWarped(const ImageF& rgb, const ImageF& alpha, const Affine& crop_from_frame, FrameView* frame, IntRect* region = nullptr, const BlendDetail* detail = nullptr, ThreadPool* pool = nullptr);

}  // namespace mfs

#endif  // MFS_BASE_FRAME_H_
