#include "swap/picture_swap.h"

#include "base/file.h"

namespace mfs {

StatusOr<PictureSwapReport> SwapPicture(Engine* engine, const std::string& target, const std::string& output, const PictureWriteOptions& write_options) {
  PictureSwapReport report;
  MFS_RETURN_IF_ERROR(CheckWritable(output));
  if (!IsPictureName(output)) return InvalidArgument(output + ": unknown picture format; name it .png, .jpg, .webp, .tif or .bmp");
  if (SameFile(target, output)) return InvalidArgument(output + ": input and output are the same file; choose another output");
  Picture picture;
  {
    const StageTimer timer(&report.times.decode);
    MFS_ASSIGN_OR_RETURN(picture, ReadPicture(target));
  }
  report.warnings = picture.warnings;
  FrameView view = picture.View();
  report.width = view.width();
  report.height = view.height();
  std::vector<ChosenFace> chosen;
  {
    const StageTimer timer(&report.times.detect);
    MFS_ASSIGN_OR_RETURN(const std::vector<Face> faces, engine->FindFaces(view, nullptr, Search::kEveryone));
    report.faces_found = static_cast<int>(faces.size());
    if (faces.empty()) return NoFace(target + ": no face found in the target picture; nothing was written");
    MFS_ASSIGN_OR_RETURN(chosen, engine->SelectFaces(view, faces));
    if (chosen.empty()) {
      return NoFace(target + ": none of the " + std::to_string(report.faces_found) + " faces is the reference person; a lower similarity or another reference may help. Nothing was written");
    }
  }
  for (const ChosenFace& c : chosen) {
    MFS_RETURN_IF_ERROR(engine->SwapFace(&view, c.face, &report.times, nullptr, c.identity));
    ++report.faces_swapped;
  }
  const StageTimer timer(&report.times.encode);
  MFS_RETURN_IF_ERROR(WritePicture(picture, output, write_options, &report.warnings));
  return report;
}

}  // namespace mfs
