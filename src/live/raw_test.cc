// Raw frames in and out of pipes.
extern "C" {
#include <libavutil/pixdesc.h>
}
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <thread>

#include "live/latency.h"
#include "live/mailbox.h"
#include "live/raw_sink.h"
#include "live/raw_source.h"

namespace mfs {
namespace {

TEST(RawFormat, IsReadAndWritten) {
  const RawFormat f = ParseRawFormat("1280x720:nv12@29.97").value();
  EXPECT_EQ(f.width, 1280);
  EXPECT_EQ(f.pixels, AV_PIX_FMT_NV12);
  EXPECT_EQ(ToString(f), "1280x720:nv12@29.97");
  EXPECT_EQ(ToString(ParseRawFormat("640x480").value()), "640x480:nv12");
  EXPECT_EQ(ToString(ParseRawFormat("640x480:i420").value()), "640x480:yuv420p");
  for (const char* wrong : {"", "640", "640x", "0x480", "640x480:", "640x480:mist", "640x480:nv12@", "640x480:nv12@0", "640x480nv12", "99999x480", "640x480:pal8", "640x480 "}) {
    EXPECT_FALSE(ParseRawFormat(wrong).ok()) << wrong;
  }
}

TEST(Raw, FramesGoThroughPipesUnchanged) {
  int in[2], out[2];
  ASSERT_EQ(pipe(in), 0);
  ASSERT_EQ(pipe(out), 0);
  const RawFormat format{64, 48, AV_PIX_FMT_NV12, 25};
  const size_t bytes = 64 * 48 * 3 / 2;
  std::string sent(3 * bytes + 100, 0), received;  // the fourth frame is cut
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 % 251);
  std::thread writer([&] {
    size_t done = 0;
    while (done < sent.size()) {
      const ssize_t n = write(in[1], sent.data() + done, std::min<size_t>(1000, sent.size() - done));
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    close(in[1]);
  });
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t n; (n = read(out[0], buffer, sizeof buffer)) > 0;) received.append(buffer, static_cast<size_t>(n));
  });
  {
    RawSource source(in[0], format);
    std::string announced;
    RawSink sink(out[1], {AV_PIX_FMT_NONE, [&](const std::string& s) { announced = s; }});
    const std::atomic<bool> stop{false};
    ASSERT_TRUE(sink.Start(&stop).ok());
    LiveFrame frame;
    int frames = 0;
    for (;;) {
      const auto r = source.Read(&frame);
      ASSERT_TRUE(r.ok());
      if (*r == LiveRead::kEnd) break;
      if (*r == LiveRead::kNothing) continue;
      EXPECT_EQ(frame.number, frames);
      EXPECT_DOUBLE_EQ(frame.seconds, frames / 25.0);
      ++frames;
      ASSERT_TRUE(sink.Write(frame).ok());
    }
    EXPECT_EQ(frames, 3);
    EXPECT_EQ(source.garbage(), 1);
    EXPECT_EQ(announced, "64x48:nv12");
  }
  close(out[1]);
  writer.join();
  reader.join();
  EXPECT_EQ(received, sent.substr(0, 3 * bytes));
  close(in[0]);
  close(out[0]);
}

TEST(Raw, AReaderThatWentAwayEndsTheLoopAndOneThatSleepsHoldsNobody) {
  std::signal(SIGPIPE, SIG_IGN);
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  LiveFrame frame;
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 1920, 1080).ok());
  std::atomic<bool> stop{false};
  {
    RawSink sink(out[1], {});
    ASSERT_TRUE(sink.Start(&stop).ok());
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      stop = true;
    });
    EXPECT_EQ(sink.Write(frame).code(), StatusCode::kCancelled);  // nobody reads: returns because of stop
    later.join();
  }
  stop = false;
  RawSink sink(out[1], {});
  ASSERT_TRUE(sink.Start(&stop).ok());
  close(out[0]);
  EXPECT_EQ(sink.Write(frame).code(), StatusCode::kCancelled);
  close(out[1]);
}

TEST(Raw, AFrameThatWasBegunIsFinishedWhenTheLoopStops) {
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  LiveFrame frame;
  ASSERT_TRUE(frame.Reset(AV_PIX_FMT_NV12, 1920, 1080).ok());
  const size_t bytes = PackedSize(AV_PIX_FMT_NV12, 1920, 1080);  // three times what a pipe holds
  std::memset(frame.av->data[0], 1, bytes);
  std::atomic<bool> stop{false};
  size_t received = 0;
  std::thread reader([&] {
    std::string buffer(1 << 18, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    for (ssize_t n; (n = read(out[0], buffer.data(), buffer.size())) > 0;) {
      received += static_cast<size_t>(n);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  {
    RawSink sink(out[1], {});
    ASSERT_TRUE(sink.Start(&stop).ok());
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      stop = true;
    });
    EXPECT_TRUE(sink.Write(frame).ok());
    later.join();
    EXPECT_EQ(sink.Write(frame).code(), StatusCode::kCancelled);  // none is begun any more
  }
  close(out[1]);
  reader.join();
  EXPECT_EQ(received, bytes);
  close(out[0]);
}

TEST(Mailbox, TheNewestWins) {
  Mailbox<int> box;
  box.Put(1);
  box.Put(2);
  box.Put(3);
  EXPECT_EQ(box.Take(), 3);
  EXPECT_EQ(box.replaced(), 2);
  EXPECT_EQ(box.TakeFor(std::chrono::milliseconds(1)), std::nullopt);
  box.Put(4);
  box.Close();
  EXPECT_FALSE(box.Put(5));
  EXPECT_EQ(box.Take(), 4);
  EXPECT_EQ(box.Take(), std::nullopt);
  EXPECT_TRUE(box.finished());
}

TEST(Mailbox, KeepAllLosesNothing) {
  Mailbox<int> box(true);
  std::thread producer([&] {
    for (int i = 0; i < 1000; ++i) box.Put(i);
    box.Close();
  });
  int expected = 0;
  while (auto v = box.Take()) EXPECT_EQ(*v, expected++);
  producer.join();
  EXPECT_EQ(expected, 1000);
  EXPECT_EQ(box.replaced(), 0);
}

TEST(Latency, PercentilesAndRates) {
  Latency l;
  const LiveClock::time_point start = LiveClock::now();
  EXPECT_EQ(l.All().count, 0);
  // 1000 values of 0.1 to 100 ms, one every 10 ms.
  for (int i = 1; i <= 1000; ++i) {
    const LiveClock::time_point at = start + std::chrono::milliseconds(10 * i);
    l.Add(at - std::chrono::microseconds(100 * i - 50), at);
  }
  EXPECT_NEAR(l.All().p50, 50, 0.11);
  EXPECT_NEAR(l.All().p99, 99, 0.11);
  EXPECT_NEAR(l.All().max, 99.95, 0.01);
  const LiveClock::time_point end = start + std::chrono::seconds(10);
  EXPECT_EQ(l.Recent(end).count, 256);
  EXPECT_NEAR(l.Recent(end).p50, 87.2, 0.3);
  EXPECT_NEAR(l.Rate(end), 100, 2);
  EXPECT_EQ(l.Rate(end + std::chrono::seconds(3)), 0);
  l.Add(start, start + std::chrono::seconds(60));
  EXPECT_DOUBLE_EQ(l.All().max, 60000);
}

}  // namespace
}  // namespace mfs
