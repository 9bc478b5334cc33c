// mfs-train distill: the student learns from a teacher's pictures (paper section 3.4), with loss reweighting and a weakly supervised mask.
#ifndef MFS_TRAIN_DISTILL_H_
#define MFS_TRAIN_DISTILL_H_

#include <atomic>
#include <functional>
#include <string>

#include "base/status.h"
#include "config.h"
#include "processes.h"
#include "weights/model_store.h"

namespace mfs::train {

struct DistillOptions {
  std::string cache;   // made by prepare
  std::string output;  // folder: checkpoint.safetensors, student.safetensors, log.csv, samples-*.jpg, config.json
  std::string start;   // weights to start from; empty: from scratch. A checkpoint in `output` goes before it
  DistillConfig config;
  torch::Device device = torch::kCPU;
  int stop_after = 0;                         // end this run after so many steps (the checkpoint is kept); 0: at config.steps
  const std::atomic<bool>* cancel = nullptr;  // saves, then stops
  std::function<void(const std::string&)> progress;
};

// Goes on from the checkpoint in the output folder when there is one. Errors: kNotFound, kCorruptData (checkpoint of another
// architecture or cut), kDiskFull, kOutOfMemory, kInternal (the loss is no number; the batch is kept in nan-batch.tsv), kCancelled,
// kInvalidArgument (norms_fixed_from = 0 with neither weights to start from nor a checkpoint).
Status Distill(const ModelStore& store, Processes* processes, const DistillOptions& options);

}  // namespace mfs::train

#endif  // MFS_TRAIN_DISTILL_H_
