// Contenders on the same networks take turns, so that a slow spell of the machine hits all of them. To add a network: one file x_race.cc with
// a function that adds its contenders to a Race, declared in nets.h and called by engine_bench.cc (and apps/mfs/bench.cc when it needs no other engine).
#ifndef MFS_BENCH_RACE_H_
#define MFS_BENCH_RACE_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"

namespace mfs::bench {

struct Contender {
  std::string net;     // idn224, mobilefacenet, mesh, rfb, blazeface, landmarks, iin
  std::string engine;  // mfs, onnxruntime, xnnpack, ...
  std::string level;   // CPU level (nn/cpu_level.h), "-" where the engine chooses
  int threads = 1;
  double mmac = 0;  // of the network as published, the same for all contenders
  std::function<Status()> run;
  std::function<const std::vector<float>*()> output;  // of the last run; compared with the net's first contender. May be empty.
  float tolerance = 1e-3f;                            // absolute
};

struct Row {
  std::string net, engine, level;
  int threads = 1;
  double median_ms = 0, min_ms = 0, gmac_s = 0;
  double over_onnxruntime = 0;  // its median over ours with the same number of threads; 0 where it does not take part
};

class Race {
 public:
  void Add(Contender c) { contenders_.push_back(std::move(c)); }

  // Compares the outputs (kInternal names who disagrees), then `rounds` rounds of `runs` timed runs behind one that warms up. A network stops
  // before its rounds are over when it has used `seconds_per_net`.
  Status Run(int rounds, int runs = 2, double seconds_per_net = 15);

  const std::vector<Row>& rows() const { return rows_; }
  std::string Table() const;  // markdown
  nlohmann::ordered_json Json(double fma_peak) const;

 private:
  std::vector<Contender> contenders_;
  std::vector<Row> rows_;
  double largest_difference_ = 0;
};

double Seconds();
double Median(std::vector<double> v);

// GMAC/s of one core: independent multiply-adds on registers with the widest vectors of `level` ("" the best of the machine; only x86 has the others).
// 0 where there is no such loop.
double FmaPeak(const std::string& level = "");

}  // namespace mfs::bench

#endif  // MFS_BENCH_RACE_H_
