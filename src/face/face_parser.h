// Which pixels of an aligned face are skin, eyes, lips, glasses, hair and so on; and from that, which of them may be swapped.
#ifndef MFS_FACE_FACE_PARSER_H_
#define MFS_FACE_FACE_PARSER_H_

#include <array>
#include <memory>
#include <vector>

#include "base/image.h"
#include "base/status.h"
#include "nn/plan.h"
#include "weights/model_store.h"
#include "weights/safetensors.h"

namespace mfs {

// In the order of the planes that FaceParser::Run gives. kOccluder: what lies in front of the face and is nothing of the others:
// hands, microphones, cups, masks. kBackground holds clothes, too; kLips are both, kMouth is what an open mouth shows; kGlasses is
// the frame with everything seen through it, kEar an ear with its ring.
enum class FacePart { kBackground, kSkin, kBrow, kEye, kNose, kLips, kMouth, kGlasses, kHair, kHat, kNeck, kEar, kOccluder };
inline constexpr int kFaceParts = 13;
extern const std::array<const char*, kFaceParts> kFacePartNames;  // lower case, English

inline constexpr int kParserInput = 224, kParserOutput = 112;  // pixels

// The network: a strided 3x3 convolution, separable blocks down to 7 pixels, and up again with the maps of the way down beside them.
// Every block is depthwise 3x3 (padding 1), pointwise, LeakyReLU 0.1; a block that keeps its shape adds its input to its output.
struct ParserBlock {
  int in, out, stride;
  bool residual() const { return in == out && stride == 1; }
};
inline constexpr int kParserStem = 16;  // channels at 112 pixels
inline constexpr std::array<ParserBlock, 13> kParserEncoder = {
    {{16, 32, 2}, {32, 32, 1}, {32, 64, 2}, {64, 64, 1}, {64, 64, 1}, {64, 128, 2}, {128, 128, 1}, {128, 128, 1}, {128, 128, 1}, {128, 256, 2}, {256, 256, 1}, {256, 256, 1}, {256, 256, 1}}};
// One step of the way up: pointwise `in` to `out` and LeakyReLU, bilinear doubling (align_corners), the skip's channels behind, a block
// (2 out to out), and `refine` blocks that keep the shape.
struct ParserStep {
  int in, out, refine;
};
inline constexpr std::array<ParserStep, 4> kParserDecoder = {{{256, 128, 1}, {128, 64, 1}, {64, 32, 1}, {32, 16, 0}}};
// Encoder blocks whose output is kept for the way up, by the decoder's order; -1: the stem.
inline constexpr std::array<int, 4> kParserSkips = {8, 4, 1, -1};
inline constexpr int kParserLogits = 16;  // the last three are padding

// Not thread-safe.
class FaceParser {
 public:
  // The committed weights, face-parser.safetensors. Errors: kNotFound, kCorruptData.
  static StatusOr<std::unique_ptr<FaceParser>> Create(const ModelStore& store, const PlanOptions& options = {});
  static StatusOr<std::unique_ptr<FaceParser>> Create(const SafetensorsFile& file, const PlanOptions& options = {});
  ~FaceParser();

  // crop: 3 planes of 224 x 224, RGB in [0,1], ArcFace alignment, as ReadWarped gives it and Idn::Run takes it. probabilities becomes
  // kFaceParts planes of 112 x 112 in [0,1] that sum to 1; its pixel (x, y) covers the crop's pixels 2x, 2x+1 and 2y, 2y+1.
  Status Run(const float* crop, ImageF* probabilities);

 private:
  struct Impl;
  explicit FaceParser(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct VisibleOptions {
  // How far glasses count as face, 0..1. 0: they stay untouched with all that is seen through them. 1: they are swapped over.
  float glasses = 0;
};

// How surely a pixel is face that may be swapped (skin, brows, eyes, nose, lips, mouth) and not hair, hat, glasses, hands or background.
// probabilities: of FaceParser::Run. visible becomes one plane of `size` x `size` in [0,1]; 112 as it is, any other size bilinearly.
void VisibleFace(const ImageF& probabilities, const VisibleOptions& options, int size, ImageF* visible);

// One plane to size x size, bilinear between pixel centres, borders repeated; a copy when it has that size.
void ResizePlane(const ImageF& plane, int size, ImageF* out);

}  // namespace mfs

#endif  // MFS_FACE_FACE_PARSER_H_
