// Sheets of small pictures, for people to look at.
#ifndef MFS_TRAIN_SHEET_H_
#define MFS_TRAIN_SHEET_H_

#include <string>
#include <vector>

#include "base/image.h"
#include "base/status.h"

namespace mfs::train {

// Rows of RGB pictures in [0,1]; cells may be empty, and every picture is scaled to cell x cell pixels.
struct Sheet {
  int cell = 224;
  int columns = 0;
  std::vector<ImageF> cells;  // row by row
  // PNG or JPEG by the name, written whole or not at all.
  Status Save(const std::string& path) const;
};

// Can a sheet of so many cells be saved under this name? To be asked before the work on it. Errors: kInvalidArgument (an unknown format, or too large for it), those of
// CheckWritable.
Status CheckSheet(const std::string& path, int columns, int rows, int cell = 224);

// Interleaved 8-bit RGB of side x side pixels to planes in [0,1], and back.
ImageF PlanarFromRgb8(const uint8_t* rgb, int width, int height);
std::vector<uint8_t> Rgb8FromPlanar(const ImageF& image);

}  // namespace mfs::train

#endif  // MFS_TRAIN_SHEET_H_
