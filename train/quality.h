// mfs-train quality: trains Q on the pictures of a network teacher's numbered checkpoints and shows what it is worth.
#ifndef MFS_TRAIN_QUALITY_H_
#define MFS_TRAIN_QUALITY_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config.h"
#include "processes.h"
#include "weights/model_store.h"

namespace mfs::train {

struct QualityOptions {
  std::string cache;    // made by prepare
  std::string teacher;  // folder of a teacher-net run
  std::string output;   // folder: checkpoint.safetensors, quality.safetensors, log.csv, report.html, samples-*.jpg, quality.json
  QualityConfig config;
  torch::Device device = torch::kCPU;
  int stop_after = 0;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const std::string&)> progress;
};

struct QualityReport {
  struct Row {
    std::string name;     // of the checkpoint
    double progress = 0;  // 0..1, what Q should say
    double mean = 0;      // of Q over the validation pairs
    bool held_back = false;
  };
  std::vector<Row> checkpoints;
  double spearman = 0;           // of `mean` against `progress`, held-back checkpoints
  double spearman_pictures = 0;  // of every picture of them against `progress`
  // Mesh-teacher pictures of validation pairs: near the source's pose and clean sources; far poses; the same with noise and blocks.
  double mesh_good = 0, mesh_bad = 0, mesh_damaged = 0;
  double photos = 0;  // unchanged validation photos
};

// Goes on from the checkpoint in the output folder when there is one; then judges. Errors: as Distill, kNotFound (no numbered checkpoints),
// kInvalidArgument (fewer than two validation faces or held-back checkpoints: nothing to judge by).
StatusOr<QualityReport> TrainQuality(const ModelStore& store, Processes* processes, const QualityOptions& options);
std::string FormatQualityReport(const QualityReport& report);

// Rank correlation of two lists of equal length, ties share their mean rank; 0 when one is constant.
double Spearman(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace mfs::train

#endif  // MFS_TRAIN_QUALITY_H_
