// Pasting a 224 px crop into frames, by the size of the face's crop in the frame.
#include <benchmark/benchmark.h>

#include "base/bench_frame.h"

namespace mfs {
namespace {

void BM_BlendWarped(benchmark::State& state) {
  constexpr int kCrop = 224;
  BenchFrame frame;
  const ImageF rgb(kCrop, kCrop, 3), alpha = BenchMask(kCrop);
  const Affine crop_from_frame = SquareCrop({960, 540}, static_cast<float>(state.range(0)), 7, kCrop);
  for (auto _ : state) {
    if (!BlendWarped(rgb, alpha, crop_from_frame, &frame.view).ok()) state.SkipWithError("BlendWarped failed");
  }
}
BENCHMARK(BM_BlendWarped)->Arg(150)->Arg(300)->Arg(600)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mfs
