// What stands behind the C interface's handles, and how a call becomes a status.
#ifndef MFS_CAPI_CAPI_STATE_H_
#define MFS_CAPI_CAPI_STATE_H_

#include <mobilefaceswap/mobilefaceswap.h>

#include <array>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "swap/engine.h"
#include "swap/frame_swapper.h"

struct mfs_engine {
  std::unique_ptr<mfs::Engine> impl;
  std::string error;
  std::string warnings;  // of the last call, a line each
};

struct mfs_identity {
  mfs::Identity impl;
};

struct mfs_stream {
  mfs_engine* engine;
  std::unique_ptr<mfs::FrameSwapper> impl;  // made with the first frame, and again when other faces or persons are to be swapped
  mfs::FaceSelection faces = mfs::FaceSelection::kLargest;
  std::vector<std::array<float, 512>> references;  // whose numbers the tracks of impl carry
};

namespace mfs::capi {

inline mfs_status Report(mfs_engine* engine, const Status& status) {
  if (engine != nullptr) engine->error = status.message();
  return static_cast<mfs_status>(status.code());
}

// From within a handler: no exception may leave it, not even for want of memory for the text.
inline mfs_status ReportCaught(mfs_engine* engine, StatusCode code, const char* text) noexcept {
  try {
    engine->error = text;
  } catch (...) {
    engine->error.clear();
  }
  return static_cast<mfs_status>(code);
}

inline void Tell(mfs_engine* engine, const std::vector<std::string>& warnings) {
  for (const std::string& w : warnings) engine->warnings += w + "\n";
}

// Runs a call that returns a Status; memory exhaustion and the like become a status, too.
template <typename Call>
mfs_status Guard(mfs_engine* engine, const Call& call) {
  if (engine == nullptr) return MFS_INVALID_ARGUMENT;
  if (engine->impl == nullptr) return MFS_INVALID_ARGUMENT;  // the reason why it could not be created stays
  try {
    engine->warnings.clear();
    return Report(engine, call());
  } catch (const std::bad_alloc&) {
    return ReportCaught(engine, StatusCode::kOutOfMemory, "not enough memory");
  } catch (const std::exception& e) {
    return ReportCaught(engine, StatusCode::kInternal, e.what());
  } catch (...) {
    return ReportCaught(engine, StatusCode::kInternal, "an exception of an unknown kind");
  }
}

}  // namespace mfs::capi

#endif  // MFS_CAPI_CAPI_STATE_H_
