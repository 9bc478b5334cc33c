#include <algorithm>
#include <cstdio>

#include "command.h"
#include "net_cases.h"
#include "nets.h"

namespace mfs::app {
namespace {

Status Bench(int rounds, bool as_json) {
  bench::Race race;
  MFS_ASSIGN_OR_RETURN(const auto idn, bench::LoadIdnCase());
  MFS_RETURN_IF_ERROR(bench::AddIdn(idn, &race));
  MFS_ASSIGN_OR_RETURN(const auto nets, bench::LoadNetCases());
  MFS_RETURN_IF_ERROR(bench::AddNets(nets, &race));
  const double before = bench::FmaPeak();
  MFS_RETURN_IF_ERROR(race.Run(rounds));
  const double peak = std::max(before, bench::FmaPeak());
  if (as_json) {
    std::printf("%s\n", race.Json(peak).dump(2).c_str());
  } else {
    std::printf("multiply-add peak of one core: %.1f GMAC/s\n%s", peak, race.Table().c_str());
  }
  return Status::Ok();
}

}  // namespace

void AddBench(CLI::App* app, Run* run) {
  auto* c = app->add_subcommand("bench", "How fast this machine runs the networks, at every CPU level");
  auto as_json = std::make_shared<bool>(false);
  auto rounds = std::make_shared<int>(10);
  c->add_flag("--json", *as_json, "As JSON");
  c->add_option("--rounds", *rounds, "Rounds of two runs for each")->check(CLI::Range(1, 1000))->capture_default_str();
  c->callback([=] {
    *run = [=] {
      const Status s = Bench(*rounds, *as_json);
      return s.ok() ? kDone : Fail(s);
    };
  });
}

}  // namespace mfs::app
