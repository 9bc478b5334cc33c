// Random numbers for what is drawn, by their field's short names.
#ifndef MFS_TRAIN_DICE_H_
#define MFS_TRAIN_DICE_H_

#include <random>

namespace mfs::train {

struct Dice {
  std::mt19937_64& rng;
  float operator()(float low, float high) { return std::uniform_real_distribution<float>(low, high)(rng); }
  bool Chance(float p) { return (*this)(0, 1) < p; }
  float Normal(float sigma) { return std::normal_distribution<float>(0, sigma)(rng); }
  int Pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(rng); }
};

// RGB in [0,1].
struct Colour {
  float v[3];
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_DICE_H_
