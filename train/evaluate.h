// mfs-train eval: what weights and teachers make of pairs of photos and of clips.
#ifndef MFS_TRAIN_EVALUATE_H_
#define MFS_TRAIN_EVALUATE_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "weights/model_store.h"

namespace mfs::train {

struct EvaluateOptions {
  std::string cache;                 // made by prepare: its validation pairs; may be empty when `pairs` is given
  std::string pairs;                 // file with a line for each pair: source photo, tab, target photo; empty: the cache's pairs
  std::vector<std::string> weights;  // files: students and network teachers, a row each
  std::vector<std::string> clips;    // videos for the flicker
  int clip_frames = 60;              // of each clip
  bool teacher = true;               // a row for the mesh teacher
  int sources = 102, targets = 4;    // validation pairs = sources x targets
  int candidates = 1;                // each target is the nearest in pose and brightness of so many
  std::string sheet;                 // picture sheet to write; empty: none
  int first = 12, worst = 12;        // pairs on it: the first, and those with the least cosine in the last row
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const std::string&)> progress;
};

// Mean cosine (embedder 1) of the pairs that share something.
struct EvaluationGroup {
  int pairs = 0;
  double cosine = 0;
};

// Means over the pairs; identities are judged on the aligned crop, with the target's landmarks.
struct EvaluationRow {
  std::string name;
  double retrieval1 = 0, retrieval2 = 0;     // per cent: the nearest of all sources is the right one (embedders 1 and 2)
  int pairs = 0, sources = 0;                // judged
  double nearer = 0;                         // per cent: by embedder 1 the result is nearer to the target picture itself than to the source
  double cosine = 0;                         // embedder 1, to the source
  double distance2 = 0;                      // embedder 2, squared L2 to the source (the same person: below 0.389)
  double cosine_dark = 0, cosine_light = 0;  // the same cosine for pairs onto a target darker or lighter than the source by 0.15 luma
  int dark_pairs = 0, light_pairs = 0;       // how many those are; the cosine of none is no number
  double pose = 0;                           // degrees, mean of |yaw| and |pitch| error to the target
  int pose_pairs = 0;                        // pairs that `pose` is the mean of: a face was found in target and result
  double expression = 0;                     // mean error of the openings of mouth and eyes, over their widths
  double sharpness = 0;                      // variance of the Laplacian inside the face over the target's (geometric mean)
  double background = 0;                     // mean change outside the face, of 255: where the cache's labels see none, without labels outside the oval of the mesh
  // Clips: mean absolute second temporal difference inside the face oval, less the target's own (of 255), and over it.
  double flicker = 0, flicker_ratio = 0;
  std::map<std::string, EvaluationGroup> groups;  // by luma of both faces in their photos (skin and light together), by yaw of the target, by glasses on either
};

// What can fail for sheet and clips fails before the pairs are run. Errors: kNotFound, kCorruptData, kInvalidArgument (no validation faces, a line that is no pair, a sheet
// that cannot be saved), kIoError, kNoFace (a photo or clip without one).
StatusOr<std::vector<EvaluationRow>> Evaluate(const ModelStore& store, const EvaluateOptions& options);
// clips: with the columns of the flicker.
std::string FormatMarkdown(const std::vector<EvaluationRow>& rows, bool clips);
std::string FormatJson(const std::vector<EvaluationRow>& rows, bool clips);

}  // namespace mfs::train

#endif  // MFS_TRAIN_EVALUATE_H_
