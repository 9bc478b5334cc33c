#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "identity/iin.h"
#include "idn/idn.h"
#include "nets.h"
#include "nn/cpu_level.h"
#include "weights/model_store.h"
#include "weights/safetensors.h"

namespace mfs::bench {

StatusOr<std::shared_ptr<const IdnCase>> LoadIdnCase() {
  MFS_ASSIGN_OR_RETURN(auto store, ModelStore::Open({}));
  MFS_ASSIGN_OR_RETURN(auto bytes, store.Load("mfs-slim-224.safetensors"));
  MFS_ASSIGN_OR_RETURN(auto file, SafetensorsFile::FromBuffer(bytes));
  MFS_ASSIGN_OR_RETURN(auto network, InjectionNetwork::Create(file));
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> z(512), map(512 * 49);
  double squares = 0;
  for (float& v : z) v = normal(rng), squares += v * v;
  for (float& v : z) v /= static_cast<float>(std::sqrt(squares));
  for (float& v : map) v = 0.2f * normal(rng);
  auto c = std::make_shared<IdnCase>();
  c->target.resize(3 * kIdnSize * kIdnSize);
  for (float& v : c->target) v = std::uniform_real_distribution<float>(0, 1)(rng);
  MFS_ASSIGN_OR_RETURN(c->weights, network->Run(z.data(), map.data()));
  return std::shared_ptr<const IdnCase>(std::move(c));
}

Status AddIdn(std::shared_ptr<const IdnCase> c, Race* race) {
  const std::vector<std::string> levels = CpuLevels();
  for (const std::string& level : levels) {
    for (const auto& [threads, int8] : {std::pair<int, bool>{1, false}, {2, false}, {1, true}, {2, true}}) {
      if ((threads == 2 && level != levels[0] && level != "avx2") || (int8 && level != levels[0])) continue;
      IdnOptions options;
      options.cpu = level;
      options.threads = threads;
      options.int8 = int8;
      auto idn = Idn::Create(c->weights, options);
      if (int8 && idn.status().code() == StatusCode::kUnsupported) continue;
      MFS_RETURN_IF_ERROR(idn.status());
      std::shared_ptr<Idn> shared = std::move(*idn);
      auto image = std::make_shared<std::vector<float>>(c->target.size());
      auto mask = std::make_shared<std::vector<float>>(c->target.size() / 3);
      race->Add({"idn224", int8 ? "mfs int8" : "mfs", level, threads, kIdnMmac, [=] { return shared->Run(c->target.data(), nullptr, mask->data(), image->data()); }, [=] { return image.get(); },
                 int8 ? 0.25f : 1e-3f});
    }
  }
  return Status::Ok();
}

StatusOr<std::string> IdnStageTable(const IdnCase& c, int runs) {
  struct Column {
    std::string level;
    bool int8;
  };
  std::vector<Column> levels;
  for (const std::string& level : CpuLevels()) {
    if (level == "scalar" || level == "ssse3") continue;
    levels.push_back({level, false});
    IdnOptions options;
    options.cpu = level;
    options.int8 = true;
    if (Idn::Create(c.weights, options).ok()) levels.push_back({level, true});
  }
  std::vector<double> peaks;
  for (const Column& column : levels) peaks.push_back(FmaPeak(column.level));
  std::vector<std::vector<IdnStage>> best(levels.size());
  std::vector<float> image(c.target.size()), mask(c.target.size() / 3);
  double change_ms = HUGE_VAL;
  for (size_t l = 0; l < levels.size(); ++l) {
    IdnOptions options;
    options.cpu = levels[l].level;
    options.int8 = levels[l].int8;
    MFS_ASSIGN_OR_RETURN(const std::unique_ptr<Idn> idn, Idn::Create(c.weights, options));
    for (int r = 0; r < runs; ++r) {
      std::vector<IdnStage> stages;
      idn->ProfileInto(&stages);
      MFS_RETURN_IF_ERROR(idn->Run(c.target.data(), nullptr, mask.data(), image.data()));
      if (best[l].empty()) best[l] = stages;
      for (size_t i = 0; i < stages.size(); ++i) best[l][i].seconds = std::min(best[l][i].seconds, stages[i].seconds);
    }
    idn->ProfileInto(nullptr);
    for (int r = 0; r < runs; ++r) {
      const double start = Seconds();
      MFS_RETURN_IF_ERROR(idn->SetIdentity(c.weights));
      change_ms = std::min(change_ms, 1e3 * (Seconds() - start));
    }
  }
  char cell[128];
  std::string text = "| stage of the IDN, 1 thread, minimum | MMAC |", rule = "|---|---|";
  for (const Column& column : levels) {
    std::snprintf(cell, sizeof cell, " %s%s us | GMAC/s | of its peak |", column.level.c_str(), column.int8 ? " int8" : "");
    text += cell, rule += "---|---|---|";
  }
  text += "\n" + rule + "\n";
  for (size_t i = 0; i <= (best.empty() ? 0 : best[0].size()); ++i) {
    for (size_t l = 0; l < levels.size(); ++l) {
      IdnStage stage{"all", 0, 0};
      if (i < best[l].size()) {
        stage = best[l][i];
      } else {
        for (const IdnStage& s : best[l]) stage.mmac += s.mmac, stage.seconds += s.seconds;
      }
      if (l == 0) {
        std::snprintf(cell, sizeof cell, "| %s | %.1f |", stage.name.c_str(), stage.mmac);
        text += cell;
      }
      const double rate = stage.mmac / 1e3 / stage.seconds;
      std::snprintf(cell, sizeof cell, " %.0f | %.1f | %.0f %% |", 1e6 * stage.seconds, rate, peaks[l] > 0 ? 100 * rate / peaks[l] : 0.0);
      text += cell;
    }
    text += "\n";
  }
  std::snprintf(cell, sizeof cell, "change of the person: %.2f ms\n", change_ms);
  return text + cell;
}

}  // namespace mfs::bench
