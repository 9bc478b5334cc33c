// What the IDN's tests share.
#ifndef MFS_IDN_IDN_TESTING_H_
#define MFS_IDN_IDN_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "idn/idn.h"

namespace mfs {

inline IdnWeights RandomWeights(int seed, bool detail = true) {
  IdnWeights w = EmptyIdnWeights(detail);
  std::mt19937 rng(seed);
  for (IdnArray& a : ListIdnArrays(&w)) {
    // He-like scale so that nothing dies or explodes.
    size_t fan = 1;
    for (size_t i = 1; i < a.shape.size(); ++i) fan *= a.shape[i];
    std::normal_distribution<float> normal(0, a.shape.size() == 1 ? 0.1f : 1.4f / std::sqrt(static_cast<float>(fan)));
    for (float& v : *a.values) v = normal(rng);
  }
  return w;
}

struct IdnResult {
  std::vector<float> raw, mask, image;
};

inline IdnResult RunIdn(Idn* idn, const std::vector<float>& target) {
  IdnResult o;
  o.raw.resize(target.size());
  o.image.resize(target.size());
  o.mask.resize(target.size() / 3);
  EXPECT_TRUE(idn->Run(target.data(), o.raw.data(), o.mask.data(), o.image.data()).ok());
  return o;
}

inline float MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::isfinite(a[i]) ? std::fabs(a[i] - b[i]) : INFINITY);
  return worst;
}

}  // namespace mfs

#endif  // MFS_IDN_IDN_TESTING_H_
