// The IDN at 224 pixels with one and two threads. Compare numbers of one run only; the machines are noisy.
#include <benchmark/benchmark.h>

#include "idn/idn.h"

namespace mfs {
namespace {

void BM_Idn224(benchmark::State& state) {
  IdnWeights w = EmptyIdnWeights(true);
  for (IdnArray& a : ListIdnArrays(&w)) {
    for (size_t i = 0; i < a.values->size(); ++i) (*a.values)[i] = static_cast<float>(i * 7919 % 101) * 0.004f - 0.2f;
  }
  IdnOptions options;
  options.threads = static_cast<int>(state.range(0));
  auto idn = Idn::Create(w, options);
  std::vector<float> target(3 * 224 * 224, 0.4f), mask(224 * 224), image(target.size());
  for (auto _ : state) {
    if (!(*idn)->Run(target.data(), nullptr, mask.data(), image.data()).ok()) state.SkipWithError("run failed");
  }
  state.SetLabel((*idn)->name());
  // 296.1 MMAC a frame (docs/engine.md).
  state.counters["GMAC/s"] = benchmark::Counter(0.2961 * state.iterations(), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_Idn224)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mfs
