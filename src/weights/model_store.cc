#include "weights/model_store.h"

#include <dlfcn.h>
#include <limits.h>

#include <cstdlib>
#include <sstream>

#include "base/file.h"
#include "base/sha256.h"

namespace mfs {
namespace {

std::vector<std::string> SplitTabs(const std::string& line) {
  std::vector<std::string> fields;
  std::string field;
  std::istringstream in(line);
  while (std::getline(in, field, '\t')) fields.push_back(field);
  return fields;
}

// Folder of the program or shared library that holds this code.
std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&OwnFolder), &info) == 0 || info.dli_fname == nullptr) return "";
  char resolved[PATH_MAX];
  // A program started by its bare name is not found under dli_fname.
  const char* name = info.dli_fname[0] == '/' || FileExists(info.dli_fname) ? info.dli_fname : "/proc/self/exe";
  if (realpath(name, resolved) == nullptr) return "";
  return DirName(resolved);
}

std::string FindModelsDir(const std::string& wish) {
  std::vector<std::string> candidates;
  const char* env = std::getenv("MFS_MODELS");
  if (!wish.empty()) {
    candidates = {wish};
  } else if (env != nullptr && *env != '\0') {
    candidates = {env};
  } else {
    const std::string own = OwnFolder();
    // Installed (bin or lib, lib/<triplet>), then built in the source tree (build/<preset>/bin or lib).
    for (const char* up : {"/../share/mobilefaceswap/models", "/../../share/mobilefaceswap/models", "/../../../models", "/../../models"}) {
      candidates.push_back(own + up);
    }
  }
  for (const std::string& dir : candidates) {
    if (FileExists(dir + "/third_party.tsv")) return dir;
  }
  return "";
}

}  // namespace

StatusOr<ModelStore> ModelStore::Open(const ModelStoreOptions& options) {
  ModelStore store;
  store.models_dir_ = FindModelsDir(options.models_dir);
  if (store.models_dir_.empty()) {
    return NotFound("the models folder (third_party.tsv, manifest.tsv) was not found; set MFS_MODELS or give its path");
  }
  store.cache_dir_ = options.cache_dir.empty() ? DefaultCacheDir() : options.cache_dir;
  MFS_RETURN_IF_ERROR(store.ReadManifest(store.models_dir_ + "/manifest.tsv", true));
  MFS_RETURN_IF_ERROR(store.ReadManifest(store.models_dir_ + "/third_party.tsv", false));
  return store;
}

Status ModelStore::ReadManifest(const std::string& path, bool own) {
  MFS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1 << 20));
  std::istringstream in(text);
  std::string line;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> f = SplitTabs(line);
    ModelEntry e;
    if (own) {
      if (f.size() != 5) return CorruptData(path + ": a line does not have 5 fields");
      e = {"own", f[0], models_dir_ + "/" + f[0], f[1], f[2], f[3], f[4]};
    } else {
      if (f.size() != 9) return CorruptData(path + ": a line does not have 9 fields");
      e = {f[0], f[1], cache_dir_ + "/" + f[0] + "/" + f[1], f[6], "npm " + f[2], f[7], f[8]};
    }
    if (e.sha256.size() != 64 || e.name.find("..") != std::string::npos) return CorruptData(path + ": a line is malformed");
    entries_.push_back(std::move(e));
  }
  return Status::Ok();
}

const ModelEntry* ModelStore::Find(const std::string& name) const {
  for (const ModelEntry& e : entries_) {
    if (e.name == name) return &e;
  }
  return nullptr;
}

ModelState ModelStore::Check(const ModelEntry& entry) const {
  const auto bytes = ReadFile(entry.path);
  if (!bytes.ok()) return ModelState::kMissing;
  return Sha256Hex(bytes->data(), bytes->size()) == entry.sha256 ? ModelState::kOk : ModelState::kTampered;
}

StatusOr<std::string> ModelStore::Load(const std::string& name) const {
  const ModelEntry* e = Find(name);
  if (e == nullptr) return NotFound("no model is called " + name + "; see `mfs models list`");
  auto bytes = ReadFile(e->path);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return NotFound("the model " + name + " is missing (" + e->path + "); fetch it once with network: mfs models fetch, or fetch.sh of the installation");
  }
  if (!bytes.ok()) return bytes.status();
  if (Sha256Hex(bytes->data(), bytes->size()) != e->sha256) {
    return CorruptData("the model " + name + " was changed or damaged (checksum differs): delete " + e->path +
                       (e->group == "own" ? " and restore it from the repository" : " and run: mfs models fetch"));
  }
  return bytes;
}

}  // namespace mfs
