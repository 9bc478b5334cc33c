#include <cmath>
#include <cstdio>

#include "face/face_mesh.h"
#include "face/face_nets.h"
#include "identity/embedder.h"
#include "identity/iin.h"
#include "net_cases.h"
#include "nn/cpu_level.h"
#include "weights/model_store.h"

namespace mfs::bench {
namespace {

// Smooth, with edges, in [-1,1].
std::vector<float> Picture(const MapShape& s) {
  std::vector<float> v;
  for (int y = 0; y < s.height; ++y) {
    for (int x = 0; x < s.width; ++x) {
      for (int c = 0; c < s.channels; ++c)
        v.push_back(0.6f * std::sin(0.07f * static_cast<float>(x) + static_cast<float>(c)) * std::cos(0.05f * static_cast<float>(y)) + ((x / 23 + y / 31) % 2 ? 0.3f : -0.3f));
    }
  }
  return v;
}

}  // namespace

StatusOr<std::vector<NetCase>> LoadNetCases() {
  MFS_ASSIGN_OR_RETURN(const ModelStore store, ModelStore::Open({}));
  std::vector<NetCase> cases;
  const auto add = [&](const char* name, StatusOr<Graph> graph) -> Status {
    if (!graph.ok()) return graph.status();
    auto input = std::make_shared<const std::vector<float>>(Picture(graph->layers[0].shape));
    const double mmac = graph->Macs() / 1e6;
    cases.push_back({name, std::make_shared<const Graph>(std::move(*graph)), std::move(input), mmac});
    return Status::Ok();
  };
  MFS_RETURN_IF_ERROR(add("mobilefacenet", LoadEmbedderGraph(store)));
  MFS_RETURN_IF_ERROR(add("mesh", LoadMeshGraph(store)));
  MFS_RETURN_IF_ERROR(add("rfb", LoadRfbGraph(store)));
  MFS_RETURN_IF_ERROR(add("blazeface", LoadBlazeGraph(store)));
  MFS_RETURN_IF_ERROR(add("landmarks", LoadLandmarkGraph(store)));
  MFS_ASSIGN_OR_RETURN(std::string bytes, store.Load("mfs-slim-224.safetensors"));
  MFS_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::FromBuffer(std::move(bytes)));
  MFS_RETURN_IF_ERROR(add("iin", InjectionNetwork::LoadGraph(file)));
  return cases;
}

Status AddNets(const std::vector<NetCase>& cases, Race* race) {
  const std::vector<std::string> levels = CpuLevels();
  for (const NetCase& c : cases) {
    for (const std::string& level : levels) {
      for (int threads : {1, 2}) {
        if (threads == 2 && level != levels[0]) continue;
        PlanOptions options;
        options.cpu = level;
        options.threads = threads;
        MFS_ASSIGN_OR_RETURN(std::unique_ptr<Plan> plan, Plan::Create(*c.graph, options));
        std::shared_ptr<Plan> shared = std::move(plan);
        auto output = std::make_shared<std::vector<float>>();
        const auto run = [shared, input = c.input] {
          shared->Run(input->data());
          return Status::Ok();
        };
        const auto all = [shared, output] {
          output->clear();
          std::vector<float> one;
          for (int i = 0; i < shared->num_outputs(); ++i) {
            shared->CopyOutput(i, &one);
            output->insert(output->end(), one.begin(), one.end());
          }
          return static_cast<const std::vector<float>*>(output.get());
        };
        race->Add({c.net, "mfs", level, threads, c.mmac, run, all, 1e-2f});
      }
    }
  }
  return Status::Ok();
}

StatusOr<std::string> NetLayerTable(const NetCase& c, int runs) {
  MFS_ASSIGN_OR_RETURN(const std::unique_ptr<Plan> plan, Plan::Create(*c.graph, {}));
  plan->Run(c.input->data());
  std::string table = "\n| " + c.net + " | ms | MMAC | GMAC/s |\n|---|---|---|---|\n";
  for (const LayerCost& l : plan->Profile(runs)) {
    char figures[80];
    std::snprintf(figures, sizeof(figures), " | %.4f | %.2f | %.1f |\n", l.ms, l.mmac, l.ms > 0 ? l.mmac / l.ms : 0);
    table += "| " + l.what + figures;
  }
  return table;
}

}  // namespace mfs::bench
