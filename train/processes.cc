#include "processes.h"

#include <signal.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

namespace mfs::train {

namespace {

constexpr char kProcessGone[] = "another training process is gone: ";
constexpr int kLookAgain = 50000;  // microseconds between two looks at the children and at the flag

}  // namespace

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
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
    options.useLibUV = false;  // Debian's is built without it, and still takes it for the default
#endif
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
    return ProcessGone(e.what());
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
    return ProcessGone(e.what());
  }
  return Status::Ok();
}

Status ProcessGone(const std::string& why) { return IoError(kProcessGone + why); }

bool IsProcessGone(const Status& status) { return status.code() == StatusCode::kIoError && status.message().rfind(kProcessGone, 0) == 0; }

StatusOr<torch::Device> ChooseDevice(const std::string& name) {
  if (name == "cpu") return torch::Device(torch::kCPU);
  if (name != "cuda") return InvalidArgument("device '" + name + "': must be cpu or cuda");
  if (torch::cuda::is_available()) return torch::Device(torch::kCUDA);
  return Unsupported("no CUDA here: this libtorch was built without it, or the machine has no such GPU (Debian's libtorch has none; build with -DCMAKE_PREFIX_PATH=... of a libtorch with CUDA)");
}

int SpawnProcesses(int count, char** argv, int threads, const std::atomic<bool>* cancel) {
  const std::string port = std::to_string(20000 + getpid() % 20000);
  std::vector<pid_t> children;
  const pid_t parent = getpid();
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
#ifdef __linux__
      prctl(PR_SET_PDEATHSIG, SIGTERM);  // lasts through execv
#endif
      if (getppid() != parent) _exit(1);  // it died before
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
  const auto stop = [&] {
    for (pid_t pid : children) kill(pid, SIGTERM);
  };
  int result = static_cast<int>(children.size()) < count ? 1 : 0;
  if (result != 0) stop();
  bool cancelled = false;
  while (!children.empty()) {
    if (!cancelled && cancel != nullptr && *cancel) {
      cancelled = true;
      stop();
    }
    int status = 0;
    // Not a wait that blocks: it would begin anew after a signal whose handler only sets the flag.
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0) usleep(kLookAgain);
    if (pid == 0 || (pid < 0 && errno == EINTR)) continue;
    if (pid < 0) break;
    children.erase(std::remove(children.begin(), children.end(), pid), children.end());
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (code != 0 && result == 0) {
      result = code;
      stop();
    }
  }
  return result;
}

}  // namespace mfs::train
