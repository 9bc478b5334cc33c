#include "live/live_frame.h"

extern "C" {
#include <libavutil/buffer.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mfs {
namespace {

constexpr size_t kPadding = 64;  // readers of whole vectors may look behind the last pixel

int SamplesAcross(const FrameView& f, int c) { return (f.stored_width + (1 << f.component[c].shift_x) - 1) >> f.component[c].shift_x; }
int SamplesDown(const FrameView& f, int c) { return (f.stored_height + (1 << f.component[c].shift_y) - 1) >> f.component[c].shift_y; }

// swscale's own names for its full-range formats are the plain ones with a flag; under the others it would make its tables anew for every frame.
AVPixelFormat WithoutRange(AVPixelFormat f) {
  switch (f) {
    case AV_PIX_FMT_YUVJ420P: return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P: return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P: return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P: return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P: return AV_PIX_FMT_YUV411P;
    default: return f;
  }
}

template <typename T>
void ReverseSamples(uint8_t* row, int count, int step) {
  for (int i = 0, j = count - 1; i < j; ++i, --j) {
    std::swap(*reinterpret_cast<T*>(row + static_cast<ptrdiff_t>(i) * step), *reinterpret_cast<T*>(row + static_cast<ptrdiff_t>(j) * step));
  }
}

}  // namespace

Status LiveFrame::Reset(AVPixelFormat format, int width, int height) {
  if (width <= 0 || height <= 0 || width > 16384 || height > 16384) return InvalidArgument("a frame must have 1 to 16384 pixels each way");
  const int size = av_image_get_buffer_size(format, width, height, 1);
  if (size <= 0) return InvalidArgument("there are no frames of such a pixel format");
  const size_t wanted = static_cast<size_t>(size) + kPadding;
  if (av->buf[0] == nullptr || av->buf[1] != nullptr || av->buf[0]->size < wanted || av_buffer_is_writable(av->buf[0]) == 0) {
    av_frame_unref(av);
    av->buf[0] = av_buffer_alloc(wanted);
    if (av->buf[0] == nullptr) return OutOfMemory("not enough memory for a frame");
  }
  av->format = format;
  av->width = width;
  av->height = height;
  av->extended_data = av->data;
  av->color_range = AVCOL_RANGE_UNSPECIFIED;
  av->colorspace = AVCOL_SPC_UNSPECIFIED;
  if (av_image_fill_arrays(av->data, av->linesize, av->buf[0]->data, format, width, height, 1) < 0) return InvalidArgument("there are no frames of such a pixel format");
  return Status::Ok();
}

StatusOr<FrameView> LiveFrame::View() {
  if (av->buf[0] == nullptr) return InvalidArgument("the frame is empty");
  if (!Describable(static_cast<AVPixelFormat>(av->format))) return Unsupported("frames of this pixel format cannot be swapped");
  if (av_frame_make_writable(av) < 0) return OutOfMemory("not enough memory for a frame");
  return MakeView(av, orientation);
}

Status LiveFrame::Adopt(AVFrame* decoded, SwsContext** scaler) {
  const AVPixelFormat pixels = static_cast<AVPixelFormat>(decoded->format);
  Status status;
  if (!Describable(pixels)) {
    av_frame_unref(av);
    status = ConvertFrame(decoded, Describe(pixels), scaler, av);
  } else if (av_frame_is_writable(decoded) != 0) {
    av_frame_unref(av);
    av_frame_move_ref(av, decoded);
  } else {
    status = Reset(pixels, decoded->width, decoded->height);
    if (status.ok()) {
      av_image_copy(av->data, av->linesize, const_cast<const uint8_t**>(decoded->data), decoded->linesize, pixels, decoded->width, decoded->height);
      av->color_range = decoded->color_range;
      av->colorspace = decoded->colorspace;
    }
  }
  av_frame_unref(decoded);
  return status;
}

LiveFramePtr FramePool::Take() {
  std::unique_ptr<LiveFrame> frame;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->idle.empty()) {
      frame = std::move(state_->idle.back());
      state_->idle.pop_back();
    } else {
      ++state_->made;
    }
  }
  if (frame == nullptr) frame = std::make_unique<LiveFrame>();
  return LiveFramePtr(frame.release(), [state = state_](LiveFrame* f) {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->idle.emplace_back(f);
  });
}

int FramePool::made() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->made;
}

void MirrorFrame(FrameView* f) {
  // Shown sideways, left and right are top and bottom of the memory.
  const bool rows = f->orientation >= 5;
  const bool wide = f->bits + f->sample_shift > 8;
  for (int c = 0; c < f->num_components(); ++c) {
    const FrameComponent& k = f->component[c];
    const int across = SamplesAcross(*f, c), down = SamplesDown(*f, c);
    if (!rows) {
      for (int y = 0; y < down; ++y) {
        uint8_t* row = k.data + y * k.stride;
        if (wide) {
          ReverseSamples<uint16_t>(row, across, k.step);
        } else if (k.step == 1) {
          std::reverse(row, row + across);
        } else {
          ReverseSamples<uint8_t>(row, across, k.step);
        }
      }
      continue;
    }
    const int bytes = wide ? 2 : 1;
    for (int y = 0; y < down / 2; ++y) {
      uint8_t *a = k.data + y * k.stride, *b = k.data + (down - 1 - y) * k.stride;
      for (int x = 0; x < across; ++x) std::swap_ranges(a + static_cast<ptrdiff_t>(x) * k.step, a + static_cast<ptrdiff_t>(x) * k.step + bytes, b + static_cast<ptrdiff_t>(x) * k.step);
    }
  }
}

StatusOr<AVPixelFormat> PixelFormatByName(const std::string& name) {
  // The names that cameras' documentation uses.
  static const struct {
    const char *alias, *name;
  } kAliases[] = {{"i420", "yuv420p"}, {"yu12", "yuv420p"}, {"yuyv", "yuyv422"}, {"yuy2", "yuyv422"}, {"uyvy", "uyvy422"}, {"rgb", "rgb24"}, {"bgr", "bgr24"}};
  std::string wanted = name;
  for (const auto& a : kAliases) {
    if (name == a.alias) wanted = a.name;
  }
  const AVPixelFormat format = av_get_pix_fmt(wanted.c_str());
  if (format == AV_PIX_FMT_NONE || !Describable(format)) {
    return InvalidArgument("'" + name + "' is no pixel format that can be used; nv12, yuv420p, yuyv422, rgb24, bgr24 and bgra are usual");
  }
  return format;
}

size_t PackedSize(AVPixelFormat format, int width, int height) { return static_cast<size_t>(std::max(0, av_image_get_buffer_size(format, width, height, 1))); }

// ---- fitting ----

FrameFitter::~FrameFitter() { sws_freeContext(scaler_); }

Status FrameFitter::TurnUpright(const LiveFrame& frame, const AVFrame** upright) {
  if (frame.orientation == 1) {
    *upright = frame.av;
    return Status::Ok();
  }
  const FrameView in = MakeView(frame.av, frame.orientation);
  const AVPixelFormat format = static_cast<AVPixelFormat>(frame.av->format);
  MFS_RETURN_IF_ERROR(upright_.Reset(format, in.width(), in.height()));
  upright_.av->color_range = frame.av->color_range;
  upright_.av->colorspace = frame.av->colorspace;
  const FrameView out = MakeView(upright_.av, 1);
  const size_t bytes = in.bits + in.sample_shift > 8 ? 2 : 1;
  for (int c = 0; c < in.num_components(); ++c) {
    FrameView plane = in;  // one component's own grid, turned like the frame
    plane.stored_width = SamplesAcross(in, c), plane.stored_height = SamplesDown(in, c);
    const Affine stored = StoredFromDisplay(plane);
    const FrameComponent &from = in.component[c], &to = out.component[c];
    // Chroma of 4:2:2 changes its shape when turned; the nearest sample is near enough for a preview of a frame that was filmed sideways.
    const float sx = static_cast<float>(plane.width()) / static_cast<float>(SamplesAcross(out, c)), sy = static_cast<float>(plane.height()) / static_cast<float>(SamplesDown(out, c));
    for (int y = 0; y < SamplesDown(out, c); ++y) {
      for (int x = 0; x < SamplesAcross(out, c); ++x) {
        const Point p = stored.Apply({std::floor(x * sx), std::floor(y * sy)});
        const int px = std::clamp(static_cast<int>(std::lround(p.x)), 0, plane.stored_width - 1), py = std::clamp(static_cast<int>(std::lround(p.y)), 0, plane.stored_height - 1);
        std::memcpy(to.data + y * to.stride + static_cast<ptrdiff_t>(x) * to.step, from.data + py * from.stride + static_cast<ptrdiff_t>(px) * from.step, bytes);
      }
    }
  }
  *upright = upright_.av;
  return Status::Ok();
}

Status FrameFitter::Fit(const LiveFrame& frame, AVPixelFormat format, int width, int height, const AVFrame** out) {
  const AVFrame* in = nullptr;
  MFS_RETURN_IF_ERROR(TurnUpright(frame, &in));
  const AVPixFmtDescriptor* d = av_pix_fmt_desc_get(format);
  const bool rgb = (d->flags & AV_PIX_FMT_FLAG_RGB) != 0;
  const FrameView shown = MakeView(in, 1);
  const bool out_full = rgb || WithoutRange(format) != format;
  const bool same_range = shown.model != ColorModel::kYuv || shown.full_range == out_full;  // a screen recording may say full range of a format that means limited
  if (in->format == format && in->width == width && in->height == height && same_range) {
    *out = in;
    return Status::Ok();
  }
  MFS_RETURN_IF_ERROR(fitted_.Reset(format, width, height));
  AVFrame* to = fitted_.av;
  // JPEG is BT.601 by definition. Else YUV keeps its matrix, which saves a way through RGB; RGB gets the one that players expect of the size.
  const AVColorSpace matrix = shown.model == ColorModel::kYuv ? (shown.kr < 0.22f   ? AVCOL_SPC_BT709
                                                                 : shown.kr < 0.28f ? AVCOL_SPC_BT2020_NCL
                                                                                    : AVCOL_SPC_SMPTE170M)
                              : height >= 720                 ? AVCOL_SPC_BT709
                                                              : AVCOL_SPC_SMPTE170M;
  const AVColorSpace out_matrix = out_full ? AVCOL_SPC_SMPTE170M : matrix;
  to->color_range = out_full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
  to->colorspace = rgb ? AVCOL_SPC_RGB : out_matrix;
  // The largest picture of the frame's shape, on even places so that chroma samples fit.
  const double scale = std::min(static_cast<double>(width) / in->width, static_cast<double>(height) / in->height);
  int w = std::clamp(static_cast<int>(std::lround(in->width * scale)), 1, width), h = std::clamp(static_cast<int>(std::lround(in->height * scale)), 1, height);
  if (w < width) w = std::max(2, w & ~1);
  if (h < height) h = std::max(2, h & ~1);
  const int x0 = ((width - w) / 2) & ~3, y0 = ((height - h) / 2) & ~3;
  if (w < width || h < height) {
    const ptrdiff_t lines[4] = {to->linesize[0], to->linesize[1], to->linesize[2], to->linesize[3]};
    if (av_image_fill_black(to->data, lines, format, out_full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG, width, height) < 0) return Unsupported("frames of this pixel format cannot be scaled");
  }
  // The ranges are said before the context is made: else it takes a way without them where nothing is scaled.
  const std::array<int64_t, 9> wanted = {
      in->width,        in->height, WithoutRange(static_cast<AVPixelFormat>(in->format)), w, h, WithoutRange(format), w == in->width && h == in->height ? SWS_POINT : SWS_FAST_BILINEAR,
      shown.full_range, out_full};
  if (scaler_ == nullptr || wanted != scales_) {
    sws_freeContext(scaler_);
    scaler_ = sws_alloc_context();
    static const char* const kNames[9] = {"srcw", "srch", "src_format", "dstw", "dsth", "dst_format", "sws_flags", "src_range", "dst_range"};
    bool fits = scaler_ != nullptr;
    for (size_t k = 0; k < wanted.size() && fits; ++k) fits = av_opt_set_int(scaler_, kNames[k], wanted[k], 0) >= 0;
    if (!fits || sws_init_context(scaler_, nullptr, nullptr) < 0) {
      sws_freeContext(scaler_);
      scaler_ = nullptr;
      return Unsupported("frames of this pixel format cannot be converted");
    }
    scales_ = wanted;
  }
  // AVColorSpace and swscale's numbers of the matrices are the same.
  sws_setColorspaceDetails(scaler_, sws_getCoefficients(matrix), shown.full_range, sws_getCoefficients(out_matrix), out_full, 0, 1 << 16, 1 << 16);
  uint8_t* planes[4] = {};
  for (int p = 0; p < 4 && to->data[p] != nullptr; ++p) {
    const bool chroma = !rgb && (p == 1 || p == 2) && d->nb_components >= 3;
    const int px = chroma ? x0 >> d->log2_chroma_w : x0, py = chroma ? y0 >> d->log2_chroma_h : y0;
    int step = 1;  // of the plane's first component: in packed 4:2:2 that is the luma
    for (int c = d->nb_components; c-- > 0;) {
      if (d->comp[c].plane == p) step = d->comp[c].step;
    }
    planes[p] = to->data[p] + static_cast<ptrdiff_t>(py) * to->linesize[p] + static_cast<ptrdiff_t>(px) * step;
  }
  if (sws_scale(scaler_, in->data, in->linesize, 0, in->height, planes, to->linesize) < 0) return Unsupported("frames of this pixel format cannot be converted");
  *out = to;
  return Status::Ok();
}

}  // namespace mfs
