// The persons that a folder offers: identity files, and photos from which an identity can be made.
#ifndef MFS_LIVE_IDENTITY_FOLDER_H_
#define MFS_LIVE_IDENTITY_FOLDER_H_

#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

struct IdentityChoice {
  std::string name;                  // the file's name without its extension
  std::vector<std::string> sources;  // the identity file, or the photos that are averaged
  std::string picture;               // path of a photo to show; empty: none
};

// By name. anna.safetensors and anna.jpg are one person, the photo shows it. At most 500 are listed. Errors: kNotFound, kInvalidArgument when
// the folder holds none.
StatusOr<std::vector<IdentityChoice>> ListIdentities(const std::string& folder);
// The same for one file.
IdentityChoice ChoiceOfFile(const std::string& path);
// Who can be chosen: first the person of `sources` (all of them together), then those of the folder, without that file. Either may be empty.
StatusOr<std::vector<IdentityChoice>> ListPeople(const std::vector<std::string>& sources, const std::string& folder);

// A square JPEG of `size` pixels of the upper middle of the photo. Errors: those of ReadPicture.
StatusOr<std::string> Thumbnail(const std::string& photo, int size);

}  // namespace mfs

#endif  // MFS_LIVE_IDENTITY_FOLDER_H_
