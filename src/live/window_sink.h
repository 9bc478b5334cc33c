// A window that shows the result (SDL2). Builds without SDL2 say what to install instead.
#ifndef MFS_LIVE_WINDOW_SINK_H_
#define MFS_LIVE_WINDOW_SINK_H_

#include <functional>
#include <memory>
#include <string>

#include "live/live_sink.h"

namespace mfs {

enum class WindowKey { kMirror, kPause, kNext, kPrevious, kFullScreen };

struct WindowOptions {
  std::string title = "mfs live";
  // M, space, right, left, F: called on the window's thread; may be empty. Escape, Q and the close button end the loop.
  std::function<void(WindowKey)> key;
};

// Errors: kUnsupported when the program was built without SDL2.
StatusOr<std::unique_ptr<LiveSink>> MakeWindowSink(const WindowOptions& options);

}  // namespace mfs

#endif  // MFS_LIVE_WINDOW_SINK_H_
