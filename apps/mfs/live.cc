#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/file.h"
#include "command.h"
#include "live/av_source.h"
#include "live/camera_source.h"
#include "live/identity_folder.h"
#include "live/live_loop.h"
#include "live/live_swapper.h"
#include "live/page_control.h"
#include "live/page_server.h"
#include "live/raw_sink.h"
#include "live/raw_source.h"
#include "live/v4l2_sink.h"
#include "live/window_sink.h"

namespace mfs::app {
namespace {

struct LiveFlags {
  std::vector<std::string> sources;
  std::string identities, input = "/dev/video0", raw, size = "1280x720", input_format, faces = "largest", reference, virtual_camera, stdout_pixels;
  CameraOptions camera;
  LiveOptions loop;
  SwapOptions swap;
  int threads = 0, page_port = -1;
  bool loop_file = false, window = false, to_stdout = false, json_output = false, one_stage = false;
};

bool IsCamera(const std::string& input) { return input.rfind("/dev/", 0) == 0; }

StatusOr<LiveSourceMaker> MakeSource(const LiveFlags& f) {
  LiveSourceMaker maker;
  if (f.input == "-") {
    if (f.raw.empty()) return InvalidArgument("raw frames on stdin need --raw WIDTHxHEIGHT:PIXELS[@FPS], for example --raw 1280x720:nv12@30");
    MFS_ASSIGN_OR_RETURN(const RawFormat raw, ParseRawFormat(f.raw));
    maker.open = [raw](const std::atomic<bool>*) -> StatusOr<std::unique_ptr<LiveSource>> { return std::unique_ptr<LiveSource>(new RawSource(STDIN_FILENO, raw)); };
    return maker;
  }
  if (!f.raw.empty()) return InvalidArgument("--raw describes frames on stdin; it goes with -i -");
  if (f.input_format.empty() && IsCamera(f.input)) {
    CameraOptions camera = f.camera;
    camera.device = f.input;
    MFS_ASSIGN_OR_RETURN(const RawFormat size, ParseRawFormat(f.size));
    camera.width = size.width, camera.height = size.height;
    maker.reconnects = true;
    maker.open = [camera](const std::atomic<bool>*) { return CameraSource::Open(SystemV4l2(), camera); };
    return maker;
  }
  AvSourceOptions av;
  av.url = f.input;
  av.input_format = f.input_format;
  const bool file = f.input_format.empty() && FileExists(f.input);
  if (!file && f.input_format.empty() && f.input.find("://") == std::string::npos) return NotFound(f.input + ": no such file, camera or address");
  av.paced = !f.loop.every_frame;
  av.loop = file && f.loop_file;
  maker.reconnects = !file;
  maker.open = [av](const std::atomic<bool>* stop) { return AvSource::Open(av, stop); };
  return maker;
}

// One line that rewrites itself on a terminal.
class StatusLine {
 public:
  // What the source turned out to be, once: a camera takes the nearest to what was asked.
  void ShowSource(const LiveStats& s) {
    if (source_shown_ || s.source_name.empty()) return;
    source_shown_ = true;
    End();
    std::fprintf(stderr, "mfs: input: %s\n", s.source_name.c_str());
  }
  bool source_shown() const { return source_shown_; }
  void Show(const LiveStats& s) {
    if (!terminal_) {
      if (s.source != last_source_ && s.source == LiveStats::Source::kLost) Warn(s.source_error + "; waiting for it");
      if (s.source != last_source_ && last_source_ == LiveStats::Source::kLost && s.source == LiveStats::Source::kRunning) std::fprintf(stderr, "mfs: it is back: %s\n", s.source_name.c_str());
      last_source_ = s.source;
      return;
    }
    char text[200];
    if (s.source == LiveStats::Source::kLost) {
      snprintf(text, sizeof text, "waiting: %s", s.source_error.c_str());
    } else {
      snprintf(text, sizeof text, "%5.1f fps, latency %.0f ms (worst 1 %%: %.0f), %lld frames, %lld left out%s", s.fps, s.recent.p50, s.recent.p99, static_cast<long long>(s.processed),
               static_cast<long long>(s.dropped), s.paused ? ", paused" : "");
    }
    std::fprintf(stderr, "\r%-100.100s", text);
    shown_ = true;
  }
  void End() {
    if (shown_) std::fprintf(stderr, "\r%-100s\r", "");
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  bool shown_ = false, source_shown_ = false;
  LiveStats::Source last_source_ = LiveStats::Source::kOpening;
};

void PrintSummary(const LiveStats& s, bool json_output, std::FILE* out) {
  if (json_output) {
    std::fprintf(out, "%s\n", LiveStatsToJson(s).dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return;
  }
  std::fprintf(out, "%lld frames in %.1f s (%.1f fps), %lld swapped, %lld without a face, %lld left out for newer ones, %lld garbage, %d reconnects; latency %.1f ms, worst 1 %% %.1f ms\n",
               static_cast<long long>(s.processed), s.seconds, s.mean_fps, static_cast<long long>(s.swapped), static_cast<long long>(s.without_face), static_cast<long long>(s.dropped),
               static_cast<long long>(s.garbage), s.reconnects, s.latency.p50, s.latency.p99);
}

int WrongUsage(const char* what) {
  std::fprintf(stderr, "mfs: %s (mfs live --help)\n", what);
  return kWrongUsage;
}

int RunLive(const LiveFlags& f) {
  const auto selection = SelectionOf(f.faces, f.reference);
  if (!selection.ok()) return WrongUsage(selection.status().message().c_str());
  if (f.sources.empty() && f.identities.empty()) return WrongUsage("live needs -s SOURCE or --identities FOLDER");
  if (f.to_stdout && f.json_output) return WrongUsage("--stdout and --json both want stdout; leave one out");
  if (f.loop.hide_without_face && f.faces == "all") return WrongUsage("--hide-without-face watches over one face, yours: leave out --faces all");
  auto source = MakeSource(f);
  if (!source.ok()) return Fail(source.status());
  RawSinkOptions raw_sink;
  if (!f.stdout_pixels.empty()) {
    auto pixels = PixelFormatByName(f.stdout_pixels);
    if (!pixels.ok()) return Fail(pixels.status());
    raw_sink.pixels = *pixels;
  }
  const std::atomic<bool>* cancel = CancelFlag();  // from here on: loading takes its time
  std::signal(SIGPIPE, SIG_IGN);                   // a closed pipe is an answer of write(), not the end of the program

  const auto people = ListPeople(f.sources, f.identities);
  if (!people.ok()) return Fail(people.status());
  auto engine = Engine::Create({});
  if (!engine.ok()) return Fail(engine.status());
  SwapOptions swap = f.swap;
  swap.faces = *selection;
  swap.threads = f.threads > 0 ? f.threads : std::max(1, std::min(4, static_cast<int>(std::thread::hardware_concurrency())));
  swap.cpu = (*engine)->cpu();
  std::vector<std::string> warnings;
  if (swap.faces == FaceSelection::kReference) {
    auto reference = (*engine)->LoadOrMakeIdentity({f.reference}, &warnings);
    if (!reference.ok()) return Fail(reference.status().WithPrefix("reference: "));
    swap.references.push_back(reference->z);
  }
  auto identity = (*engine)->LoadOrMakeIdentity((*people)[0].sources, &warnings);
  for (const std::string& w : warnings) Warn(w);
  if (!identity.ok()) return Fail(identity.status());
  FrameSwapperOptions swapper_options;
  swapper_options.keep_person = f.loop.hide_without_face;
  auto swapper = LiveSwapper::Create(std::move(*engine), *identity, (*people)[0].name, swap, swapper_options);
  if (!swapper.ok()) return Fail(swapper.status());

  PageControl control(*people, swapper->get());
  LiveSinks sinks;
  if (!f.virtual_camera.empty()) sinks.push_back(std::make_unique<V4l2Sink>(SystemV4l2(), V4l2SinkOptions{f.virtual_camera, 0, 0}));
  if (f.to_stdout) {
    raw_sink.announce = [](const std::string& format) { std::fprintf(stderr, "mfs: raw frames on stdout: %s\n", format.c_str()); };
    sinks.push_back(std::make_unique<RawSink>(STDOUT_FILENO, raw_sink));
  }
  if (f.window) {
    WindowOptions window;
    window.key = [&control](WindowKey key) {
      switch (key) {
        case WindowKey::kMirror: return control.ToggleMirror();
        case WindowKey::kPause: return control.TogglePaused();
        case WindowKey::kNext: return control.Next(1);
        case WindowKey::kPrevious: return control.Next(-1);
        case WindowKey::kFullScreen: return;
      }
    };
    auto sink = MakeWindowSink(window);
    if (!sink.ok()) return Fail(sink.status());
    sinks.push_back(std::move(*sink));
  }
  std::unique_ptr<PageServer> page;
  if (f.page_port >= 0 || sinks.empty()) {
    PageOptions options;
    options.port = std::max(0, f.page_port);
    auto started = PageServer::Start(options, control.Host());
    if (!started.ok()) return Fail(started.status());
    page = std::move(*started);
    sinks.push_back(page->MakeSink());
    std::fprintf(stderr, "mfs: open %s\n", page->url().c_str());
  }

  LiveOptions options = f.loop;
  options.two_stages = !f.one_stage;
  LiveStats stats;
  Status status;
  {
    LiveLoop loop(options, std::move(*source), std::move(sinks), swapper->get());
    control.Attach(&loop);
    std::atomic<bool> ended{false};
    StatusLine line;
    std::thread show([&] {
      std::set<size_t> told;
      for (int i = 0; !ended; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        if (i % 10 != 9 && line.source_shown()) continue;
        const LiveStats now = loop.Stats();
        line.ShowSource(now);
        if (i % 10 != 9) continue;
        const std::vector<std::string> failed = NewFailures(now, &told);
        if (!failed.empty()) line.End();
        for (const std::string& what : failed) Warn(what + (told.size() < now.sinks.size() ? "; the other outputs go on" : ""));
        line.Show(now);
      }
    });
    status = loop.Run(cancel);
    ended = true;
    show.join();
    line.End();
    stats = loop.Stats();
    line.ShowSource(stats);  // of a run that was over before it could be said
    if (status.ok() || stats.processed > 0) PrintSummary(stats, f.json_output, f.json_output ? stdout : stderr);
    control.Attach(nullptr);
    page.reset();  // its threads may still be asking the loop
  }
  std::set<size_t> told;
  std::vector<std::string> failed = NewFailures(stats, &told);
  if (!status.ok()) {
    // The last output's failure is the loop's own.
    failed.erase(std::remove_if(failed.begin(), failed.end(), [&](const std::string& what) { return what.find(status.message()) != std::string::npos; }), failed.end());
    for (const std::string& what : failed) Warn(what);
    return Fail(status);
  }
  if (failed.empty()) return kDone;
  for (size_t i = 0; i + 1 < failed.size(); ++i) (void)Fail(IoError(failed[i]));
  return Fail(IoError(failed.back()));
}

}  // namespace

void AddLive(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("live", "Swap faces in a running picture: a camera, a stream, a file as if live. Ctrl-C ends it");
  auto f = std::make_shared<LiveFlags>();
  c->add_option("-s,--source", f->sources, "One or several photos of a person, or an identity file")->type_name("PHOTO|IDENTITY");
  c->add_option("--identities", f->identities, "Folder of identity files and photos to choose from while it runs")->type_name("FOLDER");
  c->add_option("-i,--input", f->input, "Camera (/dev/videoN), video file, address (rtsp://, http://, ...), or - for raw frames on stdin")->capture_default_str();
  c->add_option("--raw", f->raw, "Format of raw frames on stdin: WIDTHxHEIGHT[:PIXELS][@FPS]")->type_name("1280x720:nv12@30");
  c->add_option("--input-format", f->input_format, "FFmpeg's name of the input's format or device (x11grab, lavfi, avfoundation, dshow, ...)")->type_name("NAME");
  c->add_flag("--loop", f->loop_file, "A file starts again at its end");
  c->add_option("--size", f->size, "Picture size asked of the camera")->type_name("WxH")->capture_default_str();
  c->add_option("--fps", f->camera.fps, "Frames a second asked of the camera")->check(CLI::Range(1.0, 240.0))->capture_default_str();
  c->add_option("--camera-format", f->camera.format, "mjpeg, yuyv, uyvy, nv12, yu12, rgb24, bgr24 or grey (default: what suits the size)");
  c->add_option("--virtual-camera", f->virtual_camera, "Write to this v4l2loopback device, from which calls and OBS read")->type_name("/dev/videoN");
  c->add_flag("--window", f->window, "Show the result in a window (M mirror, space pause, arrows next person, F full screen, Q quit)");
  c->add_flag("--stdout", f->to_stdout, "Write raw frames to stdout");
  c->add_option("--stdout-pixels", f->stdout_pixels, "Their pixel format (default: that of the input)")->type_name("nv12|yuv420p|rgb24|...");
  c->add_option("--page", f->page_port, "Serve the local page on this port (0: any); without another output it is served anyway")->expected(0, 1)->default_str("0")->check(CLI::Range(0, 65535));
  c->add_flag("--mirror", f->loop.mirror, "Swap left and right");
  c->add_option("--max-fps", f->loop.max_fps, "Process at most so many frames a second")->check(CLI::Range(0.1, 1000.0));
  c->add_option("--duration", f->loop.duration, "End after so many seconds")->check(CLI::PositiveNumber);
  c->add_flag("--every-frame", f->loop.every_frame, "Leave no frame out; the input waits instead (stdin and files)");
  c->add_flag("--hide-without-face", f->loop.hide_without_face, "Never show a frame in which your face (the first largest one, or --reference) was not surely swapped; the last swapped one stays");
  c->add_option("--faces", f->faces, "Which faces are swapped")->check(CLI::IsMember({"largest", "all", "reference"}))->capture_default_str();
  c->add_option("--reference", f->reference, "Photo of the person to be replaced; the others stay as they are")->type_name("PHOTO");
  c->add_option("--similarity", f->swap.similarity, "Least cosine at which a face is the person of --reference or --map, or the largest face's person again")
      ->check(CLI::Range(-1.0, 1.0))
      ->capture_default_str();
  c->add_option("--strength", f->swap.compose.strength, "0 keeps the target, 1 swaps fully")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  c->add_flag("--int8", f->swap.int8, "The network's matrices in 8 bits: faster, a fifth of a grey level off in the mean (needs AVX-512 VNNI)");
  c->add_option("--threads", f->threads, "Threads of the swapping network (default: all, at most 4)")->check(CLI::Range(1, 64));
  c->add_flag("--one-stage", f->one_stage, "Track and swap one after the other on one thread");
  c->add_flag("--json", f->json_output, "Summary as JSON on stdout at the end");
  c->callback([f, run] { *run = [f] { return RunLive(*f); }; });
}

}  // namespace mfs::app
