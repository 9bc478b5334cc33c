#include "compose/compose.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mfs {

Status PasteAlpha(const ImageF& mask, const ComposeOptions& options, ImageF* alpha) {
  if (mask.channels() != 1 || mask.width() < 2 || mask.height() < 2) return InvalidArgument("the mask must be one plane");
  if (!(options.strength >= 0 && options.strength <= 1)) return InvalidArgument("the strength must be 0 to 1");
  if (!(options.edge_feather >= 0 && options.edge_feather <= 0.5f)) return InvalidArgument("the feather must be 0 to 0.5");
  const int w = mask.width(), h = mask.height();
  // Smoothstep ramp from the border inwards, as a product of both axes.
  const auto ramp = [&](int n) {
    std::vector<float> r(n);
    const float reach = std::max(1.0f, options.edge_feather * n);
    for (int i = 0; i < n; ++i) {
      const float t = std::min(1.0f, std::min(i, n - 1 - i) / reach);
      r[i] = t * t * (3 - 2 * t);
    }
    return r;
  };
  const std::vector<float> rx = ramp(w), ry = ramp(h);
  alpha->Reset(w, h, 1);
  for (int y = 0; y < h; ++y) {
    const float* m = mask.row(0, y);
    float* a = alpha->row(0, y);
    const float k = ry[y] * options.strength;
    for (int x = 0; x < w; ++x) a[x] = std::min(1.0f, std::max(0.0f, m[x])) * rx[x] * k;
  }
  return Status::Ok();
}

Status PasteFace(const ImageF& raw, const ImageF& mask, const Affine& crop_from_frame, const ComposeOptions& options,
                 FrameView* frame, IntRect* region) {
  ImageF alpha;
  MFS_RETURN_IF_ERROR(PasteAlpha(mask, options, &alpha));
  return BlendWarped(raw, alpha, crop_from_frame, frame, region);
}

}  // namespace mfs
