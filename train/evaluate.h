// mfs-train eval: what a set of weights, or the teacher, makes of the validation pairs.
#ifndef MFS_TRAIN_EVALUATE_H_
#define MFS_TRAIN_EVALUATE_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "weights/model_store.h"

namespace mfs::train {

struct EvaluateOptions {
  std::string cache;
  std::vector<std::string> weights;  // safetensors files, a row each
  bool teacher = true;               // a row for the mesh teacher
  int sources = 102, targets = 4;    // pairs = sources x targets
  std::string sheet;                 // picture sheet to write; empty: none
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const std::string&)> progress;
};

// Means over the pairs; identities are judged on the aligned crop, with the target's landmarks.
struct EvaluationRow {
  std::string name;
  double retrieval1 = 0, retrieval2 = 0;  // per cent: the nearest of all sources is the right one (embedders 1 and 2)
  double cosine = 0;                      // embedder 1, to the source
  double distance2 = 0;                   // embedder 2, squared L2 to the source (the same person: below 0.389)
  double cosine_dark = 0, cosine_light = 0;  // the same cosine for pairs onto a target darker or lighter than the source by 0.15 luma
  double pose = 0;                        // degrees, mean of |yaw| and |pitch| error to the target
  double expression = 0;                  // mean error of the openings of mouth and eyes, over their widths
  double sharpness = 0;                   // variance of the Laplacian inside the face over the target's (geometric mean)
  double background = 0;                  // mean change outside the face oval, of 255
};

// Errors: kNotFound, kCorruptData, kInvalidArgument (no validation faces).
StatusOr<std::vector<EvaluationRow>> Evaluate(const ModelStore& store, const EvaluateOptions& options);
std::string FormatMarkdown(const std::vector<EvaluationRow>& rows);
std::string FormatJson(const std::vector<EvaluationRow>& rows);

}  // namespace mfs::train

#endif  // MFS_TRAIN_EVALUATE_H_
