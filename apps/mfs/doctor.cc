extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "command.h"
#include "nn/cpu_level.h"

namespace mfs::app {
namespace {

int RunDoctor(bool as_json) {
  nlohmann::json j;
  bool healthy = true;
  j["version"] = MFS_VERSION;
  const StatusOr<std::string> level = ChooseCpuLevel("");
  if (!level.ok()) return Fail(level.status().WithPrefix("MFS_CPU: "));
  j["cpu"] = {{"levels", CpuLevels()}, {"used", *level}, {"threads", std::thread::hardware_concurrency()}};
  j["memory_mib"] = {{"total", (sysconf(_SC_PHYS_PAGES) * static_cast<int64_t>(sysconf(_SC_PAGE_SIZE))) >> 20},
                     {"available", (sysconf(_SC_AVPHYS_PAGES) * static_cast<int64_t>(sysconf(_SC_PAGE_SIZE))) >> 20}};
  j["ffmpeg"] = av_version_info();
  for (const char* name : {"libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"}) j["encoders"][name] = avcodec_find_encoder_by_name(name) != nullptr;
  auto store = ModelStore::Open({});
  if (store.ok()) {
    j["models_dir"] = store->models_dir();
    j["cache_dir"] = store->cache_dir();
    for (const ModelEntry& e : store->entries()) {
      if (e.group != "own" && e.group != "models") continue;
      const ModelState s = store->Check(e);
      j["models"][e.name] = s == ModelState::kOk ? "ok" : s == ModelState::kMissing ? "missing" : "tampered";
      healthy = healthy && s == ModelState::kOk;
    }
  } else {
    j["models"] = store.status().message();
    healthy = false;
  }
  j["healthy"] = healthy;
  if (as_json) {
    std::printf("%s\n", j.dump(2).c_str());
  } else {
    std::printf("mfs %s\n", MFS_VERSION);
    std::printf("CPU levels:");
    for (const std::string& l : CpuLevels()) std::printf(" %s", l.c_str());
    std::printf(" (%s is used%s), %u threads\n", level->c_str(), std::getenv("MFS_CPU") != nullptr ? ", as MFS_CPU says" : "", std::thread::hardware_concurrency());
    std::printf("memory: %lld MiB, %lld available\n", j["memory_mib"]["total"].get<long long>(), j["memory_mib"]["available"].get<long long>());
    std::printf("FFmpeg %s, encoders:", av_version_info());
    for (const auto& e : j["encoders"].items()) std::printf(" %s %s", e.key().c_str(), e.value().get<bool>() ? "yes" : "no");
    std::printf("\n");
    if (store.ok()) {
      std::printf("models in %s, fetched files in %s\n", store->models_dir().c_str(), store->cache_dir().c_str());
      for (const auto& m : j["models"].items()) std::printf("  %-8s %s\n", m.value().get<std::string>().c_str(), m.key().c_str());
    }
  }
  if (!store.ok()) return Fail(store.status());
  if (!healthy) return Fail(NotFound("models are missing or damaged; run: mfs models fetch"));
  return kDone;
}

}  // namespace

void AddDoctor(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("doctor", "What this machine offers: CPU features, codecs, models, memory");
  auto as_json = std::make_shared<bool>(false);
  c->add_flag("--json", *as_json, "As JSON");
  c->callback([=] { *run = [=] { return RunDoctor(*as_json); }; });
}

}  // namespace mfs::app
