#include "processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "run_loop.h"

namespace mfs::train {
namespace {

bool InTrainingProcess() { return std::getenv("WORLD_SIZE") != nullptr; }

// Runs the test of this name again, in `count` training processes.
int RunAgain(const std::string& test, int count, const std::atomic<bool>* cancel = nullptr) {
  std::string program = "mfs_train_test", filter = "--gtest_filter=" + test;
  char* argv[] = {program.data(), filter.data(), nullptr};
  return SpawnProcesses(count, argv, 1, cancel);
}

// Nothing is learned from it, and a checkpoint saved later would be lost.
TEST(FlatAdam, AGradientThatIsNoNumberChangesNothing) {
  const std::map<std::string, torch::Tensor> parameters{{"w", torch::ones({3}).set_requires_grad(true)}};
  FlatAdam adam(parameters, {});
  adam.gradient().fill_(1);
  adam.gradient()[1] = std::nan("");
  EXPECT_TRUE(std::isnan(adam.Step(0.1)));
  EXPECT_EQ(adam.steps, 0);
  EXPECT_TRUE(adam.values.eq(1).all().item<bool>() && adam.first.eq(0).all().item<bool>());
}

// As on several machines: each process has a folder of its own, and only the first one's holds a checkpoint.
TEST(TrainingProcesses, OnlyTheFirstNeedsTheCheckpoint) {
  const std::string dir = testing::TempDir() + "mfs_train_processes." + std::to_string(InTrainingProcess() ? getppid() : getpid()) + "/";
  // Values, buffers and count of steps, other ones for every process.
  struct Run {
    explicit Run(float value) : parameters{{"w", torch::full({3}, value).set_requires_grad(true)}}, buffers{{"u", torch::full({2}, value + 1)}}, adam(parameters, {}), checkpoint("distill") {
      adam.first.fill_(value + 2), adam.second.fill_(value + 3);
      adam.steps = static_cast<int64_t>(value) + 4;
      checkpoint.Add("student", &adam);
      checkpoint.Add(buffers);
    }
    std::map<std::string, torch::Tensor> parameters, buffers;
    FlatAdam adam;
    Checkpoint checkpoint;
  };
  if (!InTrainingProcess()) {
    std::filesystem::create_directories(dir + "good0");
    std::filesystem::create_directories(dir + "bad0");
    ASSERT_TRUE(Run(100).checkpoint.Save(dir + "good0/checkpoint.safetensors", 7).ok());
    const std::string nonsense = "nonsense";
    ASSERT_TRUE(WriteFileAtomically(dir + "bad0/checkpoint.safetensors", nonsense.data(), nonsense.size()).ok());
    EXPECT_EQ(RunAgain("TrainingProcesses.OnlyTheFirstNeedsTheCheckpoint", 2), 0);
    std::filesystem::remove_all(dir);
    return;
  }
  auto group = Processes::Join();
  ASSERT_TRUE(group.ok()) << group.status().message();
  const int rank = (*group)->rank();
  const auto path = [&](const char* folder) { return dir + folder + std::to_string(rank) + "/checkpoint.safetensors"; };
  Run run(static_cast<float>(rank));
  const auto step = run.checkpoint.Restore(group->get(), path("good"));
  ASSERT_TRUE(step.ok()) << step.status().message();
  EXPECT_EQ(*step, 7);
  EXPECT_EQ(run.adam.steps, 104);
  const auto all = [](const torch::Tensor& t, float value) { return t.eq(value).all().item<bool>(); };
  EXPECT_TRUE(all(run.parameters.at("w"), 100));
  EXPECT_TRUE(all(run.buffers.at("u"), 101));
  EXPECT_TRUE(all(run.adam.first, 102));
  EXPECT_TRUE(all(run.adam.second, 103));
  // What the first cannot read stops all of them.
  const Status refused = run.checkpoint.Restore(group->get(), path("bad")).status();
  EXPECT_EQ(refused.code(), rank == 0 ? StatusCode::kCorruptData : StatusCode::kIoError) << refused.message();
  EXPECT_EQ(IsProcessGone(refused), rank > 0);
}

TEST(TrainingProcesses, AStopReachesThem) {
  if (InTrainingProcess()) {
    std::this_thread::sleep_for(std::chrono::seconds(60));
    return;
  }
  const std::atomic<bool> cancel{true};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(RunAgain("TrainingProcesses.AStopReachesThem", 2, &cancel), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

}  // namespace
}  // namespace mfs::train
