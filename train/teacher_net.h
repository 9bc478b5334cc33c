// mfs-train teacher-net: the paper's kind of teacher, a SimSwap-style generator trained against a discriminator at two scales.
#ifndef MFS_TRAIN_TEACHER_NET_H_
#define MFS_TRAIN_TEACHER_NET_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config.h"
#include "processes.h"
#include "weights/model_store.h"

namespace mfs::train {

struct TeacherNetOptions {
  std::string cache;   // made by prepare
  std::string output;  // folder: checkpoint.safetensors, teacher-0000050.safetensors and so on, log.csv, report.html, samples-*.jpg, config.json
  NetTeacherConfig config;
  torch::Device device = torch::kCPU;
  int stop_after = 0;                         // end this run after so many steps (the checkpoint is kept); 0: at config.steps
  const std::atomic<bool>* cancel = nullptr;  // saves, then stops
  std::function<void(const std::string&)> progress;
};

// Goes on from the checkpoint in the output folder when there is one. Errors: as Distill.
Status TrainNetTeacher(const ModelStore& store, Processes* processes, const TeacherNetOptions& options);

// The numbered checkpoints of a run, oldest first. Errors: kNotFound (fewer than two).
StatusOr<std::vector<std::string>> NetTeacherCheckpoints(const std::string& folder);

}  // namespace mfs::train

#endif  // MFS_TRAIN_TEACHER_NET_H_
