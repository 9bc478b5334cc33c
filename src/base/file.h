// Files: whole reads, memory maps, and writes that are there completely or not at all.
#ifndef MFS_BASE_FILE_H_
#define MFS_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace mfs {

// The whole file. Errors: kNotFound, kIoError, kInvalidArgument (a folder), kOutOfMemory above max_bytes.
StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes = uint64_t{1} << 32);

// Writes under a temporary name in the same folder, syncs and renames, so that `path` holds the old content or the new
// one, never half of it. (WriteFileAtomically only: a link stays and what it leads to is written; a file that is replaced keeps its mode.) Errors: those of CheckWritable, kDiskFull, kIoError.
Status WriteFileAtomically(const std::string& path, const void* data, size_t size);

// The pieces of the same for writers that stream: a free name next to `path`, and the rename at the end.
// The temporary name keeps the extension, since muxers and codecs choose by it.
std::string TemporaryName(const std::string& path);
Status CommitTemporary(const std::string& temporary, const std::string& path);
// Removes the file if it is there; failures are of no interest.
void RemoveFile(const std::string& path);

// Can a file of this name be written? Checks the folder, and that path is none and no device or pipe. Errors: kNotFound, kInvalidArgument, kIoError.
Status CheckWritable(const std::string& path);

bool FileExists(const std::string& path);
// Both names lead to one file (links and ./ included). False when either is missing.
bool SameFile(const std::string& a, const std::string& b);
std::string BaseName(const std::string& path);
std::string DirName(const std::string& path);  // "." when there is no slash
// Lower-case extension without the dot, "" when there is none.
std::string Extension(const std::string& path);

// Status of a failed system call: kDiskFull, kNotFound or kIoError by errno_value, with the path in front.
Status ErrnoStatus(const std::string& path, int errno_value);

// The beginning and the end of a file, up to `piece` bytes each; of a short file all is in the beginning. Only regular files. Read, not mapped: a disk that goes away
// is an error, where a map would end the program. Errors: those of ReadFile.
struct FileEnds {
  uint64_t size = 0;  // of the file, bytes
  std::string first, last;
};
StatusOr<FileEnds> ReadEnds(const std::string& path, size_t piece);

// $MFS_CACHE, else $XDG_CACHE_HOME/mobilefaceswap, else $HOME/.cache/mobilefaceswap: where scripts/fetch.sh puts files.
std::string DefaultCacheDir();

}  // namespace mfs

#endif  // MFS_BASE_FILE_H_
