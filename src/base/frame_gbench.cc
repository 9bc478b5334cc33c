// Pasting a 224 px crop into frames, by the size of the face's crop in the frame.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "base/frame.h"

namespace mfs {
namespace {

// 1920x1080, 4:2:0, an elliptic alpha as the fusion mask's.
void BM_BlendWarped(benchmark::State& state) {
  constexpr int kWidth = 1920, kHeight = 1080, kCrop = 224;
  std::vector<uint8_t> y(kWidth * kHeight, 100), u(kWidth * kHeight / 4, 128), v(u);
  FrameView f;
  f.model = ColorModel::kYuv;
  f.full_range = false;
  f.stored_width = kWidth, f.stored_height = kHeight;
  f.component[0] = {y.data(), kWidth, 1, 0, 0};
  f.component[1] = {u.data(), kWidth / 2, 1, 1, 1};
  f.component[2] = {v.data(), kWidth / 2, 1, 1, 1};
  ImageF rgb(kCrop, kCrop, 3), alpha(kCrop, kCrop, 1);
  for (int i = 0; i < kCrop * kCrop; ++i) {
    const float dx = (i % kCrop - 112) / 75.0f, dy = (i / kCrop - 128) / 90.0f;
    alpha.data()[i] = std::min(1.0f, std::max(0.0f, 4 * (1 - dx * dx - dy * dy)));
  }
  const Affine crop_from_frame = SquareCrop({960, 540}, static_cast<float>(state.range(0)), 7, kCrop);
  for (auto _ : state) {
    if (!BlendWarped(rgb, alpha, crop_from_frame, &f).ok()) state.SkipWithError("BlendWarped failed");
  }
}
BENCHMARK(BM_BlendWarped)->Arg(150)->Arg(300)->Arg(600)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mfs
