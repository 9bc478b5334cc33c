// The C interface: pictures and videos from file to file.
#include <atomic>
#include <exception>

#include "base/file.h"
#include "capi/capi_state.h"
#include "swap/picture_swap.h"
#include "swap/video_swap.h"

using mfs::Status;
using mfs::capi::Guard;
using mfs::capi::Tell;

extern "C" {

mfs_status mfs_swap_picture(mfs_engine* engine, const char* target, const char* output) {
  return Guard(engine, [&]() -> Status {
    if (target == nullptr || output == nullptr) return mfs::InvalidArgument("target and output are needed");
    if (mfs::FileExists(output)) return mfs::AlreadyExists(std::string(output) + ": exists already; remove it first");
    const auto made = mfs::SwapPicture(engine->impl.get(), target, output, {});
    if (made.ok()) Tell(engine, made->warnings);
    return made.status();
  });
}

mfs_status mfs_swap_video(mfs_engine* engine, const char* target, const char* output, mfs_progress progress, void* user, mfs_video_report* report) {
  return Guard(engine, [&]() -> Status {
    if (target == nullptr || output == nullptr) return mfs::InvalidArgument("target and output are needed");
    if (mfs::FileExists(output)) return mfs::AlreadyExists(std::string(output) + ": exists already; remove it first");
    std::atomic<bool> cancel{false};
    std::exception_ptr thrown;
    const auto call = [&](const mfs::VideoProgress& p) {
      try {
        if (progress != nullptr && !thrown && progress(user, p.frames, p.total_frames) != 0) cancel = true;
      } catch (...) {
        // A caller in C++ may do so: first everything is put away, then it is told.
        thrown = std::current_exception();
        cancel = true;
      }
    };
    mfs::VideoSwapOptions options;
    options.parts = std::string(output) + ".mfs-api-part";  // not that of mfs, in which a job may wait to be resumed
    options.replace = true;  // what a host that crashed has left
    options.keep_parts = false;
    if (mfs::Extension(output) == "webm") options.write.codec = "vp9";  // it holds no x264
    const auto made = mfs::SwapVideo(engine->impl.get(), target, output, options, call, &cancel);
    if (thrown) std::rethrow_exception(thrown);
    if (!made.ok()) return made.status();
    const mfs::VideoSwapReport& r = *made;
    if (report != nullptr) {
      const mfs::StageTimes& t = r.times;
      *report = {r.frames, r.swapped, r.passed_through, r.seconds, t.decode, t.detect, t.align, t.swap, t.paste, t.encode, t.looks};
    }
    Tell(engine, r.warnings);
    // One status says that there is an output, whatever broke the input off.
    return r.input_end.ok() ? r.input_end : mfs::CorruptData(std::string("what could be read was written to ") + output + ", but " + r.input_end.message());
  });
}

}  // extern "C"
