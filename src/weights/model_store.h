// The weights on disk: where each file lies, what it must hash to, where it came from and under which terms.
#ifndef MFS_WEIGHTS_MODEL_STORE_H_
#define MFS_WEIGHTS_MODEL_STORE_H_

#include <string>
#include <vector>

#include "base/status.h"

namespace mfs {

struct ModelStoreOptions {
  // Folder with our own weights and the two manifests. "": $MFS_MODELS, else found relative to the loaded library or
  // program (../share/mobilefaceswap/models when installed, the source tree's models/ when built in it).
  std::string models_dir;
  // Folder with the files of others. "": DefaultCacheDir().
  std::string cache_dir;
};

struct ModelEntry {
  std::string group;  // own, models, eval, media, runtime
  std::string name;   // file name, the key
  std::string path;   // where it lies or should lie
  std::string sha256;
  std::string provenance;  // npm package@version, or how it was trained
  std::string licence;
  std::string purpose;
};

enum class ModelState { kOk, kMissing, kTampered };

class ModelStore {
 public:
  // Reads manifest.tsv (own) and third_party.tsv. Errors: kNotFound when the folder is nowhere, kCorruptData.
  static StatusOr<ModelStore> Open(const ModelStoreOptions& options);

  const std::vector<ModelEntry>& entries() const { return entries_; }
  const ModelEntry* Find(const std::string& name) const;
  const std::string& models_dir() const { return models_dir_; }
  const std::string& cache_dir() const { return cache_dir_; }
  // Hashes the file.
  ModelState Check(const ModelEntry& entry) const;
  // The checked content. Errors: kNotFound (missing; says how to fetch), kCorruptData (checksum differs).
  StatusOr<std::string> Load(const std::string& name) const;

 private:
  Status ReadManifest(const std::string& path, bool own);

  std::string models_dir_, cache_dir_;
  std::vector<ModelEntry> entries_;
};

}  // namespace mfs

#endif  // MFS_WEIGHTS_MODEL_STORE_H_
