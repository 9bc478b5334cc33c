// Room media's part that the engine knows, where it does not exist: the browser decodes pictures.
#include "media/picture.h"

namespace mfs {

FrameView Picture::View() { return {}; }

StatusOr<Picture> ReadPicture(const std::string& path, const PictureReadOptions&) { return Unsupported(path + ": this build reads no picture files; decode the picture and give its pixels"); }

}  // namespace mfs
