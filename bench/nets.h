// The networks of the race; each function adds its contenders. What they refer to must outlive the race, so they keep it in shared pointers.
#ifndef MFS_BENCH_NETS_H_
#define MFS_BENCH_NETS_H_

#include <memory>
#include <vector>

#include "race.h"
#include "weights/idn_weights.h"

namespace mfs::bench {

struct IdnCase {
  IdnWeights weights;         // shipped weights, a made-up identity
  std::vector<float> target;  // 3 x 224 x 224, noise
};
inline constexpr int kIdnSize = 224;
inline constexpr double kIdnMmac = 296.1;  // with the head's 1x1 before its upsampling, whatever an engine really computes
StatusOr<std::shared_ptr<const IdnCase>> LoadIdnCase();

// Ours: every CPU level with one thread, the best one and AVX2 with two.
Status AddIdn(std::shared_ptr<const IdnCase> c, Race* race);
// Where the time goes, at every vector level: markdown; and how long the change of the person takes.
StatusOr<std::string> IdnStageTable(const IdnCase& c, int runs);
// Others with one and two threads; the last two only where CMake found them (MFS_WITH_XNNPACK, MFS_WITH_OPENCV).
Status AddIdnOnnxRuntime(std::shared_ptr<const IdnCase> c, Race* race);
Status AddIdnXnnpack(std::shared_ptr<const IdnCase> c, Race* race);
Status AddIdnOpencv(std::shared_ptr<const IdnCase> c, Race* race);

}  // namespace mfs::bench

#endif  // MFS_BENCH_NETS_H_
