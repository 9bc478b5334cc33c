// The networks around the IDN in the race.
#ifndef MFS_BENCH_NET_CASES_H_
#define MFS_BENCH_NET_CASES_H_

#include <memory>
#include <string>
#include <vector>

#include "nn/plan.h"
#include "race.h"

namespace mfs::bench {

struct NetCase {
  std::string net;  // mobilefacenet, mesh, rfb, blazeface, landmarks, iin
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<const std::vector<float>> input;  // channels innermost
  double mmac = 0;                                  // as published, with the channels that are dead
};
StatusOr<std::vector<NetCase>> LoadNetCases();

// Ours: every CPU level with one thread, the best one with two.
Status AddNets(const std::vector<NetCase>& cases, Race* race);
// ONNX Runtime with one and two threads (net_onnxruntime.cc). It gets the graphs as they were
// loaded and fuses them itself; the injection network takes no part (its group norm is not
// exported).
Status AddNetsOnnxRuntime(const std::vector<NetCase>& cases, Race* race);

// Markdown: what every layer costs at the best CPU level with one thread, the median of `runs` runs.
StatusOr<std::string> NetLayerTable(const NetCase& c, int runs);

}  // namespace mfs::bench

#endif  // MFS_BENCH_NET_CASES_H_
