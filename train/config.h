// Settings of the training stages, read from JSON files; every key is optional and unknown ones are refused.
#ifndef MFS_TRAIN_CONFIG_H_
#define MFS_TRAIN_CONFIG_H_

#include <string>

#include "base/status.h"

namespace mfs::train {

struct DistillConfig {
  int size = 224;                 // pixels of the pictures that the student sees: 128 or 224
  int detail = 1;                 // 1: the head has the detail branch (student.h); 0: the public architecture
  std::string dynamics = "both";  // what a person's photo changes in the network: both, prediction (depthwise kernels only) or modulation (pointwise scales only)
  // Data.
  int batch = 32;                                 // samples a step, over all processes
  double same = 0.12;                             // share of pairs with source = target
  double similar_pose = 0.8;                      // share of targets chosen near the source's pose
  double any_source = 0;                          // share of sources that may be any face, not only good photos
  double moved = 0.5, relit = 0.4;                // shares of targets with another alignment and light (augment.h)
  double two_lights = 0;                          // share of targets lit by two lights of other colours (augment.h)
  double degraded = 0.3;                          // share of sources embedded from a poor picture of them; L_id wants the mean of the good one's embedding and that (distill_data.h)
  double target_glasses = 0, source_glasses = 0;  // shares of those without glasses that get drawn ones (glasses.h)
  double grey = 0;                                // share of targets without colours
  double target_light = 0;                        // how much L_id wants the source in the target's light, too, where the skins differ
  // Optimiser: Adam, warm-up, constant, then cosine decay to a thirtieth over the last `decay` of the steps.
  int steps = 2000;
  double learning_rate = 1e-3, beta1 = 0.5, beta2 = 0.99, clip = 5, decay = 0.4;
  int warmup = 200;
  // Loss weights, the paper's letters where it has them (docs/method.md).
  double l1 = 15, gradient = 10, colour = 20;  // L_rec and its two additions, times alpha
  double chroma = 0;                           // one more: the colours without their brightness, averaged over 2 x 2 pixels
  double dark_colours = 0;                     // how far those two count by the inverse of the face's brightness: 0: not; 1: wholly, from 0.8 to 3 times
  double raw = 3;                              // L1 of the image before the fusion, inside the teacher's alpha
  double perceptual = 0.75;                    // L_per, times alpha
  double identity = 1.5;                       // L_id
  double judged_eyes = 1,
         judged_rest = 1;     // shares of the gradients of L_id, L_per and `contrast` that reach what the target shows for its own sake: eyes and mouth, and all else; 1: all, as in the paper
  double alpha_power = 2;     // alpha = cos(z, z')^alpha_power Q
  double least_alpha = 0;     // alpha over its mean is at least this, and at most the inverse; 0: no limits, as in the paper
  double sharpness = 0;       // the image's Laplacian before the fusion regressed on the teacher's, as far as it stays behind (ops.h)
  double mask = 2;            // L_mask on the background
  double around = 0;          // ... once more on the background within 12 pixels of the face, and L1 of the image before the fusion to the target there
  double occluders = 0;       // ... once more on what lies before the face, over its few pixels
  double occluder_image = 0;  // L1 of the image before the fusion to the target there: the mask is too coarse for thin frames
  double mask_gradient = 0;   // share of the mask's gradient that reaches the encoder (Student::set_mask_gradient)
  double full_mask = 0;       // L1 of the mask to the teacher's alpha, everywhere: the full supervision that the paper advises against
  double cover = 0;           // how far the mask stays below 1 where the teacher's alpha for a source seen whole is above 0.9
  double openings = 0;        // L1 where the target shows for its own sake (eyes, open mouth, rim of the face), over those pixels
  double eyes = 0;            // share of `openings` that counts the eyes and the mouth alone, over their pixels
  double features = 0;        // L1 on eyes, brows and lips, of the result, twice of its hues, and, inside the teacher's alpha, of the image before the fusion, over those pixels
  double frames = 0;          // L1 on the frames of glasses, of the result and of the image before the fusion, over those pixels
  double contrast = 0;        // cosine of the result to the target's person, above 0.1 and above that of the two persons
  double landmarks = 0;       // the result's mesh and landmarks against the target's (frozen_landmarks.h)
  double adversarial = 0.15;  // hinge, from step adversarial_start on
  int adversarial_start = 300;
  double discriminator_rate = 4e-4;
  int discriminator_crop = 128;      // side of the crop, pixels of a picture of 224
  int norms_fixed_from = 100000000;  // step from which batch norms use their running statistics as they are, as the product does
  double jitter = 1;                 // strength of the random shift and colour gain before the identity loss
  double turned = 0;                 // strength of the random turn, scale and shift of each picture, half of them mirrored, before the identity loss; 1: 6 degrees, 7 %, 4 %
  double least_saturation = 1;       // before the identity loss each picture loses some of its colours; at most down to this share of them
  std::string teachers;              // as of --teacher, with commas between: "mesh:0.7,net:FILE:0.3"; empty: the mesh teacher
  std::string quality;               // file of Q (mfs-train quality); empty: Q = 1
  // Bookkeeping.
  int save_every = 100, sheet_every = 200;
  uint64_t seed = 1;
};

// The network teacher (teacher_net.h).
struct NetTeacherConfig {
  // Network.
  int size = 128;  // pixels, 128 or 224
  int width = 24;  // channels behind the first convolution; 8 times as many in the identity blocks
  int blocks = 4;  // identity blocks
  int discriminator_width = 24;
  // Data.
  int batch = 16;             // samples a step, over all processes
  double same = 0.4;          // share of pairs with source = target
  double similar_pose = 0.5;  // share of targets chosen near the source's pose
  // Optimiser, as in DistillConfig.
  int steps = 1000;
  double learning_rate = 1e-3, beta1 = 0.5, beta2 = 0.99, clip = 5, decay = 0.3;
  int warmup = 50;
  double discriminator_rate = 4e-4;
  // Loss weights.
  double reconstruction = 10;   // L1 to the target where source = target
  double gradient = 10;         // L1 of the pictures' gradients there
  double colour = 10;           // all pairs: L1 of the colours averaged over 16 x 16 pixels, to the target
  double identity = 3;          // 1 - cosine to the source
  double feature_matching = 3;  // weak: L1 of the discriminators' two deeper maps to the target's
  double adversarial = 0.3;     // hinge, both scales
  int adversarial_start = 100;
  // Bookkeeping.
  int keep_every = 50;  // numbered checkpoints of the generator, for Q
  int save_every = 50, sheet_every = 100;
  uint64_t seed = 1;
};

// The quality scorer Q (quality.h).
struct QualityConfig {
  int pictures = 120;  // of each checkpoint, made once
  int held_back = 4;   // every so many-th checkpoint is left out of the training
  int batch = 32;
  int steps = 300;
  double learning_rate = 5e-4, beta1 = 0.9, beta2 = 0.99, clip = 5, decay = 0.5;
  int warmup = 20;
  double mesh = 0;  // share of mesh-teacher outputs, taken as fully trained; the paper has none
  int save_every = 50, sheet_every = 100;
  uint64_t seed = 1;
};

// Errors: kNotFound, kCorruptData (no JSON), kInvalidArgument (unknown key, with the nearest known one; a value out of range).
// For the three structs above.
template <typename Config>
StatusOr<Config> ReadConfig(const std::string& path);
template <typename Config>
std::string FormatConfig(const Config& config);

}  // namespace mfs::train

#endif  // MFS_TRAIN_CONFIG_H_
