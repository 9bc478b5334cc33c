// Photos with label maps for the face parser, and what is done to them so that a thousand photos teach what video shows.
#ifndef MFS_TRAIN_PARSER_DATA_H_
#define MFS_TRAIN_PARSER_DATA_H_

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/geometry.h"
#include "base/status.h"
#include "face/face_parser.h"
#include "weights/model_store.h"

namespace mfs::train {

inline constexpr uint8_t kNoLabel = 255;  // outside the photo

struct LabelledPhoto {
  std::string name;
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;    // interleaved
  std::vector<uint8_t> parts;  // FacePart of every pixel
  Affine crop_from_photo;      // ArcFace alignment at 224
  bool glasses = false, hat = false, hair = false;
};

// One crop of 224 x 224 and the label of every 2 x 2 pixels of it.
struct ParserSample {
  std::vector<float> image;    // 224 x 224 x 3, RGB in [0,1]
  std::vector<uint8_t> label;  // 112 x 112, FacePart or kNoLabel
};

enum class Change {
  kNone,       // the crop as the product sees it
  kOccluders,  // something is put before the face, nothing else
  kAll,        // place, size, turn, occluders, hair, glasses and hats of others, skin tone, light, colour, blur, noise, compression
};

class ParserData {
 public:
  // folder/images/NAME.jpg (any picture) with folder/labels/NAME.png: one byte a pixel, the classes of CelebAMask-HQ in the order of
  // docs/training.md. Finds and aligns every face as the product does; photos without one are counted in dropped(). A fifth of the photos,
  // by a hash of their names, is held back. Errors: kNotFound (no such folders, no pairs), kCorruptData (unreadable, size or classes wrong).
  static StatusOr<ParserData> Load(const ModelStore& store, const std::string& folder, int threads, const std::atomic<bool>* cancel, const std::function<void(const std::string&)>& progress);
  const std::vector<LabelledPhoto>& training() const { return training_; }
  const std::vector<LabelledPhoto>& held_back() const { return held_back_; }
  const std::map<std::string, int>& dropped() const { return dropped_; }  // by reason

  // A photo for training; those with glasses and hats come more often than they are there.
  const LabelledPhoto& Draw(std::mt19937_64* rng) const;
  // Thread-safe; the same rng gives the same sample.
  void Make(const LabelledPhoto& photo, Change change, std::mt19937_64* rng, ParserSample* out) const;

 private:
  std::vector<LabelledPhoto> training_, held_back_;
  std::vector<double> weight_sums_;  // of training_, running
  std::map<std::string, int> dropped_;
};

}  // namespace mfs::train

#endif  // MFS_TRAIN_PARSER_DATA_H_
