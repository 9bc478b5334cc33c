// mfs-train: everything from folders of photos to released weights, one subcommand per stage. Progress and errors go to stderr,
// results to stdout.
extern "C" {
#include <libavutil/log.h>
}

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "prepare.h"

namespace {

using mfs::Status;
using mfs::StatusOr;

std::atomic<bool> g_cancel{false};  // a signal handler can reach nothing else

void OnSignal(int) { g_cancel = true; }

int Fail(const Status& status) {
  std::fprintf(stderr, "mfs-train: %s\n", status.message().c_str());
  return 1;
}

void Progress(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

struct Command {
  mfs::ModelStoreOptions store;
  std::function<Status()> run;
};

void AddPrepare(CLI::App* app, Command* command) {
  auto* sub = app->add_subcommand("prepare", "Detect, align and measure the faces of photo folders into a cache");
  auto o = std::make_shared<mfs::train::PrepareOptions>();
  sub->add_option("folders", o->folders, "Folders with photos, one person each photo (searched recursively)")->required();
  sub->add_option("-o,--output", o->output, "Folder of the cache")->required();
  sub->add_option("--threads", o->threads, "Threads")->capture_default_str()->check(CLI::Range(1, 256));
  sub->add_option("--limit", o->limit, "At most so many pictures, evenly spread; 0: all")->capture_default_str();
  sub->add_option("--min-scale", o->min_scale, "Smallest face: photo pixels per pixel of the 224 crop")->capture_default_str();
  sub->add_option("--min-sharpness", o->min_sharpness, "Least variance of the Laplacian")->capture_default_str();
  sub->callback([=] {
    command->run = [=]() -> Status {
      o->cancel = &g_cancel;
      o->progress = Progress;
      MFS_ASSIGN_OR_RETURN(const mfs::ModelStore store, mfs::ModelStore::Open(command->store));
      MFS_ASSIGN_OR_RETURN(const auto report, mfs::train::Prepare(store, *o));
      std::printf("%d pictures, %d faces kept, %d of them for validation\n", report.pictures, report.kept, report.validation);
      for (const auto& [reason, count] : report.dropped) std::printf("dropped %d: %s\n", count, reason.c_str());
      return Status::Ok();
    };
  });
}

}  // namespace

int main(int argc, char** argv) {
  av_log_set_level(AV_LOG_QUIET);  // our own messages say it better
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  CLI::App app{"mfs-train: train MobileFaceSwap on a CPU. Use photos only as their terms allow."};
  app.set_version_flag("--version", std::string("mfs-train " MFS_VERSION));
  app.require_subcommand(1);
  Command command;
  AddPrepare(&app, &command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  const Status status = command.run();
  return status.ok() ? 0 : Fail(status);
}
