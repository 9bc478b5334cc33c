// Picture formats that libavcodec reads and writes for us: BMP and GIF.
#ifndef MFS_MEDIA_AV_PICTURE_H_
#define MFS_MEDIA_AV_PICTURE_H_

#include <string>

#include "base/status.h"
#include "media/picture.h"

namespace mfs {

// format: "bmp" or "gif" (its first frame).
Status DecodeWithLibavcodec(const std::string& bytes, const std::string& format, const PictureReadOptions& options, Picture* picture);
// A 24-bit BMP of an upright RGB picture with 8 bits; the format has no orientation tag.
StatusOr<std::string> EncodeBmp(const Picture& picture);

}  // namespace mfs

#endif  // MFS_MEDIA_AV_PICTURE_H_
