// libavutil's frames as this library sees them. Shared by video files and live sources.
#ifndef MFS_MEDIA_AV_FRAME_H_
#define MFS_MEDIA_AV_FRAME_H_

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/pixfmt.h>
}

#include <string>
#include <utility>
#include <vector>

#include "base/frame.h"
#include "base/status.h"

struct AVCodec;
struct AVCodecContext;
struct AVOutputFormat;
struct AVStream;
struct SwsContext;

namespace mfs {

// FFmpeg's words for one of its error numbers.
std::string AvText(int error);

// avcodec_alloc_context3 for a codec that writes nothing to FFmpeg's log, which is stderr by default. Null for want of memory.
AVCodecContext* NewCodecContext(const AVCodec* codec);

// Can FrameView describe the format as it lies in memory?
bool Describable(AVPixelFormat format);
// What a format that FrameView cannot describe is converted to; the format itself if it can.
AVPixelFormat Describe(AVPixelFormat format);
// A view of the frame's planes, which must be of a describable format. orientation: EXIF 1..8.
FrameView MakeView(const AVFrame* frame, int orientation);
// How long the frame is shown, in ticks; 0 when that is not known. FFmpeg 6 gave it another name.
int64_t DurationOf(const AVFrame* frame);

// FFmpeg 6.1 made flags of the fields.
bool Interlaced(const AVFrame* frame);
bool TopFieldFirst(const AVFrame* frame);

// Data that belong to a stream as a whole (display matrix, mastering display); `type` is an AVPacketSideDataType. FFmpeg 6.1 moved them from the stream to its parameters.
std::vector<std::pair<int, std::string>> SideDataOf(const AVStream* stream);
void AddSideData(AVStream* stream, int type, const std::string& bytes);  // left out when there is no memory for it

// EXIF orientation of a stream's display matrix, 1 when it has none.
int OrientationOf(const AVStream* stream);
int OrientationOf(const int32_t matrix[9]);  // of a display matrix

// Is it one of the QuickTime family (.mp4, .mov, .m4v, .3gp), which alone can write a display matrix?
bool IsQuickTime(const AVOutputFormat* container);

// Converts a frame to another pixel format of the same size, keeping its properties; RGB becomes YUV by BT.709 in limited range, and says so. *scaler is made or used again; the caller frees it with
// sws_freeContext. out: an empty frame. Errors: kUnsupported, kOutOfMemory.
Status ConvertFrame(const AVFrame* in, AVPixelFormat format, SwsContext** scaler, AVFrame* out);

}  // namespace mfs

#endif  // MFS_MEDIA_AV_FRAME_H_
