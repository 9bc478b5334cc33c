// Which source goes with which target.
#ifndef MFS_TRAIN_PAIRS_H_
#define MFS_TRAIN_PAIRS_H_

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "face_cache.h"

namespace mfs::train {

struct PairOptions {
  float same = 0.12f;         // share of pairs whose source is the target itself
  float similar_pose = 0.8f;  // share of targets chosen as the best of `candidates` by yaw, pitch and brightness; random else
  int candidates = 6;
  float any_source = 0;  // share of sources drawn evenly over light and dark faces, however poor the photo
};

// Sources are drawn by how clean they are (sharp, frontal, evenly lit, mouth closed), but for a share of them, and targets evenly over light and
// dark faces and those that look ahead and aside, so that every group is seen often. A pair of one face has a source drawn like any other: were poor photos seen in such pairs only, a student would
// learn that they want the target as it is.
class PairSampler {
 public:
  PairSampler(const FaceCache& cache, bool validation, const PairOptions& options);
  bool empty() const { return ids_.empty(); }
  // Indices into the cache: source, target.
  // mirrored: gets whether the target is to be mirrored, half of the pairs; its pose is then compared as mirrored. Null: never.
  std::pair<int, int> Next(std::mt19937_64* rng, bool* mirrored = nullptr) const;

 private:
  const FaceCache& cache_;
  PairOptions options_;
  std::vector<int> ids_;
  mutable std::discrete_distribution<int> sources_, targets_, any_;
};

// "source<TAB>target" by their files, a line for each pair.
std::string DescribePairs(const FaceCache& cache, const std::vector<std::pair<int, int>>& pairs);

// How clean a face is as a source, 0..1.
float SourceQuality(const FaceInfo& info);

// The validation pairs: every source of good quality with `targets` targets of its own, always the same for one cache. A target is the nearest of
// `candidates` to the source in yaw, pitch and brightness, as a user would choose a photo for a clip; 1: any.
std::vector<std::pair<int, int>> ValidationPairs(const FaceCache& cache, int sources, int targets, int candidates = 1);

}  // namespace mfs::train

#endif  // MFS_TRAIN_PAIRS_H_
