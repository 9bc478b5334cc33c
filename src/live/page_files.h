// The files of src/live/page/, built into the program (CMakeLists.txt makes page_files.cc of them).
#ifndef MFS_LIVE_PAGE_FILES_H_
#define MFS_LIVE_PAGE_FILES_H_

#include <cstddef>

namespace mfs {

struct PageFile {
  const char *name, *type;  // "page.css", "text/css; charset=utf-8"
  const unsigned char* data;
  size_t size;
};
extern const PageFile kPageFiles[3];

}  // namespace mfs

#endif  // MFS_LIVE_PAGE_FILES_H_
