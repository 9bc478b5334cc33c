#include "swap/part_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace mfs {
namespace {

using nlohmann::json;

std::string Numbered(const std::string& folder, int index, const char* extension) {
  char name[32];
  snprintf(name, sizeof name, "/%06d.%s", index, extension);
  return folder + name;
}

bool IsOurs(const std::string& name) {
  const std::string ext = Extension(name);
  return name == "job.json" || name == "done" || name.rfind("lock", 0) == 0 || name.rfind("joined", 0) == 0 || ext == "segment" || ext == "json";
}

// What differs between two jobs, in words.
std::string Difference(const json& a, const json& b) {
  std::string keys;
  for (const auto& [key, value] : a.items()) {
    if (key != "input_name" && (!b.contains(key) || b[key] != value)) keys += (keys.empty() ? "" : ", ") + key;
  }
  for (const auto& [key, value] : b.items()) {
    if (key != "input_name" && !a.contains(key)) keys += (keys.empty() ? "" : ", ") + key;
  }
  return keys;
}

}  // namespace

bool SameJob(const std::string& a, const std::string& b) {
  const json ja = json::parse(a, nullptr, false), jb = json::parse(b, nullptr, false);
  return ja.is_object() && jb.is_object() && Difference(ja, jb).empty();
}

std::string PartFolder::SegmentFile(int index) const { return Numbered(path_, index, "segment"); }

PartFolder::~PartFolder() { Close(); }

void PartFolder::Close() {
  for (int& fd : locks_) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
}

Status PartFolder::Lock(int shard, int shards, bool create) {
  // The whole folder: for one alone, or shared by the shards; then each shard for itself.
  const std::string names[2] = {path_ + "/lock", path_ + "/lock-" + std::to_string(shard) + "-" + std::to_string(shards)};
  for (int i = 0; i < (shards > 1 ? 2 : 1); ++i) {
    for (int tries = 0;; ++tries) {
      if (create && i == 0 && mkdir(path_.c_str(), 0777) != 0 && errno != EEXIST) return ErrnoStatus(path_, errno);
      const int fd = open(names[i].c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
      if (fd < 0) {
        if (errno == ENOENT && create && tries < 100) continue;  // another process has just removed the folder
        return ErrnoStatus(path_, errno);
      }
      if (flock(fd, (shards > 1 && i == 0 ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        const int e = errno;
        close(fd);
        if (e != EWOULDBLOCK) return ErrnoStatus(names[i], e);
        return AlreadyExists(path_ + ": another mfs is at work on this output; wait for it, or choose another output");
      }
      // Was the file removed between open and lock? Then the lock is worth nothing.
      struct stat mine, there;
      if (fstat(fd, &mine) == 0 && stat(names[i].c_str(), &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
        locks_[i] = fd;
        break;
      }
      close(fd);
      if (!create) return NotFound(path_ + ": no such folder");
    }
  }
  return Status::Ok();
}

StatusOr<std::unique_ptr<PartFolder>> PartFolder::Open(const std::string& path, const std::string& job, Mode mode, int shard, int shards) {
  std::unique_ptr<PartFolder> folder(new PartFolder());
  folder->path_ = path;
  const std::string job_file = path + "/job.json";
  if (mode == Mode::kJoin && !FileExists(job_file)) return NotFound(path + ": holds no parts of a video");
  MFS_RETURN_IF_ERROR(folder->Lock(shard, shards, mode != Mode::kJoin));
  const bool earlier = FileExists(job_file);
  if (mode == Mode::kFresh && earlier && shards == 1) {
    return AlreadyExists(path + ": holds a partial result of an earlier run; --resume goes on with it, -y begins anew");
  }
  if (mode == Mode::kReplace && earlier) {
    RemoveFile(job_file);
    MFS_RETURN_IF_ERROR(folder->ReadSegments());
    for (const auto& [index, info] : folder->segments_) {
      RemoveFile(Numbered(path, index, "json"));
      RemoveFile(folder->SegmentFile(index));
    }
    folder->segments_.clear();
  }
  if (FileExists(job_file)) {
    MFS_ASSIGN_OR_RETURN(folder->job_, ReadFile(job_file));
    const json there = json::parse(folder->job_, nullptr, false), here = json::parse(job, nullptr, false);
    if (!there.is_object()) return CorruptData(job_file + ": is damaged; delete the folder and begin anew");
    if (mode != Mode::kJoin) {
      const std::string difference = here.is_object() ? Difference(there, here) : "everything";
      if (!difference.empty())
        return InvalidArgument(path + ": the partial result was made otherwise (" + difference + "); give the same input and options as before, or delete this folder to begin anew");
    }
    MFS_RETURN_IF_ERROR(folder->ReadSegments());
  } else {
    folder->job_ = job;
    RemoveFile(path + "/done");  // of a run that was killed while it tidied up
    const Status written = WriteFileAtomically(job_file, job.data(), job.size());
    if (!written.ok()) {
      if (shards == 1) folder->Remove();
      return written;
    }
  }
  folder->done_ = FileExists(path + "/done");
  return folder;
}

Status PartFolder::ReadSegments() {
  DIR* d = opendir(path_.c_str());
  if (d == nullptr) return ErrnoStatus(path_, errno);
  std::vector<int> numbers;
  while (const dirent* e = readdir(d)) {
    int index = 0, end = 0;
    if (std::sscanf(e->d_name, "%6d.json%n", &index, &end) == 1 && end == 11 && e->d_name[end] == 0) numbers.push_back(index);
  }
  closedir(d);
  for (int index : numbers) {
    auto text = ReadFile(Numbered(path_, index, "json"), 1 << 20);
    const json j = text.ok() ? json::parse(*text, nullptr, false) : json();
    if (!j.is_object()) continue;  // made anew
    SegmentInfo s;
    s.index = index;
    try {
      s.frames = j.value("frames", int64_t{0}), s.swapped = j.value("swapped", int64_t{0}), s.detections = j.value("detections", int64_t{0});
      s.too_small = j.value("too_small", int64_t{0}), s.too_many = j.value("too_many", int64_t{0});
      s.reorder = j.value("reorder", 0), s.bytes = j.value("bytes", uint64_t{0}), s.last = j.value("last", false);
      s.end_code = j.value("end_code", 0), s.end_message = j.value("end_message", std::string());
      s.warnings = j.value("warnings", std::vector<std::string>());
    } catch (const json::exception&) {
      continue;
    }
    struct stat st;
    const bool whole = s.frames == 0 || (stat(SegmentFile(index).c_str(), &st) == 0 && static_cast<uint64_t>(st.st_size) == s.bytes);
    if (whole) segments_[index] = std::move(s);
  }
  return Status::Ok();
}

Status PartFolder::Commit(const SegmentInfo& info) {
  SegmentInfo s = info;
  struct stat st;
  if (s.frames > 0) {
    if (stat(SegmentFile(s.index).c_str(), &st) != 0) return ErrnoStatus(SegmentFile(s.index), errno);
    s.bytes = static_cast<uint64_t>(st.st_size);
  }
  const std::string text = json{{"frames", s.frames}, {"swapped", s.swapped}, {"detections", s.detections}, {"too_small", s.too_small},     {"too_many", s.too_many}, {"reorder", s.reorder},
                                {"bytes", s.bytes},   {"last", s.last},       {"end_code", s.end_code},     {"end_message", s.end_message}, {"warnings", s.warnings}}
                               .dump(1, ' ', false, json::error_handler_t::replace);
  MFS_RETURN_IF_ERROR(WriteFileAtomically(Numbered(path_, s.index, "json"), text.data(), text.size()));
  segments_[s.index] = std::move(s);
  return Status::Ok();
}

Status PartFolder::MarkDone() {
  done_ = true;
  return WriteFileAtomically(path_ + "/done", "", 0);
}

void PartFolder::UnmarkDone() {
  done_ = false;
  RemoveFile(path_ + "/done");
}

void PartFolder::Remove() {
  if (DIR* d = opendir(path_.c_str())) {
    std::vector<std::string> names;
    while (const dirent* e = readdir(d)) {
      const std::string name = e->d_name;
      if (name != "." && name != ".." && (IsOurs(name) || name[0] == '.')) names.push_back(name);
    }
    closedir(d);
    // The lock goes last, so that nobody finds a folder without one half empty.
    for (const std::string& name : names) {
      if (name.rfind("lock", 0) != 0) RemoveFile(path_ + "/" + name);
    }
    for (const std::string& name : names) RemoveFile(path_ + "/" + name);
  }
  rmdir(path_.c_str());
  segments_.clear();
  Close();
}

}  // namespace mfs
