// What the looks cost, by the size of the face's crop in the frame. Second argument: 0 plain paste, 1 all looks.
#include <benchmark/benchmark.h>

#include <cmath>

#include "base/bench_frame.h"
#include "compose/compose.h"

namespace mfs {
namespace {

void BM_Compose(benchmark::State& state) {
  constexpr int kCrop = 224;
  BenchFrame frame;
  for (size_t i = 0; i < frame.y.size(); ++i) frame.y[i] = static_cast<uint8_t>(90 + (i * 2654435761u >> 28));  // grain
  SwappedFace face;
  face.crop_from_frame = SquareCrop({960, 540}, static_cast<float>(state.range(0)), 7, kCrop);
  ImageF target, raw(kCrop, kCrop, 3);
  if (!ReadWarped(frame.view, face.crop_from_frame, kCrop, kCrop, &target).ok()) state.SkipWithError("ReadWarped failed");
  for (size_t i = 0; i < raw.vector().size(); ++i) raw.data()[i] = 0.5f + 0.2f * std::sin(i * 0.01f);
  const ImageF mask = BenchMask(kCrop);
  face.target = &target, face.raw = &raw, face.mask = &mask;
  ComposeOptions options;
  if (state.range(1) == 0) options.color_match = options.detail_match = false, options.feather = 0;
  FaceComposer composer;
  LookState look;
  for (auto _ : state) {
    if (!composer.Prepare(face, options, frame.view, &look).ok() || !composer.Paste(&frame.view).ok()) state.SkipWithError("FaceComposer failed");
  }
}
BENCHMARK(BM_Compose)->ArgsProduct({{100, 300, 600}, {0, 1}})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mfs
