// libavutil's frames as this library sees them. Shared by video files and live sources.
#ifndef MFS_MEDIA_AV_FRAME_H_
#define MFS_MEDIA_AV_FRAME_H_

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/pixfmt.h>
}

#include <string>

#include "base/frame.h"
#include "base/status.h"

struct AVStream;
struct SwsContext;

namespace mfs {

// FFmpeg's words for one of its error numbers.
std::string AvText(int error);

// Can FrameView describe the format as it lies in memory?
bool Describable(AVPixelFormat format);
// What a format that FrameView cannot describe is converted to; the format itself if it can.
AVPixelFormat Describe(AVPixelFormat format);
// A view of the frame's planes, which must be of a describable format. orientation: EXIF 1..8.
FrameView MakeView(const AVFrame* frame, int orientation);
// EXIF orientation of a stream's display matrix, 1 when it has none.
int OrientationOf(const AVStream* stream);

// Converts a frame to another pixel format of the same size, keeping its properties. *scaler is made or used again; the caller frees it with
// sws_freeContext. out: an empty frame. Errors: kUnsupported, kOutOfMemory.
Status ConvertFrame(const AVFrame* in, AVPixelFormat format, SwsContext** scaler, AVFrame* out);

}  // namespace mfs

#endif  // MFS_MEDIA_AV_FRAME_H_
