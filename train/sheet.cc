#include "sheet.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/frame.h"
#include "media/picture.h"

namespace mfs::train {

ImageF PlanarFromRgb8(const uint8_t* rgb, int width, int height) {
  ImageF image(width, height, 3);
  for (size_t i = 0; i < image.plane_size(); ++i) {
    for (int c = 0; c < 3; ++c) image.plane(c)[i] = rgb[3 * i + c] / 255.0f;
  }
  return image;
}

std::vector<uint8_t> Rgb8FromPlanar(const ImageF& image) {
  std::vector<uint8_t> rgb(image.plane_size() * 3);
  for (size_t i = 0; i < image.plane_size(); ++i) {
    for (int c = 0; c < 3; ++c) rgb[3 * i + c] = static_cast<uint8_t>(std::lround(std::clamp(image.plane(std::min(c, image.channels() - 1))[i], 0.0f, 1.0f) * 255));
  }
  return rgb;
}

Status CheckSheet(const std::string& path, int columns, int rows, int cell) {
  MFS_RETURN_IF_ERROR(CheckWritable(path));
  if (!IsPictureName(path)) return InvalidArgument(path + ": unknown picture format; name it .png or .jpg");
  const std::string format = Extension(path);
  const int64_t most = format == "jpg" || format == "jpeg" ? 65500 : format == "webp" ? 16383 : INT32_MAX;
  const int64_t width = int64_t{columns} * cell, height = int64_t{rows} * cell;
  if (width <= most && height <= most) return Status::Ok();
  return InvalidArgument(path + ": " + std::to_string(width) + " x " + std::to_string(height) + " pixels are too many for this format; name it .png, or show fewer pairs");
}

Status Sheet::Save(const std::string& path) const {
  const int rows = (static_cast<int>(cells.size()) + columns - 1) / std::max(columns, 1);
  if (rows == 0) return Status::Ok();
  Picture sheet;
  sheet.stored_width = columns * cell;
  sheet.stored_height = rows * cell;
  sheet.channels = 3;
  sheet.pixels.assign(static_cast<size_t>(sheet.stored_width) * sheet.stored_height * 3, 255);
  for (size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].plane_size() == 0) continue;
    std::vector<uint8_t> rgb = Rgb8FromPlanar(cells[i]);
    if (cells[i].width() != cell || cells[i].height() != cell) {
      ImageF scaled;
      MFS_RETURN_IF_ERROR(ReadScaled(Rgb8View(rgb.data(), cells[i].width(), cells[i].height(), 3 * cells[i].width()), cell, cell, &scaled));
      rgb = Rgb8FromPlanar(scaled);
    }
    const size_t left = i % columns * cell, top = i / columns * cell;
    for (int y = 0; y < cell; ++y) {
      std::copy_n(rgb.data() + static_cast<size_t>(y) * cell * 3, cell * 3, sheet.pixels.data() + ((top + y) * sheet.stored_width + left) * 3);
    }
  }
  std::vector<std::string> warnings;
  return WritePicture(sheet, path, {}, &warnings);
}

}  // namespace mfs::train
