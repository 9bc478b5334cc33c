// mfs join: puts the parts together that mfs swap --shard has made.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "command.h"
#include "swap/part_folder.h"
#include "swap/video_swap.h"

namespace mfs::app {

void AddJoin(CLI::App* app, Run* run) {
  struct Flags {
    std::vector<std::string> folders;
    std::string output, target;
    bool overwrite = false, json_output = false;
  };
  auto* c = app->add_subcommand("join", "Join the parts that mfs swap --shard has made");
  auto f = std::make_shared<Flags>();
  c->add_option("parts", f->folders, "Folders with parts (default: OUTPUT.mfs-part); several when the shards' folders were copied from several machines")->type_name("FOLDER");
  c->add_option("-o,--output", f->output, "The film; the same name as given to mfs swap, or at least the same extension")->type_name("FILE")->required();
  c->add_option("-t,--target", f->target, "The target video, if it lies elsewhere on this machine")->type_name("FILE");
  c->add_flag("-y,--yes", f->overwrite, "Overwrite the output");
  c->add_flag("--json", f->json_output, "Summary as JSON on stdout");
  c->callback([f, run] {
    *run = [f] {
      const Status output = CheckOutput(f->output, f->overwrite);
      if (!output.ok()) return Fail(output);
      if (f->folders.empty()) f->folders.push_back(PartFolder::NameFor(f->output));
      const auto report = JoinVideo(f->folders, f->target, f->output, CancelFlag());
      if (!report.ok()) return Fail(report.status());
      for (const std::string& w : report->warnings) Warn(f->output + ": " + w);
      if (f->json_output) {
        const nlohmann::json j{{"kind", "video"},
                               {"output", f->output},
                               {"frames", report->frames},
                               {"swapped", report->swapped},
                               {"passed_through", report->passed_through},
                               {"complete", report->input_end.ok()},
                               {"warnings", report->warnings}};
        std::printf("%s\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
      } else {
        std::printf("%s: %lld frames, %lld swapped, %lld passed through\n", f->output.c_str(), static_cast<long long>(report->frames), static_cast<long long>(report->swapped),
                    static_cast<long long>(report->passed_through));
      }
      return report->input_end.ok() ? kDone : Fail(report->input_end.WithPrefix("what could be read was written to " + f->output + ", but "));
    };
  });
}

}  // namespace mfs::app
