// The swap of a live loop: looks and identity can change while frames run through.
#ifndef MFS_LIVE_LIVE_SWAPPER_H_
#define MFS_LIVE_LIVE_SWAPPER_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "live/live_loop.h"
#include "swap/engine.h"

namespace mfs {

struct IdentitySwitch {
  std::string current;    // what is on the faces now: the name given with it
  std::string wanted;     // what is being made ready; empty: nothing
  std::string error;      // why the last one could not be used; empty: it could
  int current_index = 0;  // the number given with it, since names need not differ; 0: the first identity
  int wanted_index = -1;  // -1: nothing is being made ready
  int switches = 0;       // so far
};

class LiveSwapper : public LiveProcessor {
 public:
  // name: how IdentitySwitch calls the first identity.
  static StatusOr<std::unique_ptr<LiveSwapper>> Create(std::unique_ptr<Engine> engine, const Identity& identity, const std::string& name, const SwapOptions& options,
                                                       const FrameSwapperOptions& swapper_options = {});
  ~LiveSwapper() override;

  StatusOr<FramePlan> Track(const FrameView& frame, double seconds, StageTimes* times) override;
  Status Swap(const FramePlan& plan, FrameView* frame, StageTimes* times) override;

  // From the next frame on. Any thread. Errors: kInvalidArgument.
  Status SetCompose(const ComposeOptions& compose);
  ComposeOptions compose() const;

  // Makes an identity (photos or a file, as Engine::LoadOrMakeIdentity) ready on a thread of its own; the frame after that wears it, and no frame
  // waits. Of requests that come while one is in work the newest is kept. Any thread.
  // index: how the caller tells it from others (IdentitySwitch).
  void SwitchTo(int index, const std::string& name, const std::vector<std::string>& sources);
  IdentitySwitch identity() const;

 private:
  LiveSwapper() = default;
  void PrepareLoop();

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<FrameSwapper> swapper_;
  SwapOptions options_;  // but for `compose` as they were at the beginning

  struct Request {
    int index;
    std::string name;
    std::vector<std::string> sources;
  };
  mutable std::mutex mutex_;  // of everything below
  std::condition_variable wake_;
  ComposeOptions compose_;
  bool compose_changed_ = false;
  std::unique_ptr<Request> request_;
  std::unique_ptr<Idn> next_, retired_;  // retired: freed by the preparing thread, since that takes a while
  std::string next_name_;
  int next_index_ = 0;
  IdentitySwitch identity_;
  bool stop_ = false;
  std::thread preparer_;  // started with the first request
};

}  // namespace mfs

#endif  // MFS_LIVE_LIVE_SWAPPER_H_
