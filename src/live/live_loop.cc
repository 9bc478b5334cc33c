#include "live/live_loop.h"

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "live/mailbox.h"

namespace mfs {
namespace {

constexpr std::chrono::milliseconds kTick{50};

struct Planned {
  LiveFramePtr frame;
  FramePlan plan;
};

// What a sink gets. captured: of the frame that this one is shown for; with hide_without_face that may be a later one.
struct Shown {
  LiveFramePtr frame;
  LiveClock::time_point captured;
};

std::chrono::steady_clock::duration Seconds(double s) { return std::chrono::duration_cast<LiveClock::duration>(std::chrono::duration<double>(s)); }

}  // namespace

struct LiveLoop::Impl {
  LiveOptions options;
  LiveSourceMaker maker;
  LiveProcessor* processor;
  FramePool pool;
  Mailbox<LiveFramePtr> captured;
  Mailbox<Planned> planned;
  std::atomic<bool> stop{false}, paused{false}, mirror{false};

  struct Outlet {
    Outlet(std::unique_ptr<LiveSink> s, bool keep_all) : sink(std::move(s)), box(keep_all) {}
    std::unique_ptr<LiveSink> sink;
    Mailbox<Shown> box;
    Latency latency;  // under the loop's mutex
    int64_t written = 0;
    Status status;
    bool ended = false;
  };
  std::vector<std::unique_ptr<Outlet>> outlets;
  LiveFramePtr last_shown;  // of the thread that swaps; kept only where it may have to stand for frames that are not shown

  mutable std::mutex mutex;  // of everything below
  std::condition_variable wake;
  LiveStats stats;  // its `dropped` counts those of pauses only
  Latency ready;    // capture -> swapped
  Status result;
  bool finished = false;
  int64_t garbage_before = 0;  // of sources that were closed
  LiveClock::time_point began, first_done, last_done;
  StageTimes track_times, swap_times;

  Impl(const LiveOptions& o, LiveSourceMaker m, LiveSinks sinks, LiveProcessor* p) : options(o), maker(std::move(m)), processor(p), captured(o.every_frame), planned(o.every_frame) {
    for (auto& sink : sinks) outlets.push_back(std::make_unique<Outlet>(std::move(sink), o.every_frame));
    mirror = o.mirror;
  }

  // The first error wins; kCancelled is no error but an end.
  void End(const Status& status) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (result.ok() && status.code() != StatusCode::kCancelled) result = status;
    }
    StopAll();
  }
  void StopAll() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stop = true;
    }
    captured.Close();
    planned.Close();
    for (auto& o : outlets) o->box.Close();
    wake.notify_all();
  }
  void Pause(LiveClock::duration how_long) {
    std::unique_lock<std::mutex> lock(mutex);
    wake.wait_for(lock, how_long, [this] { return stop.load(); });
  }

  void Capture();
  Status CaptureFrom(LiveSource* source, bool* ended);
  void Track();
  void Swap();
  bool SwapOne(const LiveFramePtr& frame, const FramePlan& plan, StageTimes* times);
  void Deliver(Outlet* outlet, std::promise<Status> started);
};

LiveLoop::LiveLoop(const LiveOptions& options, LiveSourceMaker source, LiveSinks sinks, LiveProcessor* processor)
    : impl_(std::make_unique<Impl>(options, std::move(source), std::move(sinks), processor)) {}
LiveLoop::~LiveLoop() = default;

void LiveLoop::SetPaused(bool paused) {
  impl_->paused = paused;
  impl_->wake.notify_all();
}
void LiveLoop::SetMirror(bool mirror) { impl_->mirror = mirror; }
void LiveLoop::Stop() { impl_->StopAll(); }

// ---- threads ----

void LiveLoop::Impl::Capture() {
  bool was_open = false;
  while (!stop) {
    auto opened = maker.open(&stop);
    Status lost = opened.status();
    if (opened.ok()) {
      {
        std::lock_guard<std::mutex> lock(mutex);
        stats.source = LiveStats::Source::kRunning;
        stats.source_name = (*opened)->Describe();
        stats.source_error.clear();
        stats.reconnects += was_open;
      }
      was_open = true;
      bool ended = false;
      lost = CaptureFrom(opened->get(), &ended);
      {
        std::lock_guard<std::mutex> lock(mutex);
        garbage_before += (*opened)->garbage();
        stats.garbage = garbage_before;
      }
      if (ended) {
        std::lock_guard<std::mutex> lock(mutex);
        stats.source = LiveStats::Source::kEnded;
        break;
      }
    }
    if (stop) break;
    if (!was_open || !maker.reconnects) {
      End(lost);
      break;
    }
    {
      std::lock_guard<std::mutex> lock(mutex);
      stats.source = LiveStats::Source::kLost;
      stats.source_error = lost.message();
    }
    Pause(Seconds(options.retry_seconds));
  }
  captured.Close();  // what lies in it is still processed
}

// Until the source ends (*ended) or is lost (its error), or the loop stops.
Status LiveLoop::Impl::CaptureFrom(LiveSource* source, bool* ended) {
  LiveFramePtr frame = pool.Take();
  while (!stop) {
    auto read = source->Read(frame.get());
    if (!read.ok()) return read.status();
    if (*read == LiveRead::kEnd) {
      *ended = true;
      return Status::Ok();
    }
    const int64_t garbage = source->garbage();
    {
      std::lock_guard<std::mutex> lock(mutex);
      stats.garbage = garbage_before + garbage;
      stats.captured += *read == LiveRead::kFrame;
    }
    if (*read == LiveRead::kNothing) continue;
    if (!captured.Put(std::move(frame))) break;
    frame = pool.Take();
  }
  return Status::Ok();
}

void LiveLoop::Impl::Track() {
  LiveClock::time_point due = LiveClock::now();
  while (!stop) {
    if (options.max_fps > 0) {
      const LiveClock::time_point now = LiveClock::now();
      if (due > now) Pause(due - now);
      // Without a debt: what was missed is not made up for.
      due = std::max(due, now - Seconds(1 / options.max_fps)) + Seconds(1 / options.max_fps);
    }
    auto taken = captured.Take();
    if (!taken) break;
    const LiveFramePtr& frame = *taken;
    if (paused) {
      std::unique_lock<std::mutex> lock(mutex);
      if (!options.every_frame) {  // the source is kept empty, the picture stands still
        ++stats.dropped;
        continue;
      }
      while (paused && !stop) wake.wait_for(lock, kTick);  // this frame waits, and the source behind it
    }
    if (stop) break;
    auto view = frame->View();
    if (!view.ok()) {
      End(view.status());
      break;
    }
    StageTimes times;
    auto plan = processor->Track(*view, frame->seconds, &times);
    if (!plan.ok()) {
      End(plan.status());
      break;
    }
    {
      std::lock_guard<std::mutex> lock(mutex);
      stats.width = view->width(), stats.height = view->height();
      track_times.detect += times.detect;
    }
    if (options.two_stages) {
      if (!planned.Put({frame, std::move(*plan)})) break;
    } else if (!SwapOne(frame, *plan, &swap_times)) {
      break;
    }
  }
  captured.Close();
  planned.Close();
  if (!options.two_stages) {
    for (auto& o : outlets) o->box.Close();
  }
}

void LiveLoop::Impl::Swap() {
  while (auto taken = planned.Take()) {
    if (stop || !SwapOne(taken->frame, taken->plan, &swap_times)) break;
  }
  planned.Close();
  for (auto& o : outlets) o->box.Close();
}

bool LiveLoop::Impl::SwapOne(const LiveFramePtr& frame, const FramePlan& plan, StageTimes* sum) {
  auto view = frame->View();
  StageTimes times;
  const Status status = view.ok() ? processor->Swap(plan, &*view, &times) : view.status();
  if (!status.ok()) {
    End(status);
    return false;
  }
  if (mirror) MirrorFrame(&*view);
  const LiveClock::time_point now = LiveClock::now();
  bool hide = false;
  {
    std::lock_guard<std::mutex> lock(mutex);
    sum->align += times.align;
    sum->swap += times.swap;
    sum->occlusion += times.occlusion;
    sum->looks += times.looks;
    sum->paste += times.paste;
    if (stats.processed == 0) first_done = now;
    last_done = now;
    ++stats.processed;
    ++(plan.chosen.empty() ? stats.without_face : stats.swapped);
    stats.skipped_faces += plan.too_small + plan.too_many;
    // A face that was not seen may be beside the place where it is painted, and in place of the user a picture on the wall may have been swapped.
    hide = options.hide_without_face && (plan.chosen.empty() || std::any_of(plan.chosen.begin(), plan.chosen.end(), [](const ChosenFace& c) { return c.doubtful; }));
    stats.hidden += hide;
    ready.Add(frame->captured, now);
  }
  LiveFramePtr shown = frame;
  if (hide) {
    // Where nothing may be left out the last one stands for it, so that a raw stream keeps its length.
    if (!options.every_frame || last_shown == nullptr) return true;
    shown = last_shown;
  }
  if (options.every_frame && options.hide_without_face) last_shown = shown;
  for (auto& o : outlets) (void)o->box.Put({shown, frame->captured});
  return true;
}

void LiveLoop::Impl::Deliver(Outlet* o, std::promise<Status> started) {
  LiveFramePtr last;
  LiveClock::time_point last_write = LiveClock::now();
  Status status = o->sink->Start(&stop);
  started.set_value(status);
  while (status.ok()) {
    auto taken = o->box.TakeFor(kTick);
    if (taken) {
      status = o->sink->Write(*taken->frame);
      last_write = LiveClock::now();
      if (status.ok()) {
        std::lock_guard<std::mutex> lock(mutex);
        ++o->written;
        o->latency.Add(taken->captured, last_write);
      }
      if (o->sink->wants_repeats()) last = std::move(taken->frame);
    } else if (o->box.finished() || stop) {
      break;
    } else if (last != nullptr && LiveClock::now() - last_write > std::chrono::milliseconds(150)) {
      status = o->sink->Write(*last);
      last_write = LiveClock::now();
    }
    if (status.ok()) status = o->sink->Idle();
  }
  o->box.Close();
  bool all_ended = true;
  {
    std::lock_guard<std::mutex> lock(mutex);
    o->ended = true;
    o->status = status;
    for (const auto& other : outlets) all_ended = all_ended && other->ended;
  }
  if (!status.ok() && (status.code() == StatusCode::kCancelled || all_ended)) End(status);
}

// ---- the caller's side ----

Status LiveLoop::Run(const std::atomic<bool>* cancel) {
  Impl& m = *impl_;
  {
    std::lock_guard<std::mutex> lock(m.mutex);
    m.began = LiveClock::now();
  }
  // A sink that does not work is found before anything else runs.
  std::vector<std::thread> sinks;
  Status started;
  for (auto& o : m.outlets) {
    std::promise<Status> promise;
    std::future<Status> future = promise.get_future();
    sinks.emplace_back([&m, outlet = o.get(), p = std::move(promise)]() mutable { m.Deliver(outlet, std::move(p)); });
    if (started = future.get(); !started.ok()) break;
  }
  if (!started.ok()) {
    m.StopAll();
    for (std::thread& t : sinks) t.join();
    return started;
  }
  std::thread swap;
  if (m.options.two_stages) swap = std::thread([&m] { m.Swap(); });
  std::thread track([&m] { m.Track(); });
  std::thread capture([&m] { m.Capture(); });
  std::thread watch([&m, cancel] {
    const LiveClock::time_point end = m.options.duration > 0 ? m.began + Seconds(m.options.duration) : LiveClock::time_point::max();
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(m.mutex);
        m.wake.wait_for(lock, kTick, [&m] { return m.finished || m.stop.load(); });
        if (m.finished || m.stop) return;
      }
      if ((cancel != nullptr && cancel->load(std::memory_order_relaxed)) || LiveClock::now() >= end) m.StopAll();
    }
  });
  capture.join();
  track.join();
  if (swap.joinable()) swap.join();
  for (std::thread& t : sinks) t.join();
  {
    std::lock_guard<std::mutex> lock(m.mutex);
    m.finished = true;
  }
  m.wake.notify_all();
  watch.join();
  const std::lock_guard<std::mutex> lock(m.mutex);
  return m.result;
}

LiveStats LiveLoop::Stats() const {
  const Impl& m = *impl_;
  const LiveClock::time_point now = LiveClock::now();
  std::lock_guard<std::mutex> lock(m.mutex);
  LiveStats s = m.stats;
  s.seconds = m.began == LiveClock::time_point{} ? 0 : std::chrono::duration<double>(now - m.began).count();
  s.dropped += m.captured.replaced() + m.planned.replaced();
  s.fps = m.ready.Rate(now);
  const double span = std::chrono::duration<double>(m.last_done - m.first_done).count();
  s.mean_fps = s.processed > 1 && span > 0 ? static_cast<double>(s.processed - 1) / span : 0;
  s.times = m.swap_times;
  s.times.detect = m.track_times.detect;
  s.paused = m.paused;
  s.mirror = m.mirror;
  for (const auto& o : m.outlets) {
    s.sinks.push_back({o->sink->Name(), o->written, o->box.replaced(), o->latency.All(), o->status.ok() || o->status.code() == StatusCode::kCancelled ? "" : o->status.message()});
  }
  const Latency& first = m.outlets.empty() ? m.ready : m.outlets[0]->latency;
  s.latency = first.All();
  s.recent = first.Recent(now);
  return s;
}

std::vector<std::string> NewFailures(const LiveStats& stats, std::set<size_t>* told) {
  std::vector<std::string> failed;
  for (size_t i = 0; i < stats.sinks.size(); ++i) {
    if (!stats.sinks[i].error.empty() && told->insert(i).second) failed.push_back(stats.sinks[i].name + ": " + stats.sinks[i].error);
  }
  return failed;
}

}  // namespace mfs
