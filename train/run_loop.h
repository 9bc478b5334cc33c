// What the training stages share: the loop with its log, page, estimate, sample sheets, checkpoints and stops.
#ifndef MFS_TRAIN_RUN_LOOP_H_
#define MFS_TRAIN_RUN_LOOP_H_

#include <torch/torch.h>

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "optimiser.h"
#include "processes.h"

namespace mfs::train {

// Everything that makes a run go on to the same result, in one safetensors file. The random numbers of a step depend on seed, step and
// rank only, so they need no place in it.
class Checkpoint {
 public:
  // stage: the subcommand, refused when it differs.
  explicit Checkpoint(std::string stage) : stage_(std::move(stage)) {}
  void Add(const std::string& name, FlatAdam* adam);
  void Add(const std::map<std::string, torch::Tensor>& buffers);
  // Settings that the shapes, or what was learned, depend on: a checkpoint with another value is refused with a message that names it.
  // before: the value behind a checkpoint that does not name the setting, as it is older than the setting's place in the file.
  void Require(const std::string& name, const std::string& value, const std::string& before = "") { required_[name] = {value, before}; }
  void Require(const std::string& name, int value) { Require(name, std::to_string(value)); }
  // Whole or not at all.
  Status Save(const std::string& path, int step) const;
  // The step to go on from. Errors: kNotFound, kCorruptData (cut, of another stage or architecture); then nothing was changed.
  StatusOr<int> Load(const std::string& path) const;
  // Load by the first process, for everyone (RestoreTogether). begin: by the first process when the file is not there; may be null.
  StatusOr<int> Restore(Processes* processes, const std::string& path, const std::function<Status()>& begin = nullptr) const;

 private:
  struct Required {
    std::string value, before;
  };
  std::string stage_;
  std::vector<std::pair<std::string, torch::Tensor>> tensors_;
  std::vector<std::pair<std::string, FlatAdam*>> optimisers_;
  std::map<std::string, Required> required_;
};

// What a run goes on from, the same for all processes: `load` by the first one only, as the others may run on machines without the checkpoint; its step, the tensors and
// the optimisers' counts of steps go to everyone. Errors: load's; for the others IsProcessGone.
StatusOr<int> RestoreTogether(Processes* processes, const std::vector<torch::Tensor>& tensors, const std::vector<FlatAdam*>& optimisers, const std::function<StatusOr<int>()>& load);

// Adam's rate: linear warm-up, constant, half a cosine down to a thirtieth over the last `decay` of the steps.
struct Schedule {
  int steps = 1, warmup = 0;
  double decay = 0;
  double Rate(double peak, int step) const;
};

// The mean gradient of all processes, and a step along it; the norm of the gradient.
StatusOr<double> StepTogether(Processes* processes, double rate, FlatAdam* adam);

// A stage as the loop sees it. Everything is called on all processes, unless it is said otherwise.
class Stage {
 public:
  virtual ~Stage() = default;
  // Names of the figures, for the log; the progress line shows the first four.
  virtual std::vector<std::string> Columns() const = 0;
  // Draws the batch of a step and leaves its gradients in the optimisers. figures: by the order of Columns(), zeros at first.
  virtual Status Backward(int step, std::mt19937_64* rng, std::vector<double>* figures) = 0;
  // Averages the gradients and moves the weights; the learning rate.
  virtual StatusOr<double> Update(int step, std::vector<double>* figures) = 0;
  // Before a checkpoint: running statistics that differ between the processes.
  virtual Status Synchronise(Processes*) { return Status::Ok(); }
  // The files of the last batch, a line each. For nan-batch.tsv.
  virtual std::string DescribeBatch() const = 0;
  // First process only: a sheet of the last batch; the checkpoint and what else the stage leaves.
  virtual Status SaveSamples(const std::string& path) = 0;
  virtual Status Save(int step) = 0;
};

struct LoopOptions {
  std::string output;             // folder of the run: log.csv, report.html, samples-*.jpg, config.json
  std::string config;             // text of config.json
  std::string caption;            // what the columns of the sample sheets are
  int steps = 1, stop_after = 0;  // stop_after: end this run after so many steps, 0: at steps
  int batch = 1;                  // samples a step, over all processes
  int save_every = 100, sheet_every = 200;
  uint64_t seed = 1;
  const std::atomic<bool>* cancel = nullptr;  // ends the step, saves, then stops
  std::function<void(const std::string&)> progress;
};

// Makes the folder of a run. Errors: kIoError, kDiskFull (less than `bytes` are free), kOutOfMemory (less than `memory` is free).
Status OpenRunFolder(const std::string& folder, uint64_t bytes, uint64_t memory);
// The batch must share out evenly.
Status CheckBatch(int batch, const Processes& processes);

// From step `first` on. Errors: the stage's; kDiskFull; kInternal (a figure is no number: the batch is kept in nan-batch.tsv), kCancelled.
Status RunLoop(Processes* processes, const LoopOptions& options, int first, Stage* stage);

// The largest memory of this process so far, in bytes.
uint64_t PeakMemory();

}  // namespace mfs::train

#endif  // MFS_TRAIN_RUN_LOOP_H_
