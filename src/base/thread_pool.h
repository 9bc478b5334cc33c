// A small pool that splits one job at a time. Threads that run out of work look for the next job for a tenth of a millisecond, since a
// network is a row of jobs and waking up costs as much as a small one, and sleep then.
#ifndef MFS_BASE_THREAD_POOL_H_
#define MFS_BASE_THREAD_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace mfs {

class ThreadPool {
 public:
  // threads counts the caller: 1 means that Run does everything itself and no thread is started.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(i) for i in [0,count) on all threads and returns when all are done. Tasks are handed out one by one, so
  // results must not depend on which thread runs which. One caller at a time; allocates nothing.
  template <typename Task>
  void Run(int count, const Task& task) {
    RunErased(count, &task, [](const void* t, int i) { (*static_cast<const Task*>(t))(i); });
  }

 private:
  using Call = void (*)(const void*, int);
  void RunErased(int count, const void* task, Call call);
  void WorkerLoop();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const void* task_ = nullptr;
  Call call_ = nullptr;
  int count_ = 0;
  std::atomic<int> next_{0};
  std::atomic<int> active_{0};           // workers that have not finished this job
  std::atomic<uint64_t> generation_{0};  // jobs so far; written under the mutex
  std::atomic<bool> stop_{false}, caller_sleeps_{false};
  int sleeping_ = 0;  // workers in wake_.wait; under the mutex
};

}  // namespace mfs

#endif  // MFS_BASE_THREAD_POOL_H_
