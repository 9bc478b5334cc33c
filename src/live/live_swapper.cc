#include "live/live_swapper.h"

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mfs {
namespace {

// The thread that makes identities gives way to the ones that frames wait for.
void LowerPriority() {
#if defined(__linux__)
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
#endif
}

}  // namespace

StatusOr<std::unique_ptr<LiveSwapper>> LiveSwapper::Create(std::unique_ptr<Engine> engine, const Identity& identity, const std::string& name, const SwapOptions& options,
                                                           const FrameSwapperOptions& swapper_options) {
  std::unique_ptr<LiveSwapper> s(new LiveSwapper());
  s->engine_ = std::move(engine);
  s->options_ = options;
  s->compose_ = options.compose;
  s->identity_.current = name;
  MFS_RETURN_IF_ERROR(s->engine_->SetIdentity(identity, options));
  MFS_ASSIGN_OR_RETURN(s->swapper_, FrameSwapper::Create(s->engine_.get(), swapper_options));
  return s;
}

LiveSwapper::~LiveSwapper() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (preparer_.joinable()) preparer_.join();
}

StatusOr<FramePlan> LiveSwapper::Track(const FrameView& frame, double seconds, StageTimes* times) { return swapper_->Track(frame, seconds, times); }

Status LiveSwapper::Swap(const FramePlan& plan, FrameView* frame, StageTimes* times) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (compose_changed_) engine_->SetCompose(compose_);
    compose_changed_ = false;
    if (next_ != nullptr) {
      retired_ = engine_->UseNetwork(std::move(next_));
      identity_.current = std::move(next_name_);
      identity_.current_index = next_index_;
      ++identity_.switches;
      wake_.notify_all();
    }
  }
  return swapper_->Swap(plan, frame, times);
}

Status LiveSwapper::SetCompose(const ComposeOptions& compose) {
  if (!(compose.strength >= 0 && compose.strength <= 1)) return InvalidArgument("the strength must be 0 to 1");
  if (!(compose.edge_feather >= 0 && compose.edge_feather <= 0.5f)) return InvalidArgument("the feather must be 0 to 0.5");
  std::lock_guard<std::mutex> lock(mutex_);
  compose_ = compose;
  compose_changed_ = true;
  return Status::Ok();
}

ComposeOptions LiveSwapper::compose() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return compose_;
}

void LiveSwapper::SwitchTo(int index, const std::string& name, const std::vector<std::string>& sources) {
  std::lock_guard<std::mutex> lock(mutex_);
  request_ = std::make_unique<Request>(Request{index, name, sources});
  identity_.wanted = name;
  identity_.wanted_index = index;
  identity_.error.clear();
  if (!preparer_.joinable()) preparer_ = std::thread([this] { PrepareLoop(); });
  wake_.notify_all();
}

IdentitySwitch LiveSwapper::identity() const {
  std::lock_guard<std::mutex> lock(mutex_);
  IdentitySwitch now = identity_;
  if (next_ != nullptr) now.current = next_name_, now.current_index = next_index_;  // the next frame wears it; while the loop is paused there is none
  return now;
}

void LiveSwapper::PrepareLoop() {
  LowerPriority();
  std::unique_ptr<Engine> engine;  // of its own: its networks must not be shared with the frames
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_ || request_ != nullptr || retired_ != nullptr; });
    std::unique_ptr<Idn> old = std::move(retired_);
    const std::unique_ptr<Request> request = std::move(request_);
    if (stop_) return;
    lock.unlock();
    old.reset();
    Status status;
    std::unique_ptr<Idn> network;
    if (request != nullptr) {
      std::vector<std::string> warnings;
      const auto prepare = [&]() -> Status {
        if (engine == nullptr) {
          MFS_ASSIGN_OR_RETURN(engine, Engine::Create({{engine_->store().models_dir(), engine_->store().cache_dir()}, engine_->cpu()}));
        }
        MFS_ASSIGN_OR_RETURN(const Identity identity, engine->LoadOrMakeIdentity(request->sources, &warnings));
        MFS_ASSIGN_OR_RETURN(network, Engine::MakeNetwork(identity, options_));
        return Status::Ok();
      };
      status = prepare();
    }
    lock.lock();
    if (request == nullptr) continue;
    if (request_ == nullptr) identity_.wanted.clear(), identity_.wanted_index = -1;
    if (status.ok()) {
      std::swap(next_, network);  // one that was ready but never worn goes away with `network`
      next_name_ = request->name;
      next_index_ = request->index;
    } else if (request_ == nullptr) {
      identity_.error = status.message();
    }
  }
}

}  // namespace mfs
