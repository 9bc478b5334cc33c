#include "media/picture.h"

#include <jerror.h>
#include <jpeglib.h>
#include <png.h>
#include <tiffio.h>
#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <exiv2/exiv2.hpp>
#include <iterator>
#include <limits>
#include <mutex>

#include "base/file.h"
#include "media/av_picture.h"

namespace mfs {
namespace {

Status TooLarge(int64_t w, int64_t h, const PictureReadOptions& o) {
  return OutOfMemory("the picture has " + std::to_string(w) + "x" + std::to_string(h) + " pixels, more than the limit of " + std::to_string(o.max_pixels / 1000000) +
                     " megapixels; make it smaller first");
}

Status CheckSize(int64_t w, int64_t h, const PictureReadOptions& o) {
  if (w <= 0 || h <= 0) return CorruptData("the picture has no pixels");
  if (w > o.max_pixels / h) return TooLarge(w, h, o);
  return Status::Ok();
}

// HEIC and AVIF: MP4's boxes with a brand of their own. Only to name what cannot be read.
bool IsHeif(const char* d, size_t n) {
  if (n < 12 || std::memcmp(d + 4, "ftyp", 4) != 0) return false;
  for (const char* brand : {"heic", "heix", "heim", "heis", "mif1", "msf1", "avif", "avis"}) {
    if (std::memcmp(d + 8, brand, 4) == 0) return true;
  }
  return false;
}

// ---- JPEG ----

struct JpegErrors {
  jpeg_error_mgr manager;
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};
void JpegExit(j_common_ptr info) {
  JpegErrors* e = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, e->message);
  longjmp(e->jump, 1);
}
void JpegSilence(j_common_ptr) {}
// A warning means damaged data: a cut file would otherwise come out half grey. Not so bytes too many between the segments, odd headers and a missing end mark behind a
// complete scan, which cameras and editors write.
void JpegMessage(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  const j_decompress_ptr d = reinterpret_cast<j_decompress_ptr>(info);
  // Data that end within a scan are filled up with zeros, which is a warning of its own (JWRN_HIT_MARKER); of several scans the later ones may be missing as a whole.
  const bool complete = info->is_decompressor && d->progressive_mode == FALSE && d->comps_in_scan == d->num_components;
  if (code == JWRN_JPEG_EOF && complete) return;
  if (code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR && code != JWRN_NOT_SEQUENTIAL) ++info->err->num_warnings;
}

// The function that longjmp returns to holds no C++ objects with destructors.
int DecodeJpegInner(const std::string& bytes, const PictureReadOptions& options, Picture* p, JpegErrors* errors, bool* too_large, bool* inverted) {
  jpeg_decompress_struct info;
  info.err = jpeg_std_error(&errors->manager);
  errors->manager.error_exit = JpegExit;
  errors->manager.output_message = JpegSilence;
  errors->manager.emit_message = JpegMessage;
  if (setjmp(errors->jump)) {
    jpeg_destroy_decompress(&info);
    return 1;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  p->stored_width = static_cast<int>(info.image_width);
  p->stored_height = static_cast<int>(info.image_height);
  if (static_cast<int64_t>(info.image_width) * info.image_height > options.max_pixels) {
    *too_large = true;
    jpeg_destroy_decompress(&info);
    return 0;
  }
  if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK) {
    info.out_color_space = JCS_CMYK;
  } else {
    info.out_color_space = info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  }
  *inverted = info.saw_Adobe_marker;
  const double inch = info.density_unit == 1 ? 1 : info.density_unit == 2 ? 2.54 : 0;
  if (info.saw_JFIF_marker) p->dpi_x = inch * info.X_density, p->dpi_y = inch * info.Y_density;
  jpeg_start_decompress(&info);
  p->channels = info.output_components;
  p->pixels.resize(static_cast<size_t>(info.output_width) * info.output_height * info.output_components);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = p->pixels.data() + static_cast<size_t>(info.output_scanline) * info.output_width * info.output_components;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return 0;
}

Status DecodeJpeg(const std::string& bytes, const PictureReadOptions& options, Picture* p) {
  JpegErrors errors;
  bool too_large = false, inverted = false;
  const int failed = DecodeJpegInner(bytes, options, p, &errors, &too_large, &inverted);
  if (too_large) return TooLarge(p->stored_width, p->stored_height, options);
  if (failed) return CorruptData(std::string("the JPEG is damaged: ") + errors.message);
  if (errors.manager.num_warnings > 0) return CorruptData("the JPEG is cut or damaged");
  if (p->channels == 4) {  // CMYK, by the plain rule; Adobe stores it inverted
    const size_t n = p->pixels.size() / 4;
    for (size_t i = 0; i < n; ++i) {
      const uint8_t* s = &p->pixels[4 * i];
      const int k = inverted ? s[3] : 255 - s[3];
      for (int c = 0; c < 3; ++c) p->pixels[3 * i + c] = static_cast<uint8_t>(((inverted ? s[c] : 255 - s[c]) * k + 127) / 255);
    }
    p->pixels.resize(3 * n);
    p->channels = 3;
    p->keep_icc = false;
    p->warnings.push_back("CMYK colours were converted to RGB without their colour profile");
  }
  return Status::Ok();
}

int EncodeJpegInner(const Picture& p, const uint8_t* pixels, int channels, int quality, JpegErrors* errors, unsigned char** out, unsigned long* size) {
  jpeg_compress_struct info;
  info.err = jpeg_std_error(&errors->manager);
  errors->manager.error_exit = JpegExit;
  errors->manager.output_message = JpegSilence;
  if (setjmp(errors->jump)) {
    jpeg_destroy_compress(&info);
    return 1;
  }
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, out, size);
  info.image_width = p.stored_width;
  info.image_height = p.stored_height;
  info.input_components = channels;
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.optimize_coding = TRUE;
  if (p.dpi_x >= 1 && p.dpi_y >= 1 && p.dpi_x < 65535 && p.dpi_y < 65535) {
    info.density_unit = 1;
    info.X_density = static_cast<UINT16>(std::lround(p.dpi_x)), info.Y_density = static_cast<UINT16>(std::lround(p.dpi_y));
  }
  if (channels == 3 && quality >= 90) info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(pixels + static_cast<size_t>(info.next_scanline) * p.stored_width * channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  return 0;
}

// ---- PNG ----

constexpr double kMetresPerInch = 0.0254;

struct PngInput {
  const std::string* bytes;
  size_t at;
};
struct PngError {
  char message[128] = "";
};
void PngFail(png_structp png, png_const_charp message) {
  PngError* e = static_cast<PngError*>(png_get_error_ptr(png));
  snprintf(e->message, sizeof e->message, "%s", message);
  longjmp(png_jmpbuf(png), 1);
}
void PngQuiet(png_structp, png_const_charp) {}
void PngRead(png_structp png, png_bytep out, size_t n) {
  PngInput* in = static_cast<PngInput*>(png_get_io_ptr(png));
  if (in->bytes->size() - in->at < n) png_error(png, "it is cut");
  std::memcpy(out, in->bytes->data() + in->at, n);
  in->at += n;
}

int DecodePngInner(png_structp png, png_infop info, const PictureReadOptions& options, Picture* p, std::vector<png_bytep>* rows, bool* too_large) {
  if (setjmp(png_jmpbuf(png))) return 1;
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
  png_read_info(png, info);
  const png_uint_32 w = png_get_image_width(png, info), h = png_get_image_height(png, info);
  p->stored_width = static_cast<int>(w);
  p->stored_height = static_cast<int>(h);
  if (static_cast<int64_t>(w) > options.max_pixels / h) {
    *too_large = true;
    return 0;
  }
  p->dpi_x = png_get_x_pixels_per_meter(png, info) * kMetresPerInch, p->dpi_y = png_get_y_pixels_per_meter(png, info) * kMetresPerInch;
  png_get_gAMA_fixed(png, info, &p->png_gamma);
  int32_t* const c = p->png_chromaticities;
  if (!png_get_cHRM_fixed(png, info, c, c + 1, c + 2, c + 3, c + 4, c + 5, c + 6, c + 7)) std::fill_n(c, 8, 0);
  png_set_expand(png);                                        // palette to RGB, 1..4 bits to 8, transparency to alpha
  if (png_get_bit_depth(png, info) == 16) png_set_swap(png);  // little-endian machines; big-endian ones are not supported
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  p->channels = png_get_channels(png, info);
  p->bits = png_get_bit_depth(png, info);
  const size_t stride = png_get_rowbytes(png, info);
  p->pixels.resize(stride * h);
  rows->resize(h);
  for (png_uint_32 y = 0; y < h; ++y) (*rows)[y] = p->pixels.data() + y * stride;
  png_read_image(png, rows->data());
  png_read_end(png, nullptr);
  return 0;
}

Status DecodePng(const std::string& bytes, const PictureReadOptions& options, Picture* p) {
  PngError error;
  PngInput input{&bytes, 0};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &error, PngFail, PngQuiet);
  if (png == nullptr) return OutOfMemory("not enough memory for the PNG");
  png_infop info = png_create_info_struct(png);
  png_set_read_fn(png, &input, PngRead);
  std::vector<png_bytep> rows;
  bool too_large = false;
  const int failed = DecodePngInner(png, info, options, p, &rows, &too_large);
  png_destroy_read_struct(&png, &info, nullptr);
  if (too_large) return TooLarge(p->stored_width, p->stored_height, options);
  if (failed) return CorruptData(std::string("the PNG is damaged: ") + error.message);
  if (bytes.find("acTL") < 200) p->warnings.push_back("animated picture: only its first frame is used");
  return Status::Ok();
}

void PngWrite(png_structp png, png_bytep data, size_t n) { static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<char*>(data), n); }
void PngFlush(png_structp) {}

int EncodePngInner(png_structp png, png_infop info, const Picture& p, const std::string& icc, std::string* out) {
  if (setjmp(png_jmpbuf(png))) return 1;
  png_set_write_fn(png, out, PngWrite, PngFlush);
  static const int kTypes[5] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
  png_set_IHDR(png, info, p.stored_width, p.stored_height, p.bits, kTypes[p.channels], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  // A profile that libpng finds wrong (grey profile on colours, damage) is only worth a warning.
  png_set_benign_errors(png, 1);
  if (!icc.empty()) {
    png_set_iCCP(png, info, "ICC profile", PNG_COMPRESSION_TYPE_BASE, reinterpret_cast<png_const_bytep>(icc.data()), static_cast<png_uint_32>(icc.size()));
  } else {
    const int32_t* const c = p.png_chromaticities;
    if (p.png_gamma > 0) png_set_gAMA_fixed(png, info, p.png_gamma);
    if (c[1] > 0) png_set_cHRM_fixed(png, info, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
  }
  if (p.dpi_x > 0 && p.dpi_y > 0) {
    png_set_pHYs(png, info, static_cast<png_uint_32>(std::lround(p.dpi_x / kMetresPerInch)), static_cast<png_uint_32>(std::lround(p.dpi_y / kMetresPerInch)), PNG_RESOLUTION_METER);
  }
  png_set_compression_level(png, 4);  // within a few percent of 9 at a fifth of the time
  png_write_info(png, info);
  if (p.bits == 16) png_set_swap(png);
  const size_t stride = static_cast<size_t>(p.stored_width) * p.channels * (p.bits / 8);
  for (int y = 0; y < p.stored_height; ++y) png_write_row(png, const_cast<png_bytep>(p.pixels.data() + y * stride));
  png_write_end(png, nullptr);
  return 0;
}

StatusOr<std::string> EncodePng(const Picture& p, const std::string& icc) {
  PngError error;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &error, PngFail, PngQuiet);
  if (png == nullptr) return OutOfMemory("not enough memory for the PNG");
  png_infop info = png_create_info_struct(png);
  std::string out;
  const int failed = EncodePngInner(png, info, p, icc, &out);
  png_destroy_write_struct(&png, &info);
  if (failed) return Internal(std::string("the PNG could not be written: ") + error.message);
  return out;
}

// ---- WebP ----

Status DecodeWebp(const std::string& bytes, const PictureReadOptions& options, Picture* p) {
  const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK) return CorruptData("the WebP is cut or damaged");
  MFS_RETURN_IF_ERROR(CheckSize(features.width, features.height, options));
  p->stored_width = features.width;
  p->stored_height = features.height;
  p->channels = features.has_alpha ? 4 : 3;
  const int stride = p->stored_width * p->channels;
  p->pixels.resize(static_cast<size_t>(stride) * p->stored_height);
  if (features.has_animation) {
    WebPAnimDecoderOptions decoder_options;
    WebPAnimDecoderOptionsInit(&decoder_options);
    const WebPData webp{data, bytes.size()};
    WebPAnimDecoder* decoder = WebPAnimDecoderNew(&webp, &decoder_options);
    uint8_t* frame = nullptr;
    int timestamp = 0;
    const bool ok = decoder != nullptr && WebPAnimDecoderGetNext(decoder, &frame, &timestamp);
    if (ok) {
      p->channels = 4;
      p->pixels.assign(frame, frame + static_cast<size_t>(4) * p->stored_width * p->stored_height);
    }
    if (decoder != nullptr) WebPAnimDecoderDelete(decoder);
    if (!ok) return CorruptData("the animated WebP is cut or damaged");
    p->warnings.push_back("animated picture: only its first frame is used");
    return Status::Ok();
  }
  const uint8_t* ok =
      features.has_alpha ? WebPDecodeRGBAInto(data, bytes.size(), p->pixels.data(), p->pixels.size(), stride) : WebPDecodeRGBInto(data, bytes.size(), p->pixels.data(), p->pixels.size(), stride);
  return ok == nullptr ? CorruptData("the WebP is cut or damaged") : Status::Ok();
}

// ---- TIFF ----

struct TiffMemory {
  std::string bytes;
  uint64_t at = 0;
};
tmsize_t TiffRead(thandle_t h, void* out, tmsize_t n) {
  TiffMemory* m = static_cast<TiffMemory*>(h);
  const uint64_t left = m->at < m->bytes.size() ? m->bytes.size() - m->at : 0;
  const uint64_t count = std::min<uint64_t>(left, n);
  std::memcpy(out, m->bytes.data() + m->at, count);
  m->at += count;
  return static_cast<tmsize_t>(count);
}
tmsize_t TiffWrite(thandle_t h, void* data, tmsize_t n) {
  TiffMemory* m = static_cast<TiffMemory*>(h);
  if (m->bytes.size() < m->at + n) m->bytes.resize(m->at + n);
  std::memcpy(&m->bytes[m->at], data, n);
  m->at += n;
  return n;
}
toff_t TiffSeek(thandle_t h, toff_t offset, int whence) {
  TiffMemory* m = static_cast<TiffMemory*>(h);
  m->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? m->at + offset : m->bytes.size() + offset;
  return m->at;
}
int TiffClose(thandle_t) { return 0; }
toff_t TiffSize(thandle_t h) { return static_cast<TiffMemory*>(h)->bytes.size(); }

TIFF* OpenTiff(TiffMemory* memory, const char* mode) {
  // libtiff's handlers belong to the whole process; its messages would go to the terminal otherwise.
  static std::once_flag once;
  std::call_once(once, [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
  });
  return TIFFClientOpen("memory", mode, memory, TiffRead, TiffWrite, TiffSeek, TiffClose, TiffSize, nullptr, nullptr);
}

// Colours that were multiplied by alpha, as they were before.
template <typename Sample>
void DivideByAlpha(Sample* s, size_t pixels, int channels) {
  constexpr uint32_t peak = std::numeric_limits<Sample>::max();
  for (size_t i = 0; i < pixels; ++i, s += channels) {
    const uint32_t a = s[channels - 1];
    if (a == 0 || a == peak) continue;
    for (int c = 0; c + 1 < channels; ++c) s[c] = static_cast<Sample>(std::min<uint64_t>(peak, (uint64_t{s[c]} * peak + a / 2) / a));
  }
}
void DivideByAlpha(Picture* p) {
  const size_t pixels = static_cast<size_t>(p->stored_width) * p->stored_height;
  if (p->bits == 16) {
    DivideByAlpha(reinterpret_cast<uint16_t*>(p->pixels.data()), pixels, p->channels);
  } else {
    DivideByAlpha(p->pixels.data(), pixels, p->channels);
  }
}

Status DecodeTiff(const std::string& bytes, const PictureReadOptions& options, Picture* p) {
  TiffMemory memory{bytes, 0};
  TIFF* tif = OpenTiff(&memory, "rm");
  if (tif == nullptr) return CorruptData("the TIFF is cut or damaged");
  const std::unique_ptr<TIFF, void (*)(TIFF*)> closer(tif, TIFFClose);
  uint32_t w = 0, h = 0;
  uint16_t bits = 1, samples = 1, photometric = 0, planar = PLANARCONFIG_CONTIG, orientation = 1, format = SAMPLEFORMAT_UINT;
  TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, &w);
  TIFFGetField(tif, TIFFTAG_IMAGELENGTH, &h);
  TIFFGetFieldDefaulted(tif, TIFFTAG_BITSPERSAMPLE, &bits);
  TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &samples);
  TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &photometric);
  TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &planar);
  TIFFGetFieldDefaulted(tif, TIFFTAG_ORIENTATION, &orientation);
  TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLEFORMAT, &format);
  uint16_t unit = RESUNIT_NONE;
  float dpi_x = 0, dpi_y = 0;
  TIFFGetFieldDefaulted(tif, TIFFTAG_RESOLUTIONUNIT, &unit);
  if (unit != RESUNIT_NONE && TIFFGetField(tif, TIFFTAG_XRESOLUTION, &dpi_x) && TIFFGetField(tif, TIFFTAG_YRESOLUTION, &dpi_y)) {
    const double inch = unit == RESUNIT_CENTIMETER ? 2.54 : 1;
    p->dpi_x = inch * dpi_x, p->dpi_y = inch * dpi_y;
  }
  MFS_RETURN_IF_ERROR(CheckSize(w, h, options));
  p->stored_width = static_cast<int>(w);
  p->stored_height = static_cast<int>(h);
  if (orientation >= 1 && orientation <= 8) p->orientation = orientation;
  uint16_t extra_count = 0;
  const uint16_t* extra = nullptr;
  TIFFGetFieldDefaulted(tif, TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
  const uint16_t alpha_kind = extra_count > 0 ? extra[0] : uint16_t{EXTRASAMPLE_UNSPECIFIED};
  const bool plain = planar == PLANARCONFIG_CONTIG && !TIFFIsTiled(tif) && (bits == 8 || bits == 16) && format == SAMPLEFORMAT_UINT &&
                     ((photometric == PHOTOMETRIC_RGB && (samples == 3 || samples == 4)) || (photometric == PHOTOMETRIC_MINISBLACK && (samples == 1 || samples == 2)));
  if (plain) {
    p->channels = samples;
    p->bits = bits;
    const size_t stride = static_cast<size_t>(w) * samples * (bits / 8);
    if (static_cast<size_t>(TIFFScanlineSize64(tif)) != stride) return CorruptData("the TIFF is damaged");
    p->pixels.resize(stride * h);
    for (uint32_t y = 0; y < h; ++y) {
      if (TIFFReadScanline(tif, p->pixels.data() + y * stride, y, 0) < 0) return CorruptData("the TIFF is cut or damaged");
    }
  } else {
    std::vector<uint32_t> raster(static_cast<size_t>(w) * h);
    if (!TIFFReadRGBAImageOriented(tif, w, h, raster.data(), orientation, 1)) {
      return CorruptData("the TIFF is cut, damaged or of a kind that libtiff cannot read");
    }
    p->channels = photometric == PHOTOMETRIC_RGB && samples == 4 ? 4 : 3;
    p->pixels.resize(raster.size() * p->channels);
    for (size_t i = 0; i < raster.size(); ++i) {
      const uint32_t v = raster[i];
      const uint8_t rgba[4] = {uint8_t(TIFFGetR(v)), uint8_t(TIFFGetG(v)), uint8_t(TIFFGetB(v)), uint8_t(TIFFGetA(v))};
      std::memcpy(&p->pixels[i * p->channels], rgba, p->channels);
    }
    if (photometric == PHOTOMETRIC_SEPARATED) p->keep_icc = false, p->warnings.push_back("CMYK colours were converted to RGB without their colour profile");
    if (bits > 8) p->warnings.push_back("this kind of TIFF is read with 8 bits a channel");
  }
  // TIFFReadRGBAImage hands out colours times alpha, whatever the file holds.
  if (p->has_alpha() && (alpha_kind == EXTRASAMPLE_ASSOCALPHA || (!plain && alpha_kind == EXTRASAMPLE_UNASSALPHA))) DivideByAlpha(p);
  if (TIFFReadDirectory(tif)) p->warnings.push_back("the TIFF has several pages: only the first is used");
  return Status::Ok();
}

StatusOr<std::string> EncodeTiff(const Picture& p) {
  TiffMemory memory;
  TIFF* tif = OpenTiff(&memory, "w");
  if (tif == nullptr) return Internal("the TIFF could not be started");
  const std::unique_ptr<TIFF, void (*)(TIFF*)> closer(tif, TIFFClose);
  TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, p.stored_width);
  TIFFSetField(tif, TIFFTAG_IMAGELENGTH, p.stored_height);
  TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, p.bits);
  TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, p.channels);
  TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, p.channels <= 2 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB);
  TIFFSetField(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tif, TIFFTAG_ORIENTATION, p.orientation);
  if (p.dpi_x > 0 && p.dpi_y > 0) {
    TIFFSetField(tif, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
    TIFFSetField(tif, TIFFTAG_XRESOLUTION, p.dpi_x);
    TIFFSetField(tif, TIFFTAG_YRESOLUTION, p.dpi_y);
  }
  TIFFSetField(tif, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
  TIFFSetField(tif, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
  TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, TIFFDefaultStripSize(tif, 0));
  if (p.has_alpha()) {
    const uint16_t extra = EXTRASAMPLE_UNASSALPHA;
    TIFFSetField(tif, TIFFTAG_EXTRASAMPLES, 1, &extra);
  }
  const size_t stride = static_cast<size_t>(p.stored_width) * p.channels * (p.bits / 8);
  std::vector<uint8_t> row(stride);  // the predictor works in place
  for (int y = 0; y < p.stored_height; ++y) {
    std::memcpy(row.data(), p.pixels.data() + y * stride, stride);
    if (TIFFWriteScanline(tif, row.data(), y, 0) < 0) return Internal("the TIFF could not be written");
  }
  if (!TIFFFlush(tif)) return Internal("the TIFF could not be written");
  return memory.bytes;
}

// ---- metadata ----

constexpr char kNote[] = "generated with a face-swapping tool (MobileFaceSwap)";

// Exiv2's table of XMP namespaces is one for the process and has no lock of its own: engines on other threads read and write metadata, too.
std::mutex& Exiv2Mutex() {
  static std::mutex mutex;
  return mutex;
}

void PrepareExiv2() {
  // Both belong to the whole process; Exiv2 would write its warnings to the terminal.
  static std::once_flag once;
  std::call_once(once, [] {
    Exiv2::LogMsg::setLevel(Exiv2::LogMsg::mute);
    Exiv2::XmpParser::initialize();
  });
}

auto OpenExiv2(const std::string& bytes) { return Exiv2::ImageFactory::open(reinterpret_cast<const Exiv2::byte*>(bytes.data()), bytes.size()); }

// Debian 12 has Exiv2 0.27, Debian 13 has 0.28 with other names.
#if EXIV2_TEST_VERSION(0, 28, 0)
std::string BytesOf(const Exiv2::DataBuf& b) { return std::string(b.c_str(), b.size()); }
long NumberOf(const Exiv2::Exifdatum& d) { return static_cast<long>(d.toInt64()); }
void SetProfile(Exiv2::Image* image, const std::string& bytes) { image->setIccProfile(Exiv2::DataBuf(reinterpret_cast<const Exiv2::byte*>(bytes.data()), bytes.size())); }
#else
std::string BytesOf(const Exiv2::DataBuf& b) { return std::string(reinterpret_cast<const char*>(b.pData_), b.size_); }
std::string BytesOf(const Exiv2::DataBuf* b) { return BytesOf(*b); }
long NumberOf(const Exiv2::Exifdatum& d) { return d.toLong(); }
void SetProfile(Exiv2::Image* image, const std::string& bytes) {
  Exiv2::DataBuf profile(reinterpret_cast<const Exiv2::byte*>(bytes.data()), static_cast<long>(bytes.size()));
  image->setIccProfile(profile);
}
#endif

int ReadOrientation(const std::string& bytes) {
  const std::lock_guard<std::mutex> lock(Exiv2Mutex());
  PrepareExiv2();
  try {
    auto image = OpenExiv2(bytes);
    image->readMetadata();
    const auto& exif = image->exifData();
    const auto it = exif.findKey(Exiv2::ExifKey("Exif.Image.Orientation"));
    if (it != exif.end()) {
      const long v = NumberOf(*it);
      if (v >= 1 && v <= 8) return static_cast<int>(v);
    }
  } catch (...) {
    // No or damaged metadata: the picture is shown as it is stored.
  }
  return 1;
}

// The source's colour profile, "" when it has none or it no longer fits.
std::string SourceIccProfile(const Picture& p) {
  if (p.source == nullptr || !p.keep_icc) return "";
  const std::lock_guard<std::mutex> lock(Exiv2Mutex());
  PrepareExiv2();
  try {
    auto in = OpenExiv2(*p.source);
    in->readMetadata();
    if (in->iccProfileDefined()) return BytesOf(in->iccProfile());
  } catch (...) {
    // Named by AttachMetadata.
  }
  return "";
}

// Carries the source's metadata over into the encoded picture and adds the mark.
std::string AttachMetadata(const Picture& p, const std::string& encoded, const PictureWriteOptions& options, std::vector<std::string>* warnings) {
  const std::lock_guard<std::mutex> lock(Exiv2Mutex());
  PrepareExiv2();
  try {
    auto out = OpenExiv2(encoded);
    out->readMetadata();
    if (p.source != nullptr) {
      try {
        auto in = OpenExiv2(*p.source);
        in->readMetadata();
        Exiv2::ExifData exif = in->exifData();
        if (p.format == "tiff") {
          // The layout tags of the old file would break the new one.
          for (auto it = exif.begin(); it != exif.end();) {
            const std::string key = it->key();
            const uint16_t tag = it->tag();
            const bool layout = it->groupName() != "Image" ? it->groupName().find("SubImage") == 0 || it->groupName() == "Image2"
                                                           : (tag >= 0x00fe && tag <= 0x0107) || tag == 0x0111 || (tag >= 0x0115 && tag <= 0x0119) || tag == 0x011c ||
                                                                 (tag >= 0x013d && tag <= 0x0145) || tag == 0x014a || tag == 0x0152 || tag == 0x0153;
            // Photoshop's layers and its preview still show the face as it was.
            const bool layers = it->groupName() == "Image" && (tag == 0x8649 || tag == 0x935c);
            it = layout || layers ? exif.erase(it) : std::next(it);
          }
        }
        if (dynamic_cast<Exiv2::TiffImage*>(out.get()) != nullptr) {
          for (const auto& datum : exif) out->exifData()[datum.key()] = datum.value();
        } else {
          out->setExifData(exif);
        }
        // The preview inside would still show the face as it was.
        Exiv2::ExifThumb(out->exifData()).erase();
        out->setXmpData(in->xmpData());
        for (auto it = out->xmpData().begin(); it != out->xmpData().end();) it = it->key().find("Xmp.xmp.Thumbnails") == 0 ? out->xmpData().erase(it) : std::next(it);
        out->setIptcData(in->iptcData());
        // Exiv2 0.27 writes a PNG profile that other programs refuse; EncodePng has set it already.
        if (p.keep_icc && in->iccProfileDefined() && dynamic_cast<Exiv2::PngImage*>(out.get()) == nullptr) {
          SetProfile(out.get(), BytesOf(in->iccProfile()));
        }
      } catch (const std::exception&) {
        warnings->push_back("the source's metadata could not be read and were left out");
      }
    }
    const bool told = out->exifData().findKey(Exiv2::ExifKey("Exif.Image.Orientation")) != out->exifData().end();
    if (told || p.orientation != 1) out->exifData()["Exif.Image.Orientation"] = static_cast<uint16_t>(p.orientation);
    if (auto xmp = out->xmpData().findKey(Exiv2::XmpKey("Xmp.tiff.Orientation")); xmp != out->xmpData().end()) xmp->setValue(std::to_string(p.orientation));
    const auto mark = [&] {
      if (!options.mark) return;
      out->xmpData()["Xmp.iptcExt.DigitalSourceType"] = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
      out->xmpData()["Xmp.xmp.CreatorTool"] = "MobileFaceSwap";
      if (out->xmpData().findKey(Exiv2::XmpKey("Xmp.dc.description")) == out->xmpData().end()) out->xmpData()["Xmp.dc.description"] = kNote;
      if (out->exifData().findKey(Exiv2::ExifKey("Exif.Image.ImageDescription")) == out->exifData().end()) {
        out->exifData()["Exif.Image.ImageDescription"] = kNote;
      }
    };
    mark();
    if (out->exifData().empty() && out->xmpData().empty() && out->iptcData().empty() && !out->iccProfileDefined()) return encoded;
    try {
      out->writeMetadata();
    } catch (const std::exception& e) {
      // A JPEG takes 64 KB of XMP. Orientation, colours and the mark matter more.
      out->clearXmpData(), out->clearIptcData();
      mark();
      out->writeMetadata();
      warnings->push_back("XMP and IPTC metadata could not be written and were left out (" + std::string(e.what()) + ")");
    }
    Exiv2::BasicIo& io = out->io();
    io.open();
    return BytesOf(io.read(io.size()));
  } catch (const std::exception& e) {
    warnings->push_back("metadata could not be written (" + std::string(e.what()) + ")");
    return encoded;
  }
}

// 16 to 8 bits, rounded.
Picture To8Bits(const Picture& p) {
  Picture q = p;
  q.bits = 8;
  q.pixels.resize(p.pixels.size() / 2);
  for (size_t i = 0; i < q.pixels.size(); ++i) {
    uint16_t v;
    std::memcpy(&v, &p.pixels[2 * i], 2);
    q.pixels[i] = static_cast<uint8_t>((v + 128) / 257);
  }
  return q;
}

// The pixels as they are shown, orientation 1.
Picture Upright(const Picture& p) {
  Picture q = p;
  const FrameView view = q.View();
  const Affine stored = StoredFromDisplay(view);
  const size_t bytes = static_cast<size_t>(p.channels) * p.bits / 8;
  q.stored_width = view.width(), q.stored_height = view.height(), q.orientation = 1;
  if (p.orientation >= 5) std::swap(q.dpi_x, q.dpi_y);
  for (int y = 0; y < view.height(); ++y) {
    for (int x = 0; x < view.width(); ++x) {
      const Point at = stored.Apply({static_cast<float>(x), static_cast<float>(y)});
      const size_t i = std::lround(at.y) * static_cast<size_t>(p.stored_width) + std::lround(at.x);
      std::memcpy(&q.pixels[(y * static_cast<size_t>(view.width()) + x) * bytes], &p.pixels[i * bytes], bytes);
    }
  }
  return q;
}

Picture WithChannels(const Picture& p, int channels) {
  Picture q = p;
  const size_t n = static_cast<size_t>(p.stored_width) * p.stored_height;
  q.channels = channels;
  q.pixels.resize(n * channels);
  for (size_t i = 0; i < n; ++i) {
    for (int c = 0; c < channels; ++c) {
      const uint8_t* s = &p.pixels[i * p.channels];
      q.pixels[i * channels + c] = p.channels <= 2 ? (c < 3 && !(channels == 2 && c == 1) ? s[0] : s[1]) : s[c];
    }
  }
  return q;
}

}  // namespace

FrameView Picture::View() {
  FrameView v;
  const int bytes = bits / 8;
  v.bits = bits;
  v.stored_width = stored_width;
  v.stored_height = stored_height;
  v.orientation = orientation;
  v.model = channels <= 2 ? ColorModel::kGray : ColorModel::kRgb;
  for (int c = 0; c < v.num_components(); ++c) {
    v.component[c] = {pixels.data() + c * bytes, static_cast<ptrdiff_t>(stored_width) * channels * bytes, channels * bytes, 0, 0};
  }
  return v;
}

StatusOr<Picture> DecodePicture(std::string bytes, const PictureReadOptions& options) {
  Picture p;
  const auto starts = [&](const char* magic, size_t n, size_t at = 0) { return bytes.size() >= at + n && std::memcmp(bytes.data() + at, magic, n) == 0; };
  if (bytes.empty()) return CorruptData("the file is empty");
  Status status;
  if (starts("\xff\xd8\xff", 3)) {
    p.format = "jpeg";
    status = DecodeJpeg(bytes, options, &p);
  } else if (starts("\x89PNG\r\n\x1a\n", 8)) {
    p.format = "png";
    status = DecodePng(bytes, options, &p);
  } else if (starts("RIFF", 4) && starts("WEBP", 4, 8)) {
    p.format = "webp";
    status = DecodeWebp(bytes, options, &p);
  } else if (starts("II*\0", 4) || starts("MM\0*", 4)) {
    p.format = "tiff";
    status = DecodeTiff(bytes, options, &p);
  } else if (starts("BM", 2) || starts("GIF8", 4)) {
    p.format = bytes[0] == 'B' ? "bmp" : "gif";
    status = DecodeWithLibavcodec(bytes, p.format, options, &p);
  } else if (IsHeif(bytes.data(), bytes.size())) {
    return Unsupported("HEIC and AVIF pictures cannot be read; save it as JPEG or PNG first");
  } else {
    return CorruptData("this is no PNG, JPEG, WebP, TIFF, BMP or GIF picture");
  }
  MFS_RETURN_IF_ERROR(status);
  if (!std::isfinite(p.dpi_x) || !std::isfinite(p.dpi_y) || p.dpi_x > 1e6 || p.dpi_y > 1e6) p.dpi_x = p.dpi_y = 0;
  if (p.format != "tiff") p.orientation = ReadOrientation(bytes);
  p.source = std::make_shared<std::string>(std::move(bytes));
  return p;
}

Picture PictureOf(const ImageF& rgb) {
  Picture p;
  p.stored_width = rgb.width(), p.stored_height = rgb.height(), p.channels = 3;
  p.pixels.resize(rgb.plane_size() * 3);
  for (int c = 0; c < 3; ++c) {
    for (size_t i = 0; i < rgb.plane_size(); ++i) p.pixels[i * 3 + c] = static_cast<uint8_t>(std::clamp(rgb.plane(c)[i], 0.0f, 1.0f) * 255 + 0.5f);
  }
  return p;
}

StatusOr<Picture> ReadPicture(const std::string& path, const PictureReadOptions& options) {
  MFS_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  auto p = DecodePicture(std::move(bytes), options);
  if (!p.ok()) return p.status().WithPrefix(path + ": ");
  return p;
}

Status WritePicture(const Picture& picture, const std::string& path, const PictureWriteOptions& options, std::vector<std::string>* warnings) {
  MFS_RETURN_IF_ERROR(CheckWritable(path));
  if (options.quality < 1 || options.quality > 100) return InvalidArgument("the quality must be 1 to 100");
  const std::string ext = Extension(path);
  Picture converted;
  const Picture* p = &picture;
  const auto replace = [&](Picture q) {
    converted = std::move(q);
    p = &converted;
  };
  std::string encoded;
  // BMP has no orientation, and few programs look at that of a PNG or WebP.
  if (p->orientation != 1 && (ext == "bmp" || ((ext == "png" || ext == "webp") && p->format != ext))) replace(Upright(*p));
  if (ext != "png" && ext != "tif" && ext != "tiff" && p->bits == 16) {
    replace(To8Bits(*p));
    warnings->push_back("." + ext + " holds 8 bits a channel; the picture had 16");
  }
  if (ext == "jpg" || ext == "jpeg") {
    if (p->has_alpha()) {
      replace(WithChannels(*p, p->channels - 1));
      warnings->push_back("JPEG has no transparency; it was dropped (write PNG or WebP to keep it)");
    }
    if (p->stored_width > 65500 || p->stored_height > 65500) return InvalidArgument(path + ": too large for JPEG; choose .png");
    JpegErrors errors;
    unsigned char* out = nullptr;
    unsigned long size = 0;
    const int failed = EncodeJpegInner(*p, p->pixels.data(), p->channels, options.quality, &errors, &out, &size);
    if (!failed) encoded.assign(reinterpret_cast<char*>(out), size);
    free(out);
    if (failed) return Internal(path + ": the JPEG could not be made: " + errors.message);
  } else if (ext == "png") {
    MFS_ASSIGN_OR_RETURN(encoded, EncodePng(*p, SourceIccProfile(*p)));
  } else if (ext == "webp") {
    if (p->stored_width > 16383 || p->stored_height > 16383) return InvalidArgument(path + ": too large for WebP; choose .png");
    if (p->channels <= 2) replace(WithChannels(*p, p->channels + 2));
    uint8_t* out = nullptr;
    const int stride = p->stored_width * p->channels;
    size_t size;
    if (options.lossless_webp) {
      size = p->channels == 4 ? WebPEncodeLosslessRGBA(p->pixels.data(), p->stored_width, p->stored_height, stride, &out)
                              : WebPEncodeLosslessRGB(p->pixels.data(), p->stored_width, p->stored_height, stride, &out);
    } else {
      const float quality = static_cast<float>(options.quality);
      size = p->channels == 4 ? WebPEncodeRGBA(p->pixels.data(), p->stored_width, p->stored_height, stride, quality, &out)
                              : WebPEncodeRGB(p->pixels.data(), p->stored_width, p->stored_height, stride, quality, &out);
    }
    if (size == 0) return Internal(path + ": the WebP could not be made");
    encoded.assign(reinterpret_cast<char*>(out), size);
    WebPFree(out);
  } else if (ext == "tif" || ext == "tiff") {
    MFS_ASSIGN_OR_RETURN(encoded, EncodeTiff(*p));
  } else if (ext == "bmp") {
    if (p->channels <= 2) replace(WithChannels(*p, 3));
    if (p->channels == 4) {
      replace(WithChannels(*p, 3));
      warnings->push_back("BMP has no transparency; it was dropped");
    }
    MFS_ASSIGN_OR_RETURN(encoded, EncodeBmp(*p));
    warnings->push_back(std::string("BMP holds no metadata; ") + (options.mark ? "the note that the picture is synthetic could not be written" : "they were dropped"));
    return WriteFileAtomically(path, encoded.data(), encoded.size());
  } else {
    return InvalidArgument(path + ": unknown picture format; name it .png, .jpg, .webp, .tif or .bmp");
  }
  constexpr int32_t kSrgbGamma = 45455;
  if (ext != "png" && p->png_gamma > 0 && std::abs(p->png_gamma - kSrgbGamma) > 2000 && SourceIccProfile(*p).empty()) {
    warnings->push_back("the PNG's own gamma cannot be said in this format, colours will look different; write .png");
  }
  encoded = AttachMetadata(*p, encoded, options, warnings);
  return WriteFileAtomically(path, encoded.data(), encoded.size());
}

bool IsPictureName(const std::string& path) {
  const std::string ext = Extension(path);
  for (const char* known : {"png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"}) {
    if (ext == known) return true;
  }
  return false;
}

bool IsPicture(const std::string& path) { return LooksLikePicture(path) || IsPictureName(path); }

bool LooksLikePicture(const std::string& path) {
  const auto file = ReadEnds(path, 12);
  if (!file.ok() || file->first.size() < 12) return false;
  const char* d = file->first.data();
  return std::memcmp(d, "\xff\xd8\xff", 3) == 0 || std::memcmp(d, "\x89PNG", 4) == 0 || (std::memcmp(d, "RIFF", 4) == 0 && std::memcmp(d + 8, "WEBP", 4) == 0) || std::memcmp(d, "II*\0", 4) == 0 ||
         std::memcmp(d, "MM\0*", 4) == 0 || std::memcmp(d, "BM", 2) == 0 || std::memcmp(d, "GIF8", 4) == 0 || IsHeif(d, file->first.size());
}

}  // namespace mfs
