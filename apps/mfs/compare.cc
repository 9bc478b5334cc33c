#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.h"

namespace mfs::app {

void AddCompare(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("compare", "Do two photos show the same person?");
  auto files = std::make_shared<std::array<std::string, 2>>();
  auto as_json = std::make_shared<bool>(false);
  c->add_option("a", (*files)[0], "Photo or identity file")->required();
  c->add_option("b", (*files)[1], "Photo or identity file")->required();
  c->add_flag("--json", *as_json, "As JSON");
  c->callback([=] {
    *run = [=]() -> int {
      auto engine = Engine::Create({});
      if (!engine.ok()) return Fail(engine.status());
      std::array<float, 512> z[2];
      for (int i = 0; i < 2; ++i) {
        std::vector<std::string> warnings;
        auto identity = (*engine)->LoadOrMakeIdentity({(*files)[i]}, &warnings);
        for (const std::string& w : warnings) Warn(w);
        if (!identity.ok()) return Fail(identity.status());
        z[i] = identity->z;
      }
      const float cosine = CosineSimilarity(z[0], z[1]);
      // Two photos of one person 0.68 +- 0.12, of two persons 0.005 +- 0.097 on LFW (docs/models.md).
      const bool same = cosine >= 0.35f;
      if (*as_json) {
        std::printf("%s\n", nlohmann::json{{"cosine", cosine}, {"same_person", same}}.dump().c_str());
      } else {
        std::printf("cosine %.3f: %s\n", cosine, same ? "probably the same person" : "probably two persons");
      }
      return kDone;
    };
  });
}

}  // namespace mfs::app
