// mfs-train export: the checkpoint of a run as the weight file that users get, with its model card.
#ifndef MFS_TRAIN_EXPORT_H_
#define MFS_TRAIN_EXPORT_H_

#include <string>
#include <vector>

#include "base/status.h"

namespace mfs::train {

struct ExportOptions {
  std::string run;                 // folder of a distill run
  std::string cache;               // made by prepare: pictures for the comparison, and what the card says of the data
  std::string output;              // the weight file (.safetensors); the card lies beside it as .md
  std::string scores;              // JSON of mfs-train eval --json, its table goes into the card; empty: none
  int pairs = 12;                  // validation pairs that are compared
  double largest_difference = 16;  // of 255: more is refused, half precision does not hold these weights
};

struct ExportReport {
  int steps = 0;
  int pairs = 0;
  double difference = 0, mean_difference = 0;  // half against single precision, of 255: the largest of any pixel and colour, the mean
  std::string card;                            // path
  std::string sha256;
};

// Errors: kNotFound, kCorruptData (no checkpoint of distill), kUnsupported (half precision changes the pictures), kDiskFull, kIoError.
StatusOr<ExportReport> Export(const ExportOptions& options);

// The mean of the weights of several students that were trained one from the other: docs/method.md says what for. Written as half precision.
// cache: folder made by prepare, for the report's comparison with the mean in single precision; empty: none. Of the report only that is filled in.
// Errors: kInvalidArgument (fewer than two), kNotFound, kCorruptData (another architecture), kDiskFull, kIoError.
StatusOr<ExportReport> AverageWeights(const std::vector<std::string>& files, const std::string& output, const std::string& cache = "");

}  // namespace mfs::train

#endif  // MFS_TRAIN_EXPORT_H_
