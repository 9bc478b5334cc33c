#include "processes.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

namespace mfs::train {

struct Processes::Impl {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group;
};

Processes::Processes() : impl_(std::make_unique<Impl>()) {}
Processes::~Processes() = default;

StatusOr<std::unique_ptr<Processes>> Processes::Join() {
  std::unique_ptr<Processes> p(new Processes());
  const char *world = std::getenv("WORLD_SIZE"), *rank = std::getenv("RANK"), *address = std::getenv("MASTER_ADDR"), *port = std::getenv("MASTER_PORT");
  if (world == nullptr || std::atoi(world) <= 1) return p;
  if (rank == nullptr || address == nullptr || port == nullptr) return InvalidArgument("WORLD_SIZE is set, but RANK, MASTER_ADDR or MASTER_PORT is not");
  p->size_ = std::atoi(world);
  p->rank_ = std::atoi(rank);
  try {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(std::atoi(port));
    options.isServer = p->rank_ == 0;
    options.numWorkers = p->size_;
    p->impl_->store = c10::make_intrusive<c10d::TCPStore>(address, options);
    auto gloo = c10d::ProcessGroupGloo::Options::create();
    const bool local = std::string(address) == "127.0.0.1" || std::string(address) == "localhost";
    gloo->devices.push_back(local ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1") : c10d::ProcessGroupGloo::createDefaultDevice());
    gloo->threads = 1;
    p->impl_->group = c10::make_intrusive<c10d::ProcessGroupGloo>(p->impl_->store, p->rank_, p->size_, gloo);
  } catch (const std::exception& e) {
    return IoError(std::string("the training processes cannot reach each other: ") + e.what());
  }
  return p;
}

Status Processes::Average(torch::Tensor* t) {
  if (size_ == 1) return Status::Ok();
  try {
    torch::NoGradGuard guard;
    std::vector<torch::Tensor> list{t->cpu()};  // the same tensor when it is there already
    impl_->group->allreduce(list)->wait();
    if (!t->device().is_cpu()) t->copy_(list[0]);
    *t /= size_;
  } catch (const std::exception& e) {
    return IoError(std::string("another training process is gone: ") + e.what());
  }
  return Status::Ok();
}

Status Processes::Average(const std::map<std::string, torch::Tensor>& tensors) {
  for (auto [name, t] : tensors) MFS_RETURN_IF_ERROR(Average(&t));
  return Status::Ok();
}

Status Processes::Broadcast(torch::Tensor* t) {
  if (size_ == 1) return Status::Ok();
  try {
    torch::NoGradGuard guard;
    std::vector<torch::Tensor> list{t->cpu()};
    impl_->group->broadcast(list)->wait();
    if (!t->device().is_cpu()) t->copy_(list[0]);
  } catch (const std::exception& e) {
    return IoError(std::string("another training process is gone: ") + e.what());
  }
  return Status::Ok();
}

StatusOr<torch::Device> ChooseDevice(const std::string& name) {
  if (name == "cpu") return torch::Device(torch::kCPU);
  if (name != "cuda") return InvalidArgument("device '" + name + "': must be cpu or cuda");
  if (torch::cuda::is_available()) return torch::Device(torch::kCUDA);
  return Unsupported("no CUDA here: this libtorch was built without it, or the machine has no such GPU (Debian's libtorch has none; build with -DCMAKE_PREFIX_PATH=... of a libtorch with CUDA)");
}

int SpawnProcesses(int count, char** argv, int threads) {
  const std::string port = std::to_string(20000 + getpid() % 20000);
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      setenv("RANK", std::to_string(i).c_str(), 1);
      setenv("WORLD_SIZE", std::to_string(count).c_str(), 1);
      setenv("MASTER_ADDR", "127.0.0.1", 1);
      setenv("MASTER_PORT", port.c_str(), 1);
      setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 1);
      setenv("OPENBLAS_NUM_THREADS", std::to_string(threads).c_str(), 1);
      execv("/proc/self/exe", argv);
      _exit(127);
    }
    if (pid < 0) break;
    children.push_back(pid);
  }
  int result = static_cast<int>(children.size()) < count ? 1 : 0;
  if (result != 0) {
    for (pid_t pid : children) kill(pid, SIGTERM);
  }
  for (size_t left = children.size(); left > 0;) {
    int status = 0;
    if (wait(&status) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    --left;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (code != 0 && result == 0) {
      result = code;
      for (pid_t pid : children) kill(pid, SIGTERM);
    }
  }
  return result;
}

}  // namespace mfs::train
