// The detectors and the landmark net as graphs (docs/models.md says where the files come from), and how the boxes of RFB-320 are read.
#ifndef MFS_FACE_FACE_NETS_H_
#define MFS_FACE_FACE_NETS_H_

#include <vector>

#include "base/geometry.h"
#include "base/status.h"
#include "nn/plan.h"
#include "weights/model_store.h"

namespace mfs {

inline constexpr int kRfbWidth = 320, kRfbHeight = 240, kRfbAnchors = 4420;
inline constexpr int kBlazeSize = 256, kLandmarkSize = 64;

// face_detector_rfb320.onnx: 240 x 320 x 3, RGB as (x - 127) / 128 of 0..255 -> for each of four scales two logits and four offsets per
// anchor, in this order. The file goes on with softmax and decoding; DecodeRfb does that for the anchors that count.
StatusOr<Graph> LoadRfbGraph(const ModelStore& store);
// face_detector_blazeface256.onnx: 256 x 256 x 3, RGB in [-1,1] -> logits of the 512 and the 384 anchors, then 16 numbers for each.
StatusOr<Graph> LoadBlazeGraph(const ModelStore& store);
// landmarks68.onnx: 64 x 64 x 1, grey x/256 of 0..255 -> 68 (x, y) in units of the crop's side.
StatusOr<Graph> LoadLandmarkGraph(const ModelStore& store);

struct RfbBox {
  float score = 0;  // 0..1
  Rect box;         // in units of the picture's sides
};
// The boxes whose score lies above `threshold`, in the order of the anchors, appended to *boxes. plan: of LoadRfbGraph, after a run.
void DecodeRfb(const Plan& plan, float threshold, std::vector<RfbBox>* boxes);

}  // namespace mfs

#endif  // MFS_FACE_FACE_NETS_H_
