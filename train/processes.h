// Several processes train together: gradients are averaged over Gloo (torch.distributed's environment variables).
#ifndef MFS_TRAIN_PROCESSES_H_
#define MFS_TRAIN_PROCESSES_H_

#include <torch/torch.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"

namespace mfs::train {

class Processes {
 public:
  // One process alone when WORLD_SIZE is not set or 1; else joins MASTER_ADDR:MASTER_PORT as RANK of WORLD_SIZE.
  // Errors: kInvalidArgument (variables missing), kIoError (the others do not answer).
  static StatusOr<std::unique_ptr<Processes>> Join();
  ~Processes();
  int rank() const { return rank_; }
  int size() const { return size_; }
  // The mean over all processes, in place.
  Status Average(torch::Tensor* t);
  Status Average(const std::map<std::string, torch::Tensor>& tensors);
  // Rank 0's values for everyone, in place.
  Status Broadcast(torch::Tensor* t);

 private:
  Processes();
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int rank_ = 0, size_ = 1;
};

// The error of a process whose others are gone: theirs says more.
Status ProcessGone(const std::string& why);
bool IsProcessGone(const Status& status);

// "cpu" or "cuda". Errors: kInvalidArgument, kUnsupported (no CUDA in this libtorch or machine).
StatusOr<torch::Device> ChooseDevice(const std::string& name);

// Runs this program `count` times with the variables set and waits; the exit status of the first that failed, else 0. For the parent.
// cancel: once it is true the processes get SIGTERM, as they do when one of them fails or the parent dies (on Linux). May be null.
int SpawnProcesses(int count, char** argv, int threads, const std::atomic<bool>* cancel = nullptr);

}  // namespace mfs::train

#endif  // MFS_TRAIN_PROCESSES_H_
