// A network ready to run on this machine: weights packed for one CPU level, every buffer allocated, the order of work fixed.
#ifndef MFS_NN_PLAN_H_
#define MFS_NN_PLAN_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "nn/graph.h"

namespace mfs {

struct PlanOptions {
  std::string cpu;  // instruction set (cpu_level.h); empty: the best one
  int threads = 1;  // 1..64; the result is the same for any number
};

// A map inside a plan: pixel (x, y) starts at data + y * row_stride + x * pixel_stride.
struct MapView {
  float* data = nullptr;
  MapShape shape;
  ptrdiff_t row_stride = 0;
  int pixel_stride = 0;
  float* at(int y, int x) const { return data + y * row_stride + x * static_cast<ptrdiff_t>(pixel_stride); }
};

// What one layer of a plan costs in a run.
struct LayerCost {
  std::string what;  // "conv 1x1 stride 1, 28x28x64 -> 28x28x112, prelu"
  double mmac = 0, ms = 0;
};

// Not thread-safe. Run allocates nothing.
class Plan {
 public:
  // Errors: kInvalidArgument (no input or output, threads), kUnsupported (cpu).
  static StatusOr<std::unique_ptr<Plan>> Create(Graph graph, const PlanOptions& options = {});
  ~Plan();

  // To be filled before Run, which leaves it as it is.
  const MapView& input() const;
  void Run();
  // The same with the input copied from channel-last floats without gaps.
  void Run(const float* input);

  int num_outputs() const;
  // Valid until the next Run.
  const MapView& output(int i) const;
  // The output without gaps, channels innermost.
  void CopyOutput(int i, std::vector<float>* values) const;

  // Runs and times every layer, the median of `runs` runs; one thread whatever the options say.
  std::vector<LayerCost> Profile(int runs);

  double macs() const;          // multiply-adds of a run
  size_t buffer_bytes() const;  // of all maps and weights

 private:
  struct Impl;
  explicit Plan(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mfs

#endif  // MFS_NN_PLAN_H_
