// What the benchmarks of pasting share: a 1920x1080 frame of 4:2:0, limited range, and a mask like the fusion mask's.
#ifndef MFS_BASE_BENCH_FRAME_H_
#define MFS_BASE_BENCH_FRAME_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/frame.h"

namespace mfs {

struct BenchFrame {
  static constexpr int kWidth = 1920, kHeight = 1080;
  std::vector<uint8_t> y, u, v;
  FrameView view;

  BenchFrame() : y(kWidth * kHeight, 100), u(kWidth * kHeight / 4, 128), v(u) {
    view.model = ColorModel::kYuv;
    view.full_range = false;
    view.stored_width = kWidth, view.stored_height = kHeight;
    view.component[0] = {y.data(), kWidth, 1, 0, 0};
    view.component[1] = {u.data(), kWidth / 2, 1, 1, 1};
    view.component[2] = {v.data(), kWidth / 2, 1, 1, 1};
  }
  BenchFrame(const BenchFrame&) = delete;
  BenchFrame& operator=(const BenchFrame&) = delete;
};

inline ImageF BenchMask(int size) {
  ImageF mask(size, size, 1);
  for (int i = 0; i < size * size; ++i) {
    const float dx = (i % size - size / 2) / (0.335f * size), dy = (i / size - 0.57f * size) / (0.4f * size);
    mask.data()[i] = std::min(1.0f, std::max(0.0f, 4 * (1 - dx * dx - dy * dy)));
  }
  return mask;
}

}  // namespace mfs

#endif  // MFS_BASE_BENCH_FRAME_H_
