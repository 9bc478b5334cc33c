// Several targets of mfs swap: files, folders, patterns.
#ifndef MFS_APPS_MFS_TARGETS_H_
#define MFS_APPS_MFS_TARGETS_H_

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace mfs::app {

bool IsFolder(const std::string& path);

// Does the target name more than one file: a folder, or a pattern (*, ?, [) that is no file's name?
bool NamesSeveral(const std::string& target);

// The pictures and videos that the targets stand for, folders not searched deeper, without repetition, sorted within a folder or pattern.
// Errors: kNotFound for what stands for nothing.
StatusOr<std::vector<std::string>> ExpandTargets(const std::vector<std::string>& targets);

// Where the result of a target goes in a folder: its own name; a video whose container we cannot write becomes .mkv, a picture .png.
// codec: of the videos.
std::string OutputInFolder(const std::string& target, const std::string& folder, const std::string& codec);

}  // namespace mfs::app

#endif  // MFS_APPS_MFS_TARGETS_H_
