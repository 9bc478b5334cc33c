#include "swap/video_swap.h"

#include "base/file.h"
#include "swap/frame_swapper.h"

namespace mfs {

StatusOr<VideoSwapReport> SwapVideo(Engine* engine, const std::string& target, const std::string& output, const VideoReadOptions& read_options,
                                    const VideoWriteOptions& write_options, const std::function<void(const VideoProgress&)>& progress,
                                    const std::atomic<bool>* cancel) {
  VideoSwapReport report;
  MFS_RETURN_IF_ERROR(CheckWritable(output));
  if (SameFile(target, output)) return InvalidArgument(output + ": input and output are the same file; choose another output");
  MFS_ASSIGN_OR_RETURN(const auto reader, VideoReader::Open(target, read_options));
  MFS_ASSIGN_OR_RETURN(const auto writer, VideoWriter::Create(output, reader.get(), write_options));
  report.width = reader->info().width;
  report.height = reader->info().height;
  VideoProgress state;
  state.total_frames = reader->info().frames;
  const auto start = std::chrono::steady_clock::now();
  MFS_ASSIGN_OR_RETURN(const auto swapper, FrameSwapper::Create(engine));
  VideoFrame frame;
  for (;;) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled("stopped; nothing was written");
    {
      const StageTimer timer(&report.times.decode);
      auto more = reader->Read(&frame);
      if (!more.ok()) {
        // What was read so far is worth keeping; the caller learns why it ends.
        if (report.frames == 0) return more.status();
        report.input_end = more.status();
        break;
      }
      if (!*more) break;
    }
    MFS_ASSIGN_OR_RETURN(FrameView view, frame.View());
    MFS_ASSIGN_OR_RETURN(const FramePlan plan, swapper->Process(&view, frame.seconds(), &report.times));
    ++report.frames;
    ++(plan.chosen.empty() ? report.passed_through : report.swapped);
    {
      const StageTimer timer(&report.times.encode);
      MFS_RETURN_IF_ERROR(writer->Write(frame));
    }
    if (progress) {
      state.frames = report.frames;
      state.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      progress(state);
    }
  }
  if (report.swapped == 0) {
    return NoFace(target + ": no frame of the video shows a face to swap (" + std::to_string(report.frames) + " frames); nothing was written");
  }
  {
    const StageTimer timer(&report.times.encode);
    MFS_RETURN_IF_ERROR(writer->Finish());
  }
  report.detections = swapper->tracker().detections();
  report.warnings = writer->warnings();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace mfs
