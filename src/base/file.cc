#include "base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

namespace mfs {

Status ErrnoStatus(const std::string& path, int e) {
  switch (e) {
    case ENOSPC:
    case EDQUOT: return DiskFull(path + ": the disk is full");
    case ENOENT: return NotFound(path + ": no such file or folder");
    case ENOTDIR: return NotFound(path + ": a part of the path is not a folder");
    case EISDIR: return InvalidArgument(path + ": is a folder, a file is needed");
    case EACCES:
    case EPERM:
    case EROFS: return IoError(path + ": no permission");
    default: return IoError(path + ": " + std::strerror(e));
  }
}

StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, errno);
  struct stat st;
  if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
    close(fd);
    return ErrnoStatus(path, S_ISDIR(st.st_mode) ? EISDIR : errno);
  }
  std::string content;
  if (S_ISREG(st.st_mode)) {
    if (static_cast<uint64_t>(st.st_size) > max_bytes) {
      close(fd);
      return OutOfMemory(path + ": the file is too large (" + std::to_string(st.st_size >> 20) + " MiB)");
    }
    content.reserve(st.st_size);
  }
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) != 0) {
    if (n < 0) {
      if (errno == EINTR) continue;
      const int e = errno;
      close(fd);
      return ErrnoStatus(path, e);
    }
    content.append(buffer, n);
    if (content.size() > max_bytes) {
      close(fd);
      return OutOfMemory(path + ": the file is too large");
    }
  }
  close(fd);
  return content;
}

std::string BaseName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string DirName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string Extension(const std::string& path) {
  const std::string base = BaseName(path);
  const size_t dot = base.find_last_of('.');
  if (dot == std::string::npos || dot == 0) return "";
  std::string ext = base.substr(dot + 1);
  // Not tolower, which in a Turkish host leaves the I of .TIF as it is.
  std::transform(ext.begin(), ext.end(), ext.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return ext;
}

std::string TemporaryName(const std::string& path) {
  const std::string ext = Extension(path);
  // File systems take 255 bytes: a long name is cut, not within a character.
  std::string base = BaseName(path);
  size_t length = std::min<size_t>(base.size(), 200);
  while (length < base.size() && length > 0 && (static_cast<unsigned char>(base[length]) & 0xc0) == 0x80) --length;
  base.resize(length);
  // Two threads may ask for the same path at once.
  const auto thread = std::hash<std::thread::id>()(std::this_thread::get_id()) % 1000000;
  for (int i = 0;; ++i) {
    std::string name = DirName(path) + "/." + base + ".part" + std::to_string(getpid()) + "-" + std::to_string(thread) + "-" + std::to_string(i);
    if (!ext.empty()) name += "." + ext;
    if (!FileExists(name)) return name;
  }
}

Status CommitTemporary(const std::string& temporary, const std::string& path) {
  // Without the sync a crash after the rename could leave an empty file under the final name.
  const int fd = open(temporary.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(temporary, errno);
  const bool synced = fsync(fd) == 0 || errno == EINVAL;
  const int e = errno;
  close(fd);
  if (!synced) {
    RemoveFile(temporary);
    return ErrnoStatus(path, e);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int rename_error = errno;
    RemoveFile(temporary);
    return ErrnoStatus(path, rename_error);
  }
  return Status::Ok();
}

void RemoveFile(const std::string& path) { unlink(path.c_str()); }

Status WriteFileAtomically(const std::string& path, const void* data, size_t size) {
  MFS_RETURN_IF_ERROR(CheckWritable(path));
  // What a link leads to is written, also where nothing is there yet, and the link stays.
  char target[PATH_MAX];
  const ssize_t length = readlink(path.c_str(), target, sizeof target);
  if (length > 0 && length < static_cast<ssize_t>(sizeof target)) {
    struct stat st;
    if (stat(path.c_str(), &st) != 0 && errno == ELOOP) return ErrnoStatus(path, ELOOP);
    const std::string to(target, length);
    return WriteFileAtomically(to[0] == '/' ? to : DirName(path) + "/" + to, data, size);
  }
  struct stat before;
  const bool replaced = stat(path.c_str(), &before) == 0;
  const std::string temporary = TemporaryName(path);
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoStatus(path, errno);
  if (replaced) (void)!fchmod(fd, before.st_mode & 0777);  // a file that others may not read stays so
  const char* p = static_cast<const char*>(data);
  size_t left = size;
  while (left > 0) {
    const ssize_t n = write(fd, p, left);
    if (n < 0) {
      if (errno == EINTR) continue;
      const int e = errno;
      close(fd);
      RemoveFile(temporary);
      return ErrnoStatus(path, e);
    }
    p += n;
    left -= n;
  }
  if (close(fd) != 0) {
    const int e = errno;
    RemoveFile(temporary);
    return ErrnoStatus(path, e);
  }
  return CommitTemporary(temporary, path);
}

Status CheckWritable(const std::string& path) {
  const std::string dir = DirName(path);
  struct stat st;
  if (path.empty()) return InvalidArgument("the output has no name");
  if (stat(dir.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
    return NotFound(dir + ": the output folder does not exist; create it first");
  }
  if (stat(path.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return InvalidArgument(path + ": is a folder, name a file");
    // The rename at the end would put a file in the place of a device.
    if (!S_ISREG(st.st_mode)) return InvalidArgument(path + ": is no ordinary file (a device or a pipe), name another one");
  }
  if (access(dir.c_str(), W_OK) != 0) return IoError(dir + ": no permission to write into the output folder");
  return Status::Ok();
}

bool FileExists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat sa, sb;
  return stat(a.c_str(), &sa) == 0 && stat(b.c_str(), &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

StatusOr<FileEnds> ReadEnds(const std::string& path, size_t piece) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, errno);
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(fd);
    return ErrnoStatus(path, S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
  }
  FileEnds ends;
  ends.size = static_cast<uint64_t>(st.st_size);
  ends.first.resize(std::min<uint64_t>(ends.size, piece));
  ends.last.resize(std::min<uint64_t>(ends.size - ends.first.size(), piece));
  const auto read_all = [&](std::string* to, uint64_t from) {
    for (size_t done = 0; done < to->size();) {
      const ssize_t n = pread(fd, &(*to)[done], to->size() - done, static_cast<off_t>(from + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno;
      if (n == 0) return EIO;  // it has become shorter meanwhile
      done += static_cast<size_t>(n);
    }
    return 0;
  };
  int error = read_all(&ends.first, 0);
  if (error == 0) error = read_all(&ends.last, ends.size - ends.last.size());
  close(fd);
  if (error != 0) return ErrnoStatus(path, error);
  return ends;
}

std::string DefaultCacheDir() {
  const auto env = [](const char* name) {
    const char* v = std::getenv(name);
    return std::string(v == nullptr ? "" : v);
  };
  std::string dir = env("MFS_CACHE");
  if (!dir.empty()) return dir;
  dir = env("XDG_CACHE_HOME");
  if (!dir.empty()) return dir + "/mobilefaceswap";
  dir = env("HOME");
  return (dir.empty() ? std::string("/tmp") : dir) + "/.cache/mobilefaceswap";
}

}  // namespace mfs
