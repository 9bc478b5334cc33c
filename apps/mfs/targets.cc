#include "targets.h"

#include <dirent.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "media/picture.h"
#include "media/video_encoder.h"

namespace mfs::app {
namespace {

bool IsVideoName(const std::string& path) {
  static const std::set<std::string> kVideos = {"mp4", "m4v", "mkv", "mov", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg", "wmv", "flv", "3gp", "3g2", "ogv", "vob", "mxf", "asf", "dv", "f4v"};
  return kVideos.count(Extension(path)) > 0;
}

bool IsMedia(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && (IsVideoName(path) || IsPicture(path));
}

}  // namespace

bool IsFolder(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

bool NamesSeveral(const std::string& target) { return IsFolder(target) || (!FileExists(target) && target.find_first_of("*?[") != std::string::npos); }

StatusOr<std::vector<std::string>> ExpandTargets(const std::vector<std::string>& targets) {
  std::vector<std::string> files;
  for (const std::string& target : targets) {
    std::vector<std::string> found;
    if (IsFolder(target)) {
      DIR* d = opendir(target.c_str());
      if (d == nullptr) return IoError(target + ": the folder cannot be read");
      while (const dirent* e = readdir(d)) {
        const std::string path = target + (target.back() == '/' ? "" : "/") + e->d_name;
        if (e->d_name[0] != '.' && IsMedia(path)) found.push_back(path);
      }
      closedir(d);
      if (found.empty()) return NotFound(target + ": the folder holds no picture and no video");
    } else if (NamesSeveral(target)) {
      glob_t matches{};
      if (glob(target.c_str(), 0, nullptr, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc; ++i) {
          if (IsMedia(matches.gl_pathv[i])) found.push_back(matches.gl_pathv[i]);
        }
      }
      globfree(&matches);
      if (found.empty()) return NotFound(target + ": no picture and no video has such a name");
    } else {
      found.push_back(target);
    }
    std::sort(found.begin(), found.end());
    for (const std::string& f : found) {
      if (std::find(files.begin(), files.end(), f) == files.end()) files.push_back(f);
    }
  }
  return files;
}

std::string OutputInFolder(const std::string& target, const std::string& folder, const std::string& codec) {
  std::string name = BaseName(target);
  const auto replace = [&](const char* extension) {
    const size_t dot = name.find_last_of('.');
    name = (dot == std::string::npos || dot == 0 ? name : name.substr(0, dot)) + extension;
  };
  if (IsPicture(target)) {
    if (!IsPictureName(name)) replace(".png");
  } else {
    VideoWriteOptions options;
    options.codec = codec;
    if (!CheckVideoOutput(name, options).ok()) replace(".mkv");
  }
  return folder + (folder.back() == '/' ? "" : "/") + name;
}

}  // namespace mfs::app
