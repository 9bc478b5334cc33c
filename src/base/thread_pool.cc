#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mfs {
namespace {

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks at ready() for a while; false when it never became true.
template <typename Ready>
bool SpinFor(std::chrono::microseconds limit, const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

constexpr std::chrono::microseconds kSpin{100};

}  // namespace

ThreadPool::ThreadPool(int threads) {
#if defined(__EMSCRIPTEN__) && !defined(__EMSCRIPTEN_PTHREADS__)
  threads = 1;  // there are none: the caller does everything
#endif
  try {
    workers_.reserve(std::max(threads - 1, 0));
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerLoop(); });
  } catch (const std::exception&) {
    // The system gives no more threads (a container's limit) or no memory for them: the work is done by those there are. Let out, it would end the program,
    // since threads that run may not be destroyed.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunErased(int count, const void* task, Call call) {
  if (workers_.empty() || count <= 1) {
    for (int i = 0; i < count; ++i) call(task, i);
    return;
  }
  task_ = task;
  call_ = call;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  active_.store(static_cast<int>(workers_.size()));
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    generation_.fetch_add(1);
    wake = sleeping_ > 0;
  }
  if (wake) wake_.notify_all();
  for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) call(task, i);
  const auto finished = [this] { return active_.load() == 0; };
  if (SpinFor(kSpin, finished)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  caller_sleeps_.store(true);
  done_.wait(lock, finished);
  caller_sleeps_.store(false);
}

void ThreadPool::WorkerLoop() {
  uint64_t seen = 0;
  const auto called = [&] { return stop_.load() || generation_.load() != seen; };
  for (;;) {
    if (!SpinFor(kSpin, called)) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleeping_;
      wake_.wait(lock, called);
      --sleeping_;
    }
    if (stop_.load()) return;
    seen = generation_.load();
    const void* task = task_;
    const Call call = call_;
    const int count = count_;
    for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) call(task, i);
    // The caller may start the next job as soon as this is zero: nothing of the job is touched behind it.
    if (active_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      done_.notify_one();
    }
  }
}

}  // namespace mfs
