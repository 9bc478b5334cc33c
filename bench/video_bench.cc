// A whole video, swapped, against the plain transcode of the same clip with the same codec settings through the same libraries: speed, stages
// and peak memory. Every run is a process of its own; the contenders take turns.
//   mfs_video_bench CLIP IDENTITY [ROUNDS [CODEC [PRESET]]]

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include <libavutil/log.h>
}

#include "base/file.h"
#include "swap/video_swap.h"

namespace {

using mfs::Status;

struct Result {
  double seconds = 0, cpu = 0;
  long peak_kib = 0;
  int64_t frames = 0, swapped = 0, detections = 0;
  mfs::StageTimes times;
};

// Runs in the child: what is written to the pipe.
int Child(const std::string& clip, const std::string& identity_file, const std::string& codec, const std::string& preset, bool swap, int pipe_fd) {
  const auto fail = [](const Status& s) {
    std::fprintf(stderr, "%s\n", s.message().c_str());
    return 1;
  };
  std::unique_ptr<mfs::Engine> engine;
  if (swap) {
    auto e = mfs::Engine::Create({});
    if (!e.ok()) return fail(e.status());
    engine = std::move(*e);
    const auto identity = mfs::LoadIdentity(identity_file);
    if (!identity.ok()) return fail(identity.status());
    if (const Status s = engine->SetIdentity(*identity, {}); !s.ok()) return fail(s);
  }
  mfs::VideoSwapOptions options;
  options.write.codec = codec;
  options.write.preset = preset;
  options.replace = true;
  const std::string output = "/tmp/mfs_video_bench_" + std::to_string(getpid()) + ".mkv";
  const auto report = mfs::SwapVideo(engine.get(), clip, output, options, nullptr, nullptr);
  mfs::RemoveFile(output);
  if (!report.ok()) return fail(report.status());
  Result r;
  r.seconds = report->seconds, r.frames = report->frames, r.swapped = report->swapped, r.detections = report->detections, r.times = report->times;
  return write(pipe_fd, &r, sizeof r) == sizeof r ? 0 : 1;
}

bool RunOnce(const std::string& clip, const std::string& identity, const std::string& codec, const std::string& preset, bool swap, Result* result) {
  int fds[2];
  if (pipe(fds) != 0) return false;
  const pid_t pid = fork();
  if (pid == 0) _exit(Child(clip, identity, codec, preset, swap, fds[1]));
  close(fds[1]);
  const bool got = read(fds[0], result, sizeof *result) == sizeof *result;
  close(fds[0]);
  int status = 0;
  rusage usage{};
  wait4(pid, &status, 0, &usage);
  result->peak_kib = usage.ru_maxrss;
  const auto seconds = [](const timeval& t) { return t.tv_sec + 1e-6 * t.tv_usec; };
  result->cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  return got && status == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: mfs_video_bench CLIP IDENTITY [ROUNDS [CODEC [PRESET]]]\n");
    return 2;
  }
  av_log_set_level(AV_LOG_QUIET);
  const std::string clip = argv[1], identity = argv[2], codec = argc > 4 ? argv[4] : "x264", preset = argc > 5 ? argv[5] : "";
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  std::vector<Result> plain(rounds), swapped(rounds);
  for (int i = 0; i < rounds; ++i) {
    if (!RunOnce(clip, identity, codec, preset, false, &plain[i]) || !RunOnce(clip, identity, codec, preset, true, &swapped[i])) return 1;
  }
  const auto median = [](const std::vector<Result>& v, auto field) {
    std::vector<double> values;
    for (const Result& r : v) values.push_back(field(r));
    std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
    return values[values.size() / 2];
  };
  const auto fps = [](const Result& r) { return r.frames / r.seconds; };
  const auto cpu = [](const Result& r) { return 1e3 * r.cpu / r.frames; };
  const auto peak = [](const Result& r) { return r.peak_kib / 1024.0; };
  std::printf("%s, %s %s, %lld frames, %lld swapped, detector ran in %lld, %d rounds in turn, medians\n", clip.c_str(), codec.c_str(), preset.c_str(), static_cast<long long>(swapped[0].frames),
              static_cast<long long>(swapped[0].swapped), static_cast<long long>(swapped[0].detections), rounds);
  std::printf("| | frames/s | processor ms per frame | peak memory MiB |\n|---|---|---|---|\n");
  std::printf("| plain transcode | %.1f | %.1f | %.0f |\n", median(plain, fps), median(plain, cpu), median(plain, peak));
  std::printf("| swapped | %.1f | %.1f | %.0f |\n", median(swapped, fps), median(swapped, cpu), median(swapped, peak));
  std::printf("ratio of speed %.3f, peak memory beyond the transcode %.0f MiB\n", median(swapped, fps) / median(plain, fps), median(swapped, peak) - median(plain, peak));
  const auto stage = [&](const char* name, auto field) { std::printf("| %s | %.2f |\n", name, median(swapped, [&](const Result& r) { return 1e3 * field(r.times) / r.frames; })); };
  std::printf("stages side by side, wall ms per frame in the stage's thread (waiting for a free core included)\n| stage | ms |\n|---|---|\n");
  stage("decode", [](const mfs::StageTimes& t) { return t.decode; });
  stage("track", [](const mfs::StageTimes& t) { return t.detect; });
  stage("align", [](const mfs::StageTimes& t) { return t.align; });
  stage("swap", [](const mfs::StageTimes& t) { return t.swap; });
  stage("paste", [](const mfs::StageTimes& t) { return t.paste; });
  stage("encode", [](const mfs::StageTimes& t) { return t.encode; });
  return 0;
}
