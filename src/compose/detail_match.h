// The swapped face as sharp and as grainy as the target: two bands of fine detail of the aligned crops are compared.
#ifndef MFS_COMPOSE_DETAIL_MATCH_H_
#define MFS_COMPOSE_DETAIL_MATCH_H_

#include <array>

#include "base/image.h"

namespace mfs {

inline constexpr int kDetailBands = 2;  // details of about 1 to 2 and 2 to 4 pixels

struct DetailMatch {
  std::array<float, kDetailBands> gain = {1, 1};  // of the swapped face's own detail: above 1 sharpens, below 1 softens; smoothed over time
  std::array<float, kDetailBands> grain = {};     // share of the target's fine texture (everything that is no edge) that is laid over
  std::array<float, kDetailBands> limit = {};     // what counts as texture: LimitDetail, in [0,1] luma
  bool started = false;
};

// target_luma, weight: 1 plane; raw: 3 planes, changed in place; luma_weights: of its channels; all of one size. Moves *match by step (0..1;
// the first time all the way) towards the target's sharpness and grain where the weight is above one half, and applies it.
//
// Sharpness is the 95th percentile of a band (the edges), grain its median in the quietest fifth of the face (what is everywhere; more would be
// the features of the old face, whose owner would be recognised by them). The grain is the target's own, from the same
// frame, so it moves like the rest of the picture and adds no flicker.
class DetailMatcher {
 public:
  void Run(const ImageF& target_luma, const ImageF& weight, const std::array<float, 3>& luma_weights, float step, DetailMatch* match, ImageF* raw);

 private:
  ImageF luma_[kDetailBands + 1], target_[kDetailBands], scratch_, activity_, added_;
};

// 1 plane, the weighted sum of 3.
void LumaOf(const ImageF& rgb, const std::array<float, 3>& weights, ImageF* luma);

}  // namespace mfs

#endif  // MFS_COMPOSE_DETAIL_MATCH_H_
