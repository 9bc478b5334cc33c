#include "prepare.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/sha256.h"
#include "base/thread_pool.h"
#include "face_cache.h"
#include "face_recorder.h"
#include "media/picture.h"
#include "sharpness.h"
#include "sheet.h"

namespace mfs::train {
namespace {

namespace fs = std::filesystem;
constexpr int kBatch = 16;          // pictures between two points from which interrupted work can go on
constexpr int kMaxHammingSame = 8;  // of 256 bits: re-encoded copies differ in fewer

using PerceptualHash = std::array<uint64_t, 4>;

struct Prepared {
  std::string drop;  // reason; empty when kept
  FaceInfo info;
  std::unique_ptr<FaceRecord> record;
  PerceptualHash hash{};
  std::string sha256;
};

PerceptualHash HashOf(const FaceRecord& r) {
  float cells[16][17] = {};
  const std::vector<float> luma = CropLuma(r.crop);
  for (int y = 0; y < kCropSize; ++y) {
    for (int x = 0; x < kCropSize; ++x) cells[y * 16 / kCropSize][x * 17 / kCropSize] += luma[y * kCropSize + x];
  }
  PerceptualHash hash{};
  for (int i = 0; i < 256; ++i) hash[i / 64] |= static_cast<uint64_t>(cells[i / 16][i % 16] > cells[i / 16][i % 16 + 1]) << (i % 64);
  return hash;
}

int Hamming(const PerceptualHash& a, const PerceptualHash& b) {
  int n = 0;
  for (int i = 0; i < 4; ++i) n += __builtin_popcountll(a[i] ^ b[i]);
  return n;
}

// A photo that is bad in itself is dropped with its reason; an error is one of ours.
Status PrepareOne(FaceRecorder* recorder, const std::string& path, const PrepareOptions& o, Prepared* out) {
  out->info.file = path;
  const auto bytes = ReadFile(path);
  if (bytes.ok()) out->sha256 = Sha256Hex(bytes->data(), bytes->size());
  RecordLimits limits{o.min_scale, o.min_sharpness, o.min_mesh_score, o.max_outside, true};
  MFS_ASSIGN_OR_RETURN(out->drop, recorder->Photo(bytes.ok() ? *bytes : "", limits, &out->record, &out->info));
  if (out->drop.empty()) out->hash = HashOf(*out->record);
  return Status::Ok();
}

StatusOr<std::vector<std::string>> ListPictures(const PrepareOptions& o) {
  std::vector<std::string> files;
  for (const std::string& folder : o.folders) {
    std::error_code error;
    const size_t before = files.size();
    for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
      if (it->is_regular_file(error) && IsPictureName(it->path().string())) files.push_back(it->path().string());
    }
    if (error) return NotFound(folder + ": this folder cannot be read");
    if (files.size() == before) return NotFound(folder + ": no pictures (png, jpg, webp, tif, bmp) below this folder");
    std::sort(files.begin() + before, files.end());
  }
  if (o.limit > 0 && files.size() > static_cast<size_t>(o.limit)) {
    std::vector<std::string> some;
    for (int i = 0; i < o.limit; ++i) some.push_back(files[files.size() * i / o.limit]);
    files = std::move(some);
  }
  return files;
}

// What was done so far; written after every batch.
struct Progress {
  std::string key;  // folders and thresholds
  size_t pictures = 0, faces = 0, dropped = 0;
};

// Cuts a text file behind its first n lines.
Status KeepLines(const std::string& path, size_t n) {
  if (!FileExists(path)) return n == 0 ? Status::Ok() : CorruptData(path + " is gone; remove the folder and prepare again");
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  size_t at = 0;
  for (size_t i = 0; i < n; ++i) {
    at = text.find('\n', at);
    if (at == std::string::npos) return CorruptData(path + " is cut; remove the folder and prepare again");
    ++at;
  }
  return WriteFileAtomically(path, text.data(), at);
}

class Output {
 public:
  ~Output() {
    for (std::FILE* f : {bin_, index_, dropped_}) {
      if (f != nullptr) std::fclose(f);
    }
  }
  Status Open(const std::string& dir, const std::string& key, Progress* progress) {
    dir_ = dir;
    std::error_code error;
    fs::create_directories(dir, error);
    if (error) return IoError(dir + ": the folder cannot be made (" + error.message() + ")");
    progress->key = key;
    if (auto text = ReadFile(dir + "/progress.json"); text.ok()) {
      const auto json = nlohmann::json::parse(*text, nullptr, false);
      if (json.is_object() && json.value("key", "") == key) {
        progress->pictures = json.value("pictures", size_t{0});
        progress->faces = json.value("faces", size_t{0});
        progress->dropped = json.value("dropped", size_t{0});
      }
    }
    MFS_RETURN_IF_ERROR(KeepLines(Path("index.tsv"), progress->faces));
    MFS_RETURN_IF_ERROR(KeepLines(Path("dropped.tsv"), progress->dropped));
    for (auto [file, name] : {std::pair<std::FILE**, const char*>{&bin_, "faces.bin"}, {&index_, "index.tsv"}, {&dropped_, "dropped.tsv"}}) {
      *file = std::fopen(Path(name).c_str(), "ab");
      if (*file == nullptr) return ErrnoStatus(Path(name), errno);
    }
    if (ftruncate(fileno(bin_), static_cast<off_t>(progress->faces * sizeof(FaceRecord))) != 0) return ErrnoStatus(Path("faces.bin"), errno);
    return Status::Ok();
  }
  Status Keep(const Prepared& p) {
    const std::string row = FormatFaceInfo(p.info);
    if (std::fwrite(p.record.get(), sizeof(FaceRecord), 1, bin_) != 1 || std::fputs(row.c_str(), index_) < 0) return ErrnoStatus(Path("faces.bin"), errno);
    return Status::Ok();
  }
  Status Drop(const Prepared& p) {
    if (std::fprintf(dropped_, "%s\t%s\n", p.info.file.c_str(), p.drop.c_str()) < 0) return ErrnoStatus(Path("dropped.tsv"), errno);
    return Status::Ok();
  }
  Status Commit(const Progress& p) {
    for (std::FILE* f : {bin_, index_, dropped_}) {
      if (std::fflush(f) != 0) return ErrnoStatus(dir_, errno);
    }
    return WriteJson("progress.json", {{"key", p.key}, {"pictures", p.pictures}, {"faces", p.faces}, {"dropped", p.dropped}});
  }
  Status WriteJson(const char* name, const nlohmann::json& json) {
    const std::string text = json.dump(1) + "\n";
    return WriteFileAtomically(Path(name), text.data(), text.size());
  }
  std::string Path(const char* name) const { return dir_ + "/" + name; }

 private:
  std::string dir_;
  std::FILE *bin_ = nullptr, *index_ = nullptr, *dropped_ = nullptr;
};

// Up to 200 kept faces, evenly spread, and up to 16 dropped photos for each reason, a row each.
Status WriteSheets(const std::string& dir) {
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(dir));
  Sheet kept{96, 20, {}};
  FaceRecord record;
  const int n = static_cast<int>(cache->faces().size()), shown = std::min(n, 200);
  for (int i = 0; i < shown; ++i) {
    MFS_RETURN_IF_ERROR(cache->Read(static_cast<int>(static_cast<int64_t>(n) * i / shown), &record));
    kept.cells.push_back(PlanarFromRgb8(record.crop, kCropSize, kCropSize));
  }
  MFS_RETURN_IF_ERROR(kept.Save(dir + "/kept.png"));
  MFS_ASSIGN_OR_RETURN(const std::string rows, ReadFile(dir + "/dropped.tsv"));
  std::map<std::string, std::vector<std::string>> by_reason;
  std::istringstream in(rows);
  for (std::string row; std::getline(in, row);) {
    const size_t tab = row.find('\t');
    if (tab != std::string::npos) by_reason[row.substr(tab + 1)].push_back(row.substr(0, tab));
  }
  Sheet dropped{96, 16, {}};
  for (const auto& [reason, files] : by_reason) {
    for (int i = 0; i < dropped.columns; ++i) {
      ImageF cell;
      if (i < static_cast<int>(files.size())) {
        if (auto picture = ReadPicture(files[files.size() * i / std::min<size_t>(files.size(), dropped.columns)]); picture.ok()) {
          MFS_RETURN_IF_ERROR(ReadScaled(picture->View(), dropped.cell, dropped.cell, &cell));
        }
      }
      dropped.cells.push_back(std::move(cell));
    }
  }
  return dropped.Save(dir + "/dropped.png");
}

}  // namespace

StatusOr<PrepareReport> Prepare(const ModelStore& store, const PrepareOptions& o) {
  if (FileExists(o.output + "/cache.json")) return AlreadyExists(o.output + ": holds prepared faces already; remove the folder to prepare anew");
  MFS_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListPictures(o));
  std::ostringstream key;
  key << kCacheVersion << ' ' << o.limit << ' ' << o.min_scale << ' ' << o.min_sharpness << ' ' << o.min_mesh_score << ' ' << o.max_outside;
  for (const std::string& f : files) key << '\n' << f;
  const std::string key_text = key.str();

  std::error_code error;
  fs::create_directories(o.output, error);
  const fs::space_info space = fs::space(o.output, error);
  if (!error && space.available < files.size() * sizeof(FaceRecord) + (64 << 20)) {
    return DiskFull(o.output + ": needs up to " + std::to_string(files.size() * sizeof(FaceRecord) >> 20) + " MB, " + std::to_string(space.available >> 20) + " MB are free");
  }
  Progress progress;
  Output output;
  MFS_RETURN_IF_ERROR(output.Open(o.output, Sha256Hex(key_text.data(), key_text.size()), &progress));

  std::vector<std::unique_ptr<FaceRecorder>> workers(std::max(o.threads, 1));
  for (auto& w : workers) {
    MFS_ASSIGN_OR_RETURN(w, FaceRecorder::Create(store));
  }
  // Faces kept before an interruption take part in the search for duplicates again.
  std::vector<PerceptualHash> hashes;
  std::set<std::string> shas;
  if (progress.faces > 0) {
    MFS_ASSIGN_OR_RETURN(const std::string index, ReadFile(o.output + "/index.tsv"));
    std::FILE* bin = std::fopen(output.Path("faces.bin").c_str(), "rb");
    auto record = std::make_unique<FaceRecord>();
    while (bin != nullptr && std::fread(record.get(), sizeof(FaceRecord), 1, bin) == 1) hashes.push_back(HashOf(*record));
    if (bin != nullptr) std::fclose(bin);
  }
  ThreadPool pool(static_cast<int>(workers.size()));
  while (progress.pictures < files.size()) {
    if (o.cancel != nullptr && *o.cancel) return Cancelled("stopped; the same command goes on from here");
    const int count = static_cast<int>(std::min<size_t>(kBatch, files.size() - progress.pictures));
    std::vector<Prepared> batch(count);
    std::vector<Status> states(count);
    std::atomic<int> next{0};
    pool.Run(static_cast<int>(workers.size()), [&](int w) {
      for (int i; (i = next++) < count;) states[i] = PrepareOne(workers[w].get(), files[progress.pictures + i], o, &batch[i]);
    });
    for (int i = 0; i < count; ++i) {
      MFS_RETURN_IF_ERROR(states[i].WithPrefix(files[progress.pictures + i] + ": "));
      Prepared& p = batch[i];
      if (p.drop.empty()) {
        const bool copy = shas.count(p.sha256) > 0 || std::any_of(hashes.begin(), hashes.end(), [&](const PerceptualHash& h) { return Hamming(h, p.hash) <= kMaxHammingSame; });
        if (copy) p.drop = "duplicate";
      }
      if (!p.drop.empty()) {
        MFS_RETURN_IF_ERROR(output.Drop(p));
        ++progress.dropped;
        continue;
      }
      const std::string name = BaseName(p.info.file);
      p.info.validation = std::stoul(Sha256Hex(name.data(), name.size()).substr(0, 6), nullptr, 16) % 20 == 0;
      shas.insert(p.sha256);
      hashes.push_back(p.hash);
      MFS_RETURN_IF_ERROR(output.Keep(p));
      ++progress.faces;
    }
    progress.pictures += count;
    MFS_RETURN_IF_ERROR(output.Commit(progress));
    if (o.progress) o.progress(std::to_string(progress.pictures) + " of " + std::to_string(files.size()) + " pictures, " + std::to_string(progress.faces) + " faces kept");
  }
  if (progress.faces == 0) return NoFace("no usable face in " + std::to_string(files.size()) + " pictures; " + output.Path("dropped.tsv") + " says why");
  MFS_RETURN_IF_ERROR(output.WriteJson("cache.json", {{"format", "mobilefaceswap-faces"}, {"version", kCacheVersion}, {"faces", progress.faces}, {"crop", kCropSize}}));
  RemoveFile(output.Path("progress.json"));

  PrepareReport report;
  report.pictures = static_cast<int>(files.size());
  MFS_ASSIGN_OR_RETURN(const auto cache, FaceCache::Open(o.output));
  report.kept = static_cast<int>(cache->faces().size());
  report.validation = static_cast<int>(cache->Split(true).size());
  MFS_ASSIGN_OR_RETURN(const std::string dropped, ReadFile(output.Path("dropped.tsv")));
  std::istringstream in(dropped);
  for (std::string row; std::getline(in, row);) ++report.dropped[row.substr(row.find('\t') + 1)];
  MFS_RETURN_IF_ERROR(WriteSheets(o.output));
  return report;
}

}  // namespace mfs::train
