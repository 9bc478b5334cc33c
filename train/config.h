// Settings of the distillation, read from a JSON file; every key is optional and unknown ones are refused.
#ifndef MFS_TRAIN_CONFIG_H_
#define MFS_TRAIN_CONFIG_H_

#include <string>

#include "base/status.h"

namespace mfs::train {

struct DistillConfig {
  // Data.
  int batch = 32;                // samples a step, over all processes
  double same = 0.12;            // share of pairs with source = target
  double similar_pose = 0.8;     // share of targets chosen near the source's pose
  double moved = 0.5, relit = 0.4;  // shares of targets with another alignment and light (augment.h)
  double degraded = 0.3;         // share of sources embedded from a poor picture of them; L_id keeps the good one's embedding
  // Optimiser: Adam, warm-up, constant, then cosine decay to a thirtieth over the last `decay` of the steps.
  int steps = 2000;
  double learning_rate = 1e-3, beta1 = 0.5, beta2 = 0.99, clip = 5, decay = 0.4;
  int warmup = 200;
  // Loss weights, the paper's letters where it has them (docs/method.md).
  double l1 = 15, gradient = 10, colour = 20;  // L_rec and its two additions, times alpha
  double raw = 3;                // L1 of the image before the fusion, inside the teacher's alpha
  double perceptual = 0.75;      // L_per, times alpha
  double identity = 1.5;         // L_id
  double mask = 2;               // L_mask on the background
  double adversarial = 0.15;     // hinge, from step adversarial_start on
  int adversarial_start = 300;
  double discriminator_rate = 4e-4;
  int discriminator_crop = 128;  // pixels
  double jitter = 1;             // strength of the random shift and colour gain before the identity loss
  // Bookkeeping.
  int save_every = 100, sheet_every = 200;
  uint64_t seed = 1;
};

// Errors: kNotFound, kCorruptData (no JSON), kInvalidArgument (unknown key, with the nearest known one; a value out of range).
StatusOr<DistillConfig> ReadDistillConfig(const std::string& path);
std::string FormatDistillConfig(const DistillConfig& config);

}  // namespace mfs::train

#endif  // MFS_TRAIN_CONFIG_H_
