#include "live/identity_folder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "live/preview_encoder.h"
#include "media/picture.h"

namespace mfs {
namespace {

constexpr size_t kMost = 500;

std::string Stem(const std::string& path) {
  const std::string name = BaseName(path);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

}  // namespace

IdentityChoice ChoiceOfFile(const std::string& path) { return {Stem(path), {path}, Extension(path) == "safetensors" ? "" : path}; }

StatusOr<std::vector<IdentityChoice>> ListPeople(const std::vector<std::string>& sources, const std::string& folder) {
  std::vector<IdentityChoice> people;
  if (!sources.empty()) {
    people.push_back(ChoiceOfFile(sources[0]));
    people[0].sources = sources;
  }
  if (folder.empty()) return people;
  MFS_ASSIGN_OR_RETURN(std::vector<IdentityChoice> listed, ListIdentities(folder));
  for (IdentityChoice& choice : listed) {
    if (sources.size() != 1 || !SameFile(choice.sources[0], sources[0])) {
      people.push_back(std::move(choice));
    } else if (people[0].picture.empty()) {
      people[0].picture = choice.picture;  // the photo beside a saved identity
    }
  }
  return people;
}

StatusOr<std::vector<IdentityChoice>> ListIdentities(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) return NotFound(folder + ": this folder cannot be read");
  std::map<std::string, IdentityChoice> by_name;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string path = entries->path().string();
    const bool identity = Extension(path) == "safetensors";
    if (!identity && !IsPictureName(path)) continue;
    std::error_code ignored;
    if (!entries->is_regular_file(ignored) || BaseName(path)[0] == '.') continue;
    IdentityChoice& choice = by_name[Stem(path)];
    choice.name = Stem(path);
    if (!identity && (choice.picture.empty() || path < choice.picture)) choice.picture = path;
    if (identity) {
      choice.sources = {path};
    } else if (choice.sources.empty() || Extension(choice.sources[0]) != "safetensors") {
      choice.sources = {choice.picture};
    }
  }
  std::vector<IdentityChoice> choices;
  for (auto& [name, choice] : by_name) {
    if (choices.size() < kMost) choices.push_back(std::move(choice));
  }
  if (choices.empty()) return InvalidArgument(folder + ": holds neither identity files (.safetensors) nor photos");
  return choices;
}

StatusOr<std::string> Thumbnail(const std::string& photo, int size) {
  MFS_ASSIGN_OR_RETURN(Picture picture, ReadPicture(photo));
  const FrameView view = picture.View();
  const float side = static_cast<float>(std::min(view.width(), view.height()));
  const float left = (static_cast<float>(view.width()) - side) / 2, top = (static_cast<float>(view.height()) - side) / 4;  // heads are rather above than below
  const float scale = static_cast<float>(size) / side;
  ImageF rgb;
  MFS_RETURN_IF_ERROR(ReadWarped(view, {scale, 0, (0.5f - left) * scale - 0.5f, 0, scale, (0.5f - top) * scale - 0.5f}, size, size, &rgb));
  LiveFrame frame;
  MFS_RETURN_IF_ERROR(frame.Reset(AV_PIX_FMT_RGB24, size, size));
  for (int y = 0; y < size; ++y) {
    uint8_t* row = frame.av->data[0] + static_cast<ptrdiff_t>(y) * frame.av->linesize[0];
    for (int x = 0; x < size; ++x) {
      for (int c = 0; c < 3; ++c) row[3 * x + c] = static_cast<uint8_t>(std::lround(255 * std::clamp(rgb.row(c, y)[x], 0.0f, 1.0f)));
    }
  }
  PreviewEncoder encoder;
  return encoder.Encode(frame, size);
}

}  // namespace mfs
