// The loop with sources, sinks and a swap that are played.
#include "live/live_loop.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

namespace mfs {
namespace {

using std::chrono::milliseconds;

// Grey frames whose first byte is their number; the last byte of the first row is that and 100.
class FakeSource : public LiveSource {
 public:
  struct Script {
    int frames = 20;  // then the end, or the loss
    milliseconds gap{0};
    int garbage_every = 0;
    bool lost = false;
    int width = 32, height = 16;
  };
  FakeSource(const Script& script, int* first) : script_(script), first_(first) {}
  StatusOr<LiveRead> Read(LiveFrame* frame) override {
    if (sent_ == script_.frames) {
      if (script_.lost) return IoError("unplugged");
      return LiveRead::kEnd;
    }
    std::this_thread::sleep_for(script_.gap);
    ++reads_;
    if (script_.garbage_every > 0 && reads_ % script_.garbage_every == 0) {
      ++garbage_;
      return LiveRead::kNothing;
    }
    EXPECT_TRUE(frame->Reset(AV_PIX_FMT_GRAY8, script_.width, script_.height).ok());
    std::memset(frame->av->data[0], 0, static_cast<size_t>(script_.width * script_.height));
    frame->av->data[0][0] = static_cast<uint8_t>(*first_);
    frame->av->data[0][script_.width - 1] = static_cast<uint8_t>(*first_ + 100);
    ++*first_;
    ++sent_;
    frame->captured = LiveClock::now();
    frame->number = sent_;
    return LiveRead::kFrame;
  }
  std::string Describe() const override { return "fake"; }
  int64_t garbage() const override { return garbage_; }

 private:
  const Script script_;
  int* first_;
  int sent_ = 0, reads_ = 0, garbage_ = 0;
};

struct Received {
  std::mutex mutex;
  std::vector<int> numbers;  // first byte of every frame
  int repeats = 0;
};

class FakeSink : public LiveSink {
 public:
  FakeSink(Received* to, milliseconds slow = milliseconds(0), int fail_after = -1, StatusCode code = StatusCode::kIoError, bool repeats = false)
      : to_(to), slow_(slow), fail_after_(fail_after), code_(code), repeats_(repeats) {}
  std::string Name() const override { return "fake"; }
  Status Start(const std::atomic<bool>*) override { return fail_after_ == 0 ? IoError("cannot start") : Status::Ok(); }
  Status Write(const LiveFrame& frame) override {
    std::this_thread::sleep_for(slow_);
    std::lock_guard<std::mutex> lock(to_->mutex);
    const int number = frame.av->data[0][0];
    if (!to_->numbers.empty() && to_->numbers.back() == number) {
      ++to_->repeats;
      return Status::Ok();
    }
    to_->numbers.push_back(number);
    if (fail_after_ > 0 && static_cast<int>(to_->numbers.size()) >= fail_after_) return Status(code_, "the sink broke");
    return Status::Ok();
  }
  bool wants_repeats() const override { return repeats_; }

 private:
  Received* to_;
  const milliseconds slow_;
  const int fail_after_;
  const StatusCode code_;
  const bool repeats_;
};

class FakeProcessor : public LiveProcessor {
 public:
  StatusOr<FramePlan> Track(const FrameView& frame, double, StageTimes* times) override {
    std::this_thread::sleep_for(track);
    if (fail_at >= 0 && frame.component[0].data[0] == fail_at) return Internal("tracking broke");
    times->detect += 0.001;
    FramePlan plan;
    if (face_every == 0 || frame.component[0].data[0] % face_every == 0) plan.chosen.emplace_back();
    if (!plan.chosen.empty()) plan.chosen[0].doubtful = doubtful_every > 0 && frame.component[0].data[0] % doubtful_every == 0;
    return plan;
  }
  Status Swap(const FramePlan&, FrameView* frame, StageTimes*) override {
    std::this_thread::sleep_for(swap);
    frame->component[0].data[1] = 1;
    return Status::Ok();
  }
  milliseconds track{0}, swap{0};
  int fail_at = -1, face_every = 0, doubtful_every = 0;
};

LiveSourceMaker Make(const FakeSource::Script& script, int* first) {
  return {false, [script, first](const std::atomic<bool>*) -> StatusOr<std::unique_ptr<LiveSource>> { return std::unique_ptr<LiveSource>(new FakeSource(script, first)); }};
}
LiveSinks Sinks(std::unique_ptr<LiveSink> a, std::unique_ptr<LiveSink> b = nullptr) {
  LiveSinks s;
  s.push_back(std::move(a));
  if (b != nullptr) s.push_back(std::move(b));
  return s;
}

TEST(LiveLoop, EveryFrameArrivesInOrderWhenAsked) {
  for (const bool two_stages : {true, false}) {
    int first = 0;
    Received got, slow;
    FakeProcessor processor;
    LiveOptions options;
    options.every_frame = true;
    options.two_stages = two_stages;
    LiveLoop loop(options, Make({50}, &first), Sinks(std::make_unique<FakeSink>(&got), std::make_unique<FakeSink>(&slow, milliseconds(1))), &processor);
    ASSERT_TRUE(loop.Run(nullptr).ok());
    ASSERT_EQ(got.numbers.size(), 50u);
    ASSERT_EQ(slow.numbers.size(), 50u);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(got.numbers[i], i);
    const LiveStats s = loop.Stats();
    EXPECT_EQ(s.processed, 50);
    EXPECT_EQ(s.dropped, 0);
    EXPECT_EQ(s.swapped, 50);
    EXPECT_EQ(s.source, LiveStats::Source::kEnded);
    EXPECT_EQ(s.sinks[1].written, 50);
    EXPECT_EQ(s.latency.count, 50);
  }
}

TEST(LiveLoop, TheNewestFrameWinsAndNothingQueuesUp) {
  int first = 0;
  Received got;
  FakeProcessor processor;
  processor.swap = milliseconds(20);  // the source is twenty times as fast
  LiveLoop loop({}, Make({200, milliseconds(1)}, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
  ASSERT_TRUE(loop.Run(nullptr).ok());
  const LiveStats s = loop.Stats();
  EXPECT_EQ(s.captured, 200);
  EXPECT_EQ(s.captured, s.processed + s.dropped);
  EXPECT_GT(s.dropped, 100);
  ASSERT_GT(got.numbers.size(), 3u);
  for (size_t i = 1; i < got.numbers.size(); ++i) EXPECT_GT(got.numbers[i], got.numbers[i - 1]);
  EXPECT_EQ(got.numbers.back(), 199);  // the last one is never given up for an older one
  // No frame waits for longer than the one before it takes; with a queue of all of them the usual one would wait for two seconds.
  EXPECT_LT(s.latency.p50, 500);
}

TEST(LiveLoop, ASlowSinkHoldsNobodyUp) {
  int first = 0;
  Received fast, slow;
  FakeProcessor processor;
  LiveLoop loop({}, Make({60, milliseconds(3)}, &first), Sinks(std::make_unique<FakeSink>(&fast), std::make_unique<FakeSink>(&slow, milliseconds(60))), &processor);
  ASSERT_TRUE(loop.Run(nullptr).ok());
  EXPECT_GT(fast.numbers.size(), slow.numbers.size());
  EXPECT_GT(loop.Stats().sinks[1].dropped, 5);
}

TEST(LiveLoop, ALostCameraIsWaitedFor) {
  int first = 0, opens = 0;
  Received got;
  FakeProcessor processor;
  LiveOptions options;
  options.every_frame = true;
  options.retry_seconds = 0.01;
  LiveSourceMaker maker;
  maker.reconnects = true;
  maker.open = [&](const std::atomic<bool>*) -> StatusOr<std::unique_ptr<LiveSource>> {
    ++opens;
    if (opens == 2 || opens == 3) return NotFound("not there yet");
    FakeSource::Script script;
    script.frames = 10;
    script.garbage_every = 3;
    script.lost = opens < 4;
    if (opens == 4) script.width = 64, script.height = 48;  // comes back with another size
    return std::unique_ptr<LiveSource>(new FakeSource(script, &first));
  };
  LiveLoop loop(options, maker, Sinks(std::make_unique<FakeSink>(&got)), &processor);
  ASSERT_TRUE(loop.Run(nullptr).ok());
  EXPECT_EQ(opens, 4);
  EXPECT_EQ(got.numbers.size(), 20u);
  const LiveStats s = loop.Stats();
  EXPECT_EQ(s.reconnects, 1);
  EXPECT_EQ(s.garbage, 8);
  EXPECT_EQ(s.width, 64);
}

TEST(LiveLoop, ASourceThatNeverOpensOrCannotComeBackIsAnError) {
  int first = 0;
  Received got;
  FakeProcessor processor;
  LiveSourceMaker never{true, [](const std::atomic<bool>*) -> StatusOr<std::unique_ptr<LiveSource>> { return NotFound("no camera"); }};
  LiveLoop a({}, never, Sinks(std::make_unique<FakeSink>(&got)), &processor);
  EXPECT_EQ(a.Run(nullptr).code(), StatusCode::kNotFound);
  FakeSource::Script lost;
  lost.lost = true;
  LiveLoop b({}, Make(lost, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
  EXPECT_EQ(b.Run(nullptr).message(), "unplugged");
}

TEST(LiveLoop, CtrlCAndTheDurationEndItCleanly) {
  for (const bool ctrl_c : {true, false}) {
    int first = 0;
    Received got;
    FakeProcessor processor;
    LiveOptions options;
    if (!ctrl_c) options.duration = 0.15;
    FakeSource::Script endless{1 << 30, milliseconds(2)};
    LiveLoop loop(options, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
    std::atomic<bool> cancel{false};
    std::thread key([&] {
      std::this_thread::sleep_for(milliseconds(150));
      cancel = ctrl_c;
    });
    const auto start = LiveClock::now();
    EXPECT_TRUE(loop.Run(&cancel).ok());
    EXPECT_LT(LiveClock::now() - start, milliseconds(5000));
    key.join();
    EXPECT_GT(got.numbers.size(), 5u);
    EXPECT_GT(loop.Stats().fps, 0);
  }
}

TEST(LiveLoop, SinksThatEnd) {
  // The viewer went away: an end, not an error.
  int first = 0;
  Received got, other;
  FakeProcessor processor;
  FakeSource::Script endless{1 << 30, milliseconds(1)};
  LiveLoop gone({}, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&got, milliseconds(0), 5, StatusCode::kCancelled), std::make_unique<FakeSink>(&other)), &processor);
  EXPECT_TRUE(gone.Run(nullptr).ok());
  EXPECT_EQ(got.numbers.size(), 5u);
  // One of two breaks: the other goes on.
  Received broken, fine;
  FakeSource::Script some{60, milliseconds(2)};
  LiveLoop one({}, Make(some, &first), Sinks(std::make_unique<FakeSink>(&broken, milliseconds(0), 5), std::make_unique<FakeSink>(&fine)), &processor);
  EXPECT_TRUE(one.Run(nullptr).ok());
  EXPECT_EQ(one.Stats().sinks[0].error, "the sink broke");
  EXPECT_GT(fine.numbers.size(), 20u);
  // The last one breaks, or one does not even start.
  LiveLoop last({}, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&broken, milliseconds(0), 1)), &processor);
  EXPECT_EQ(last.Run(nullptr).message(), "the sink broke");
  LiveLoop start({}, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&fine), std::make_unique<FakeSink>(&broken, milliseconds(0), 0)), &processor);
  EXPECT_EQ(start.Run(nullptr).message(), "cannot start");
}

TEST(LiveLoop, PauseMirrorCapAndHiding) {
  int first = 0;
  Received got;
  FakeProcessor processor;
  processor.face_every = 2;
  LiveOptions options;
  options.mirror = true;
  options.hide_without_face = true;
  options.every_frame = true;
  {
    LiveLoop loop(options, Make({20}, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
    ASSERT_TRUE(loop.Run(nullptr).ok());
    EXPECT_EQ(loop.Stats().hidden, 10);
  }
  // Frames with a face only (even numbers), and the end of the row has moved to its beginning. Each stands for the one behind it, too.
  ASSERT_EQ(got.numbers.size(), 10u);
  EXPECT_EQ(got.repeats, 10);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(got.numbers[i], 100 + 2 * i);

  // A face painted where it was, or that of another person, may leave the user's own bare.
  Received sure;
  processor.doubtful_every = 4;
  {
    LiveLoop loop(options, Make({20}, &first), Sinks(std::make_unique<FakeSink>(&sure)), &processor);
    ASSERT_TRUE(loop.Run(nullptr).ok());
    EXPECT_EQ(loop.Stats().hidden, 15);
    EXPECT_EQ(loop.Stats().sinks[0].written, 18);  // nothing before the first, number 2
  }
  EXPECT_EQ(sure.numbers.size(), 5u);
  processor.doubtful_every = 0;

  Received capped;
  processor.face_every = 0;
  options = {};
  options.max_fps = 50;
  options.duration = 0.4;
  FakeSource::Script endless{1 << 30, milliseconds(1)};
  LiveLoop cap(options, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&capped)), &processor);
  ASSERT_TRUE(cap.Run(nullptr).ok());
  EXPECT_LE(capped.numbers.size(), 22u);
  EXPECT_GE(capped.numbers.size(), 3u);

  Received paused;
  options = {};
  options.duration = 0.7;
  LiveLoop pause(options, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&paused, milliseconds(0), -1, StatusCode::kOk, true)), &processor);
  std::thread button([&] {
    std::this_thread::sleep_for(milliseconds(150));
    pause.SetPaused(true);
  });
  ASSERT_TRUE(pause.Run(nullptr).ok());
  button.join();
  EXPECT_GE(paused.repeats, 1);  // the receiver goes on getting the last picture
  EXPECT_LT(pause.Stats().processed, 400);
  // What came in the pause was left out (a few may be on their way at the end).
  EXPECT_LE(pause.Stats().captured - pause.Stats().processed - pause.Stats().dropped, 4);
}

TEST(LiveLoop, APauseHoldsTheSourceWhenEveryFrameCounts) {
  int first = 0;
  Received got;
  FakeProcessor processor;
  LiveOptions options;
  options.every_frame = true;
  LiveLoop loop(options, Make({200, milliseconds(2)}, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
  int64_t then = 0, later = 0;
  std::thread button([&] {
    while (loop.Stats().processed < 10) std::this_thread::sleep_for(milliseconds(1));
    loop.SetPaused(true);
    std::this_thread::sleep_for(milliseconds(100));
    then = loop.Stats().processed;
    std::this_thread::sleep_for(milliseconds(700));
    later = loop.Stats().processed;
    loop.SetPaused(false);
  });
  ASSERT_TRUE(loop.Run(nullptr).ok());
  button.join();
  EXPECT_EQ(later, then);
  EXPECT_LT(then, 150);
  ASSERT_EQ(got.numbers.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(got.numbers[i], i);
  EXPECT_EQ(loop.Stats().dropped, 0);

  // And Ctrl-C gets through to a loop that is paused.
  FakeSource::Script endless{1 << 30, milliseconds(1)};
  LiveLoop held(options, Make(endless, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
  held.SetPaused(true);
  std::thread key([&] {
    std::this_thread::sleep_for(milliseconds(100));
    held.Stop();
  });
  EXPECT_TRUE(held.Run(nullptr).ok());
  key.join();
  EXPECT_EQ(held.Stats().processed, 0);
}

TEST(LiveLoop, EveryFailureIsSaidOnce) {
  LiveStats stats;
  stats.sinks.resize(3);
  stats.sinks[0].name = "a", stats.sinks[1].name = "b", stats.sinks[2].name = "c";
  std::set<size_t> told;
  EXPECT_TRUE(NewFailures(stats, &told).empty());
  stats.sinks[2].error = "broke";
  EXPECT_EQ(NewFailures(stats, &told), std::vector<std::string>{"c: broke"});
  stats.sinks[0].error = "full";  // before the other in the order of the outputs
  EXPECT_EQ(NewFailures(stats, &told), std::vector<std::string>{"a: full"});
  EXPECT_TRUE(NewFailures(stats, &told).empty());
  EXPECT_EQ(told.size(), 2u);
}

TEST(LiveLoop, AnErrorOfTheSwapEndsIt) {
  int first = 0;
  Received got;
  FakeProcessor processor;
  processor.fail_at = 7;
  LiveOptions options;
  options.every_frame = true;
  LiveLoop loop(options, Make({20}, &first), Sinks(std::make_unique<FakeSink>(&got)), &processor);
  EXPECT_EQ(loop.Run(nullptr).message(), "tracking broke");
  EXPECT_LE(got.numbers.size(), 7u);
}

}  // namespace
}  // namespace mfs
