// The prepared training faces on disk: one record of fixed size per face, read with pread so that nothing stays in the process.
#ifndef MFS_TRAIN_FACE_CACHE_H_
#define MFS_TRAIN_FACE_CACHE_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "face/face_mesh.h"

namespace mfs::train {

inline constexpr int kCropSize = 224;
inline constexpr int kCacheVersion = 2;
inline constexpr int kLabelSide = 112, kLabelBytes = kLabelSide * kLabelSide;  // of one plane of the labels

// One aligned face. Written as it lies in memory (little-endian); kCacheVersion changes with it.
struct FaceRecord {
  uint8_t crop[kCropSize * kCropSize * 3];  // ArcFace alignment at 224, RGB interleaved
  float z[512];                             // embedding, L2-normalised
  uint16_t map[512 * 49];                   // the embedder's last map, channel first, half precision
  float mesh[kMeshPoints * 3];              // x, y, depth in pixels of the crop
  float landmarks[68 * 2];                  // pixels of the crop
};

// What sampling needs to know of a face; a row of index.tsv.
struct FaceInfo {
  std::string file;          // as found, for people
  bool validation = false;   // by a hash of the file's name: 5 %
  float yaw = 0, pitch = 0;  // degrees
  float sharpness = 0;       // variance of the Laplacian of the luma (0..255) inside the face
  float luma = 0;            // median luma of cheeks and nose, 0..1: skin and light together
  float mouth_open = 0;      // height of the inner lips over their width
  float scale = 0;           // pixels of the original per pixel of the crop; below 1 the crop is magnified
  float evenness = 0;        // luma of the darker half of the face over that of the lighter one, 0..1
};

// What covers a face, 224 x 224 each, 0..1.
struct FaceLabels {
  std::vector<float> visible;  // how surely a pixel is face and not hair, glasses, hands or background (VisibleFace)
  std::vector<float> glasses;  // how surely it is glasses or seen through them
  bool WearsGlasses() const;
};

// A finished cache folder: faces.bin, index.tsv, cache.json, and visible.bin once `mfs-train label` has run. Thread-safe.
class FaceCache {
 public:
  // with_labels: false leaves visible.bin alone, whatever it is: for who makes it anew.
  // Errors: kNotFound (no cache there), kUnsupported (another version), kCorruptData (cut).
  static StatusOr<std::unique_ptr<FaceCache>> Open(const std::string& dir, bool with_labels = true);
  ~FaceCache();
  const std::vector<FaceInfo>& faces() const { return faces_; }
  // Indices of one split.
  std::vector<int> Split(bool validation) const;
  Status Read(int index, FaceRecord* record) const;
  // Is it known what covers the faces?
  bool has_labels() const { return labels_fd_ >= 0; }
  // Only when has_labels().
  Status ReadLabels(int index, FaceLabels* labels) const;

 private:
  FaceCache() = default;
  std::vector<FaceInfo> faces_;
  int fd_ = -1, labels_fd_ = -1;
};

// A row of index.tsv and back.
std::string FormatFaceInfo(const FaceInfo& info);
StatusOr<FaceInfo> ParseFaceInfo(const std::string& row);

}  // namespace mfs::train

#endif  // MFS_TRAIN_FACE_CACHE_H_
