#include "base/thread_pool.h"

namespace mfs {

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerLoop(); });
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
  {
    std::lock_guard<std::mutex> lock(mutex_);
    task_ = task;
    call_ = call;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    active_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  wake_.notify_all();
  for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) call(task, i);
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return active_ == 0; });
}

void ThreadPool::WorkerLoop() {
  uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
    if (stop_) return;
    seen = generation_;
    const void* task = task_;
    const Call call = call_;
    const int count = count_;
    lock.unlock();
    for (int i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) call(task, i);
    lock.lock();
    if (--active_ == 0) done_.notify_one();
  }
}

}  // namespace mfs
