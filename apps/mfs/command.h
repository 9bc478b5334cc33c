// What the subcommands of mfs share.
#ifndef MFS_APPS_MFS_COMMAND_H_
#define MFS_APPS_MFS_COMMAND_H_

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "swap/engine.h"

namespace mfs::app {

inline constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2;

// Every subcommand registers itself and sets *run to what main calls after parsing; it returns the exit status.
using Run = std::function<int()>;
void AddSwap(CLI::App* app, Run* run);
void AddJoin(CLI::App* app, Run* run);
void AddLive(CLI::App* app, Run* run);
void AddIdentity(CLI::App* app, Run* run);
void AddFaces(CLI::App* app, Run* run);
void AddCompare(CLI::App* app, Run* run);
void AddModels(CLI::App* app, Run* run);
void AddDoctor(CLI::App* app, Run* run);
void AddBench(CLI::App* app, Run* run);

// "mfs: message" on stderr; returns the exit status that belongs to the error.
int Fail(const Status& status);
void Warn(const std::string& message);

// Refuses to overwrite without -y. The parent commands call it before any work.
Status CheckOutput(const std::string& output, bool overwrite);

// What --faces and --reference ask for together: who names a person means that one. Errors are wrong usage.
StatusOr<FaceSelection> SelectionOf(const std::string& faces, const std::string& reference);

// Turns true at the first Ctrl-C; the second one ends the program at once.
const std::atomic<bool>* CancelFlag();

}  // namespace mfs::app

#endif  // MFS_APPS_MFS_COMMAND_H_
