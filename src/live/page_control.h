// Ties the local page to a loop: its state as JSON, and the changes that the page asks for.
#ifndef MFS_LIVE_PAGE_CONTROL_H_
#define MFS_LIVE_PAGE_CONTROL_H_

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "live/identity_folder.h"
#include "live/live_loop.h"
#include "live/live_swapper.h"
#include "live/page_server.h"

namespace mfs {

// The summary of a run (also what `mfs live --json` prints).
nlohmann::json LiveStatsToJson(const LiveStats& stats);

// Thread-safe. The loop and the swapper must outlive it; the swapper begins with people[0].
class PageControl {
 public:
  PageControl(std::vector<IdentityChoice> people, LiveSwapper* swapper) : people_(std::move(people)), swapper_(swapper) {}
  // The page is served before there is a loop: until then it shows that it starts.
  void Attach(LiveLoop* loop);

  nlohmann::json State() const;
  // An object with any of: identity (index of a person), strength, edge_feather (numbers), mirror, paused (booleans).
  // Errors: kInvalidArgument, and nothing is changed.
  Status Change(const std::string& json);
  StatusOr<std::string> Picture(int person);
  // The person `step` places further in the list, and round again.
  void Next(int step);
  void TogglePaused();
  void ToggleMirror();

  PageHost Host();

 private:
  LiveLoop* loop() const;

  const std::vector<IdentityChoice> people_;
  LiveSwapper* const swapper_;
  mutable std::mutex mutex_;
  LiveLoop* loop_ = nullptr;
  std::map<int, std::string> pictures_;  // made when first asked for
};

}  // namespace mfs

#endif  // MFS_LIVE_PAGE_CONTROL_H_
