// Picture files: PNG, JPEG, WebP, TIFF, BMP (and the first frame of a GIF), with their metadata.
#ifndef MFS_MEDIA_PICTURE_H_
#define MFS_MEDIA_PICTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/frame.h"
#include "base/image.h"
#include "base/status.h"

namespace mfs {

struct PictureReadOptions {
  int64_t max_pixels = 200'000'000;  // larger pictures are refused before memory is taken
};

struct PictureWriteOptions {
  int quality = 95;  // JPEG and WebP, 1..100; from 90 on JPEG keeps the colour at full resolution (4:4:4)
  bool lossless_webp = false;
  bool mark = true;  // note in the metadata that a face-swapping tool made the picture
};

// Decoded pixels as they are stored, before the EXIF orientation: 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) interleaved
// channels of 8 or 16 bits (native endian).
struct Picture {
  int stored_width = 0, stored_height = 0, channels = 0, bits = 8;
  int orientation = 1;          // EXIF 1..8
  double dpi_x = 0, dpi_y = 0;  // pixels an inch of the stored picture; 0: not said
  // Of a PNG, in units of 1e-5, 0: not said: gamma, and x, y of white, red, green and blue. They count where there is no ICC profile.
  int32_t png_gamma = 0, png_chromaticities[8] = {};
  std::vector<uint8_t> pixels;
  std::string format;                   // "jpeg", "png", ...
  std::shared_ptr<std::string> source;  // the file's bytes, from which metadata are carried over; may be null
  bool keep_icc = true;                 // false when the colours were converted, so that the profile no longer fits
  std::vector<std::string> warnings;    // one plain line each

  FrameView View();
  bool has_alpha() const { return channels == 2 || channels == 4; }
};

// An 8-bit picture of 3 planes, RGB in [0,1].
Picture PictureOf(const ImageF& rgb);

// By content, whatever the name says. Errors: kNotFound, kCorruptData (empty, cut, not a picture), kOutOfMemory (above the
// limits), kUnsupported.
StatusOr<Picture> ReadPicture(const std::string& path, const PictureReadOptions& options = {});
StatusOr<Picture> DecodePicture(std::string bytes, const PictureReadOptions& options = {});

// By the extension of path: png, jpg, jpeg, webp, tif, tiff, bmp. Under a temporary name, then renamed. What the format cannot
// hold (alpha, 16 bits, metadata) is named in warnings.
Status WritePicture(const Picture& picture, const std::string& path, const PictureWriteOptions& options, std::vector<std::string>* warnings);

// Does the extension name a picture format that can be written?
bool IsPictureName(const std::string& path);
// Do the first bytes look like a picture that ReadPicture knows?
bool LooksLikePicture(const std::string& path);
// By its content or its name; else a target is taken for a video.
bool IsPicture(const std::string& path);

}  // namespace mfs

#endif  // MFS_MEDIA_PICTURE_H_
