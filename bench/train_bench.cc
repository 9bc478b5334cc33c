// Speed of the distillation with all losses on, as mfs-train runs it: samples a second and the largest memory of a process.
//   mfs_train_bench CACHE [SIZE ...]     (default: 128 224), each with two processes of one thread and with one of two threads
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "distill.h"
#include "run_loop.h"

namespace {

using namespace mfs;
using namespace mfs::train;

constexpr int kSteps = 20, kFrom = 10, kBatch = 32;  // measured over the second half; the log has a row every ten steps

// In each training process.
int Child(const std::string& cache, const std::string& output, int size) {
  at::set_num_threads(std::atoi(std::getenv("OMP_NUM_THREADS")));
  at::set_num_interop_threads(1);
  at::globalContext().setFlushDenormal(true);
  auto store = ModelStore::Open({});
  auto group = Processes::Join();
  if (!store.ok() || !group.ok()) return 1;
  DistillOptions o;
  o.cache = cache, o.output = output;
  o.config.size = size, o.config.batch = kBatch, o.config.steps = kSteps, o.config.adversarial_start = 0;
  const Status status = Distill(*store, group->get(), o);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  if (status.ok() && (*group)->rank() == 0) std::printf("%.2f GB, ", static_cast<double>(PeakMemory()) / 1e9);
  std::fflush(stdout);
  return status.ok() ? 0 : 1;
}

// Seconds at a step, from log.csv; -1: not there.
double SecondsAt(const std::string& log, int step) {
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (std::atoi(line.c_str()) == step) return std::atof(line.c_str() + line.find(',') + 1);
  }
  return -1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: mfs_train_bench CACHE [SIZE ...]\n");
    return 2;
  }
  if (const char* child = std::getenv("MFS_TRAIN_BENCH_CHILD")) return Child(argv[1], child, std::atoi(std::getenv("MFS_TRAIN_BENCH_SIZE")));
  std::vector<std::string> sizes(argv + 2, argv + argc);
  if (sizes.empty()) sizes = {"128", "224"};
  const std::string output = (std::filesystem::temp_directory_path() / ("mfs_train_bench." + std::to_string(getpid()))).string();
  int result = 0;
  for (const std::string& size : sizes) {
    for (int processes : {2, 1}) {
      std::filesystem::remove_all(output);
      setenv("MFS_TRAIN_BENCH_CHILD", output.c_str(), 1);
      setenv("MFS_TRAIN_BENCH_SIZE", size.c_str(), 1);
      std::printf("%s px, %d process%s of %d thread%s: ", size.c_str(), processes, processes == 1 ? "" : "es", 3 - processes, processes == 1 ? "s" : "");
      std::fflush(stdout);
      result |= SpawnProcesses(processes, argv, 3 - processes);
      const auto log = ReadFile(output + "/log.csv");
      const double seconds = log.ok() ? SecondsAt(*log, kSteps) - SecondsAt(*log, kFrom) : 0;
      std::printf("%.1f samples/s\n", seconds > 0 ? (kSteps - kFrom) * kBatch / seconds : 0);
    }
  }
  std::filesystem::remove_all(output);
  return result;
}
