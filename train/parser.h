// mfs-train parser: trains the face parser of face/face_parser.h on photos with label maps.
#ifndef MFS_TRAIN_PARSER_H_
#define MFS_TRAIN_PARSER_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "face/face_parser.h"
#include "processes.h"
#include "weights/model_store.h"

namespace mfs::train {

struct ParserOptions {
  std::string data;    // folder with images/ and labels/ (parser_data.h)
  std::string output;  // folder: checkpoint.safetensors, face-parser.safetensors, log.csv, report.html, samples-*.jpg
  int steps = 3600;
  int batch = 32;               // samples a step, over all processes
  double learning_rate = 3e-3;  // Adam, betas 0.9 and 0.99: warm-up over 100 steps, then half a cosine down to a hundredth
  double region = 0.5;          // weight of the loss of face against all else, beside the one of the classes
  uint64_t seed = 1;
  int threads = 2;  // of reading the photos; those of the network are libtorch's
  double save_minutes = 2;
  int sheet_every = 400;
  int stop_after = 0;                         // end this run after so many steps (the checkpoint is kept); 0: at steps
  const std::atomic<bool>* cancel = nullptr;  // saves, then stops
  std::function<void(const std::string&)> progress;
};

// What is measured on the held-back photos, at 112 pixels.
struct ParserReport {
  int photos = 0;
  std::vector<double> part;            // IoU of every FacePart over all pixels of all photos; -1: none has it. kOccluder: with `covered`
  double face = 0;                     // IoU of skin, brows, eyes, nose, lips and mouth as one
  double covered_face = 0;             // the same with something drawn before every face
  std::map<std::string, int> dropped;  // photos that could not be used, by reason
  double ms = 0;                       // FaceParser, one thread, median
  int64_t weights = 0, bytes = 0;
};

// Goes on from the checkpoint in the output folder when there is one. Errors: as ParserData::Load, kCorruptData (checkpoint of another
// architecture or cut), kDiskFull, kInternal (the loss is no number), kCancelled.
Status TrainParser(const ModelStore& store, Processes* processes, const ParserOptions& options);

// Judges a weight file on the photos held back; sheet: a picture of them with the parts as colours, or "".
StatusOr<ParserReport> EvaluateParser(const ModelStore& store, const std::string& weights, const std::string& data, int threads, const std::string& sheet);
std::string FormatParserReport(const ParserReport& report);

// The crop (3 planes) with every part in its colour over it, stronger where it is surer.
ImageF PaintParts(const ImageF& crop, const ImageF& probabilities);

}  // namespace mfs::train

#endif  // MFS_TRAIN_PARSER_H_
