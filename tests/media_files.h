// Where the tests find the package media that scripts/fetch.sh laid into the cache.
#ifndef MFS_TESTS_MEDIA_FILES_H_
#define MFS_TESTS_MEDIA_FILES_H_

#include <string>

#include "base/file.h"

namespace mfs {

inline std::string MediaFile(const std::string& name) { return DefaultCacheDir() + "/media/" + name; }

}  // namespace mfs

#endif  // MFS_TESTS_MEDIA_FILES_H_
