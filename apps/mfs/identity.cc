#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "command.h"

namespace mfs::app {

void AddIdentity(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("identity", "Make and inspect identity files");
  c->require_subcommand(1);
  struct Flags {
    std::vector<std::string> photos;
    std::string output, file;
    bool overwrite = false, json_output = false;
  };
  auto f = std::make_shared<Flags>();
  auto* create = c->add_subcommand("create", "Photos of one person -> identity file");
  create->add_option("photos", f->photos, "One or several photos")->required()->type_name("PHOTO");
  create->add_option("-o,--output", f->output, "Identity file (.safetensors)")->required()->type_name("FILE");
  create->add_flag("-y,--yes", f->overwrite, "Overwrite the output");
  create->callback([f, run] {
    *run = [f]() -> int {
      Status status = CheckOutput(f->output, f->overwrite);
      if (status.ok()) status = CheckWritable(f->output);
      if (status.ok() && Extension(f->output) != "safetensors") status = InvalidArgument(f->output + ": name the identity file .safetensors");
      if (!status.ok()) return Fail(status);
      auto engine = Engine::Create({});
      if (!engine.ok()) return Fail(engine.status());
      std::vector<std::string> warnings;
      auto identity = (*engine)->MakeIdentity(f->photos, &warnings);
      for (const std::string& w : warnings) Warn(w);
      if (!identity.ok()) return Fail(identity.status());
      status = SaveIdentity(*identity, f->output);
      if (!status.ok()) return Fail(status);
      std::printf("%s: identity from %d photo%s\n", f->output.c_str(), identity->sources, identity->sources == 1 ? "" : "s");
      return kDone;
    };
  });
  auto* info = c->add_subcommand("info", "What an identity file holds");
  info->add_option("file", f->file, "Identity file")->required()->type_name("FILE");
  info->add_flag("--json", f->json_output, "As JSON");
  info->callback([f, run] {
    *run = [f]() -> int {
      auto identity = LoadIdentity(f->file);
      if (!identity.ok()) return Fail(identity.status());
      if (f->json_output) {
        const nlohmann::json j = {{"file", f->file}, {"sources", identity->sources}, {"model_sha256", identity->model_sha256}, {"created_by", identity->created_by}, {"size", 224}};
        std::printf("%s\n", j.dump(2).c_str());
      } else {
        std::printf("%s: identity for 224 px, from %d photo%s, made by %s with model %s\n", f->file.c_str(), identity->sources, identity->sources == 1 ? "" : "s", identity->created_by.c_str(),
                    identity->model_sha256.substr(0, 12).c_str());
      }
      return kDone;
    };
  });
}

}  // namespace mfs::app
