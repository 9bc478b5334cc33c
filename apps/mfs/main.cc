// mfs: swaps faces in pictures and videos. Results go to stdout, progress and errors to stderr.
extern "C" {
#include <libavutil/log.h>
}

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "base/file.h"
#include "command.h"

namespace mfs::app {
namespace {

std::atomic<bool> g_cancel{false};  // a signal handler can reach nothing else

// The first signal asks the job to stop and to remove what it has not finished; one more, a second or later, ends the program
// on the spot. Sooner it is the same key press: some terminals and timeout(1) signal the process and its group.
void OnSignal(int signal) {
  static volatile std::sig_atomic_t first_second = 0;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (!g_cancel.exchange(true)) {
    first_second = static_cast<std::sig_atomic_t>(now.tv_sec);
  } else if (now.tv_sec > first_second + 1) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

// The parser's words name neither the command nor what was mistyped first.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error, const std::string& first) {
  std::string names;
  for (const CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; })) names += (names.empty() ? "" : ", ") + c->get_name();
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) {
    if (!first.empty() && first[0] != '-') return "there is no command '" + first + "'; there are " + names + " (mfs --help says what they do)";
    return std::string(error.what()) + " (mfs --help lists the commands: " + names + ")";
  }
  const std::string help = " (mfs " + chosen[0]->get_name() + " --help lists the options)";
  for (const std::string& word : chosen[0]->remaining()) {
    if (word.size() > 1 && word[0] == '-') return "mfs " + chosen[0]->get_name() + " has no option " + word + help;
  }
  return error.what() + help;
}

}  // namespace

int Fail(const Status& status) {
  std::fprintf(stderr, "mfs: %s\n", status.message().c_str());
  return kFailed;
}

void Warn(const std::string& message) { std::fprintf(stderr, "mfs: warning: %s\n", message.c_str()); }

StatusOr<FaceSelection> SelectionOf(const std::string& faces, const std::string& reference) {
  if (faces == "all" && !reference.empty()) return InvalidArgument("--reference PHOTO and --faces all contradict each other; leave one out");
  if (faces == "reference" && reference.empty()) return InvalidArgument("--faces reference needs --reference PHOTO");
  return faces == "all" ? FaceSelection::kAll : reference.empty() ? FaceSelection::kLargest : FaceSelection::kReference;
}

Status CheckOutput(const std::string& output, bool overwrite) {
  if (FileExists(output) && !overwrite) return AlreadyExists(output + ": exists already; use -y to overwrite it");
  return Status::Ok();
}

const std::atomic<bool>* CancelFlag() {
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  return &g_cancel;
}

}  // namespace mfs::app

int main(int argc, char** argv) {
  using namespace mfs::app;
  av_log_set_level(AV_LOG_QUIET);  // our own messages say it better
  setenv("SVT_LOG", "1", 0);       // errors only: this encoder prints a banner of its own
  CLI::App app{"mfs: swap faces in pictures and videos on an ordinary CPU. Use it with the consent of the people shown."};
  app.set_version_flag("--version", std::string("mfs " MFS_VERSION));
  app.require_subcommand(1);
  Run run;
  AddSwap(&app, &run);
  AddJoin(&app, &run);
#ifdef MFS_HAVE_LIVE
  AddLive(&app, &run);
#endif
  AddIdentity(&app, &run);
  AddFaces(&app, &run);
  AddCompare(&app, &run);
  AddModels(&app, &run);
  AddDoctor(&app, &run);
  AddBench(&app, &run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    std::fprintf(stderr, "mfs: %s\n", WhatIsWrong(app, e, argc > 1 ? argv[1] : "").c_str());
    return kWrongUsage;
  }
  try {
    const int done = run();
    // Results that the disk or the reader did not take are none.
    if (done == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)) return Fail(mfs::IoError("the results could not be written to the standard output"));
    return done;
  } catch (const std::bad_alloc&) {
    return Fail(mfs::OutOfMemory("not enough memory; try a smaller picture"));
  } catch (const std::exception& e) {
    return Fail(mfs::Internal(e.what()));
  }
}
