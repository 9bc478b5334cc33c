#include <cmath>
#include <random>

#include "identity/iin.h"
#include "idn/cpu_level.h"
#include "idn/idn.h"
#include "nets.h"
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
    for (int threads : {1, 2}) {
      if (threads == 2 && level != levels[0] && level != "avx2") continue;
      IdnOptions options;
      options.cpu = level;
      options.threads = threads;
      MFS_ASSIGN_OR_RETURN(std::unique_ptr<Idn> idn, Idn::Create(c->weights, options));
      std::shared_ptr<Idn> shared = std::move(idn);
      auto image = std::make_shared<std::vector<float>>(c->target.size());
      auto mask = std::make_shared<std::vector<float>>(c->target.size() / 3);
      race->Add({"idn224", "mfs", level, threads, kIdnMmac, [=] { return shared->Run(c->target.data(), nullptr, mask->data(), image->data()); }, [=] { return image.get(); }});
    }
  }
  return Status::Ok();
}

}  // namespace mfs::bench
