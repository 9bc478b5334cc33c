#include "face_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "face/face_parser.h"

namespace mfs::train {

std::string FormatFaceInfo(const FaceInfo& f) {
  char numbers[256];
  std::snprintf(numbers, sizeof(numbers), "\t%s\t%.2f\t%.2f\t%.1f\t%.4f\t%.4f\t%.3f\t%.3f\n", f.validation ? "validation" : "train", f.yaw, f.pitch, f.sharpness, f.luma, f.mouth_open, f.scale,
                f.evenness);
  return f.file + numbers;
}

StatusOr<FaceInfo> ParseFaceInfo(const std::string& row) {
  FaceInfo f;
  std::istringstream in(row);
  std::string split;
  std::getline(in, f.file, '\t');
  in >> split >> f.yaw >> f.pitch >> f.sharpness >> f.luma >> f.mouth_open >> f.scale >> f.evenness;
  if (!in || (split != "train" && split != "validation")) return CorruptData("a row of index.tsv is damaged: prepare the cache anew");
  f.validation = split == "validation";
  return f;
}

StatusOr<std::unique_ptr<FaceCache>> FaceCache::Open(const std::string& dir, bool with_labels) {
  auto meta = ReadFile(dir + "/cache.json");
  if (!meta.ok()) return NotFound(dir + ": no prepared faces here; make them with mfs-train prepare PHOTOS... -o " + dir);
  const auto json = nlohmann::json::parse(*meta, nullptr, false);
  if (!json.is_object() || json.value("format", "") != "mobilefaceswap-faces") return CorruptData(dir + "/cache.json: this is no cache of prepared faces");
  if (json.value("version", 0) != kCacheVersion) {
    return Unsupported(dir + ": prepared by another version of mfs-train (" + std::to_string(json.value("version", 0)) + ", this one reads " + std::to_string(kCacheVersion) + "); run prepare again");
  }
  std::unique_ptr<FaceCache> cache(new FaceCache());
  MFS_ASSIGN_OR_RETURN(const std::string index, ReadFile(dir + "/index.tsv"));
  std::istringstream rows(index);
  for (std::string row; std::getline(rows, row);) {
    if (row.empty() || row[0] == '#') continue;
    MFS_ASSIGN_OR_RETURN(FaceInfo info, ParseFaceInfo(row));
    cache->faces_.push_back(std::move(info));
  }
  const std::string bin = dir + "/faces.bin";
  cache->fd_ = open(bin.c_str(), O_RDONLY | O_CLOEXEC);
  if (cache->fd_ < 0) return ErrnoStatus(bin, errno);
  struct stat s;
  if (fstat(cache->fd_, &s) != 0) return ErrnoStatus(bin, errno);
  if (cache->faces_.empty() || cache->faces_.size() != json.value("faces", size_t{0}) || static_cast<size_t>(s.st_size) != cache->faces_.size() * sizeof(FaceRecord)) {
    return CorruptData(dir + ": the cache is cut or damaged; run prepare again");
  }
  if (!with_labels) return cache;
  const std::string labels = dir + "/visible.bin";
  cache->labels_fd_ = open(labels.c_str(), O_RDONLY | O_CLOEXEC);
  if (cache->labels_fd_ < 0 && errno != ENOENT) return ErrnoStatus(labels, errno);
  if (cache->labels_fd_ >= 0) {
    if (fstat(cache->labels_fd_, &s) != 0) return ErrnoStatus(labels, errno);
    if (static_cast<size_t>(s.st_size) != cache->faces_.size() * 2 * kLabelBytes) return CorruptData(labels + ": does not fit the faces; run mfs-train label " + dir + " again");
  }
  return cache;
}

FaceCache::~FaceCache() {
  if (fd_ >= 0) close(fd_);
  if (labels_fd_ >= 0) close(labels_fd_);
}

std::vector<int> FaceCache::Split(bool validation) const {
  std::vector<int> ids;
  for (size_t i = 0; i < faces_.size(); ++i) {
    if (faces_[i].validation == validation) ids.push_back(static_cast<int>(i));
  }
  return ids;
}

namespace {

Status ReadAt(int fd, const char* name, const char* again, int index, size_t size, void* to) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = pread(fd, static_cast<char*>(to) + done, size - done, static_cast<off_t>(index) * static_cast<off_t>(size) + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(name, errno);
    if (n == 0) return CorruptData(std::string(name) + " is cut; run " + again + " again");
    done += static_cast<size_t>(n);
  }
  return Status::Ok();
}

}  // namespace

Status FaceCache::Read(int index, FaceRecord* record) const { return ReadAt(fd_, "faces.bin", "prepare", index, sizeof(FaceRecord), record); }

Status FaceCache::ReadLabels(int index, FaceLabels* labels) const {
  uint8_t bytes[2 * kLabelBytes];
  MFS_RETURN_IF_ERROR(ReadAt(labels_fd_, "visible.bin", "mfs-train label", index, sizeof(bytes), bytes));
  ImageF small(kLabelSide, kLabelSide, 1), large;
  const uint8_t* from = bytes;
  for (std::vector<float>* to : {&labels->visible, &labels->glasses}) {
    for (int i = 0; i < kLabelBytes; ++i) small.data()[i] = *from++ / 255.0f;
    ResizePlane(small, kCropSize, &large);
    *to = std::move(large.vector());
  }
  return Status::Ok();
}

bool FaceLabels::WearsGlasses() const {
  constexpr double kShare = 0.01;  // of the crop; thin frames alone are 0.02
  return static_cast<double>(std::count_if(glasses.begin(), glasses.end(), [](float v) { return v >= 0.5f; })) > kShare * static_cast<double>(glasses.size());
}

}  // namespace mfs::train
