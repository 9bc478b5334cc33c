#include "label.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/file.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "face/face_parser.h"
#include "face_cache.h"

namespace mfs::train {
namespace {

constexpr int kFaceBytes = 2 * kLabelBytes;
constexpr int kBatch = 64;  // faces between two points from which interrupted work can go on

}  // namespace

StatusOr<int> LabelFaces(const ModelStore& store, const LabelOptions& o) {
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.cache, false));
  MFS_ASSIGN_OR_RETURN(std::string bytes, o.weights.empty() ? store.Load("face-parser.safetensors") : ReadFile(o.weights));
  // Work that another parser began is not gone on with.
  const std::string partial = o.cache + "/labels-" + Sha256Hex(bytes.data(), bytes.size()).substr(0, 12) + ".part";
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::FromBuffer(std::move(bytes)));
  const int count = static_cast<int>(cache->faces().size());
  ThreadPool pool(std::max(o.threads, 1));
  std::vector<std::unique_ptr<FaceParser>> parsers;
  for (int i = 0; i < pool.threads(); ++i) {
    MFS_ASSIGN_OR_RETURN(auto parser, FaceParser::Create(file));
    parsers.push_back(std::move(parser));
  }
  std::FILE* out = std::fopen(partial.c_str(), "ab");
  if (out == nullptr) return ErrnoStatus(partial, errno);
  const Status done = [&]() -> Status {
    struct stat s;
    if (fstat(fileno(out), &s) != 0) return ErrnoStatus(partial, errno);
    int next_face = std::min(count, static_cast<int>(s.st_size / kFaceBytes) / kBatch * kBatch);
    if (ftruncate(fileno(out), static_cast<off_t>(next_face) * kFaceBytes) != 0) return ErrnoStatus(partial, errno);
    std::vector<uint8_t> labels(static_cast<size_t>(kBatch) * kFaceBytes);
    while (next_face < count) {
      if (o.cancel != nullptr && *o.cancel) return Cancelled("stopped; the same command goes on from here");
      const int n = std::min(kBatch, count - next_face);
      std::atomic<int> next{0};
      std::vector<Status> states(pool.threads());
      pool.Run(pool.threads(), [&](int w) {
        auto record = std::make_unique<FaceRecord>();
        std::vector<float> crop(3 * kCropSize * kCropSize);
        ImageF parts, plane;
        for (int i; (i = next++) < n;) {
          states[w] = [&]() -> Status {
            MFS_RETURN_IF_ERROR(cache->Read(next_face + i, record.get()));
            for (int p = 0; p < kCropSize * kCropSize; ++p) {
              for (int c = 0; c < 3; ++c) crop[c * kCropSize * kCropSize + p] = record->crop[3 * p + c] / 255.0f;
            }
            MFS_RETURN_IF_ERROR(parsers[w]->Run(crop.data(), &parts));
            VisibleFace(parts, {}, kLabelSide, &plane);
            uint8_t* to = &labels[static_cast<size_t>(i) * kFaceBytes];
            for (const float* from : {plane.data(), parts.plane(static_cast<int>(FacePart::kGlasses))}) {
              for (int p = 0; p < kLabelBytes; ++p) *to++ = static_cast<uint8_t>(std::lround(255 * from[p]));
            }
            return Status::Ok();
          }();
          if (!states[w].ok()) return;
        }
      });
      for (const Status& state : states) MFS_RETURN_IF_ERROR(state);
      if (std::fwrite(labels.data(), kFaceBytes, n, out) != static_cast<size_t>(n) || std::fflush(out) != 0) return ErrnoStatus(partial, errno);
      next_face += n;
      if (o.progress && (next_face / kBatch % 16 == 0 || next_face == count)) o.progress(std::to_string(next_face) + " of " + std::to_string(count) + " faces");
    }
    return Status::Ok();
  }();
  std::fclose(out);
  MFS_RETURN_IF_ERROR(done);
  if (std::rename(partial.c_str(), (o.cache + "/visible.bin").c_str()) != 0) return ErrnoStatus(o.cache + "/visible.bin", errno);
  return count;
}

}  // namespace mfs::train
