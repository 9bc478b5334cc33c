// Every network on our engine at every CPU level and on other engines, taking turns. engine_bench [OUTPUT.json] [ROUNDS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "net_cases.h"
#include "nets.h"

namespace {

using namespace mfs;

Status Main(const char* path, int rounds) {
  bench::Race race;
  MFS_ASSIGN_OR_RETURN(const auto idn, bench::LoadIdnCase());
  MFS_RETURN_IF_ERROR(bench::AddIdn(idn, &race));
  MFS_RETURN_IF_ERROR(bench::AddIdnOnnxRuntime(idn, &race));
#ifdef MFS_WITH_XNNPACK
  MFS_RETURN_IF_ERROR(bench::AddIdnXnnpack(idn, &race));
#endif
#ifdef MFS_WITH_OPENCV
  MFS_RETURN_IF_ERROR(bench::AddIdnOpencv(idn, &race));
#endif
  MFS_ASSIGN_OR_RETURN(const auto nets, bench::LoadNetCases());
  MFS_RETURN_IF_ERROR(bench::AddNets(nets, &race));
  MFS_RETURN_IF_ERROR(bench::AddNetsOnnxRuntime(nets, &race));
  const double before = bench::FmaPeak();
  MFS_RETURN_IF_ERROR(race.Run(rounds));
  const double peak = std::max(before, bench::FmaPeak());
  std::printf("%d rounds of two runs, contenders in turn; multiply-add peak of one core %.1f GMAC/s (avx2 %.1f, sse %.1f)\n%s", rounds, peak, bench::FmaPeak("avx2"), bench::FmaPeak("sse4"),
              race.Table().c_str());
  MFS_ASSIGN_OR_RETURN(const std::string stages, bench::IdnStageTable(*idn, rounds));
  std::printf("%s", stages.c_str());
  for (const bench::NetCase& c : nets) {
    MFS_ASSIGN_OR_RETURN(const std::string layers, bench::NetLayerTable(c, rounds));
    std::printf("%s", layers.c_str());
  }
  if (path == nullptr) return Status::Ok();
  const std::string text = race.Json(peak).dump(1) + "\n";
  return WriteFileAtomically(path, text.data(), text.size());
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = Main(argc > 1 ? argv[1] : nullptr, argc > 2 ? std::max(1, std::atoi(argv[2])) : 30);
  if (!status.ok()) std::fprintf(stderr, "engine_bench: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
