// A queue of limited length between two threads: a stage that is ahead waits.
#ifndef MFS_BASE_BOUNDED_QUEUE_H_
#define MFS_BASE_BOUNDED_QUEUE_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

namespace mfs {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  // Waits for room. False when the queue was aborted: the item is dropped and the producer should stop.
  bool Push(T item) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return items_.size() < capacity_ || aborted_; });
    if (aborted_) return false;
    items_.push_back(std::move(item));
    lock.unlock();
    changed_.notify_all();
    return true;
  }
  // Waits for an item. False when the producer has finished and all items are taken, or when the queue was aborted.
  bool Pop(T* item) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !items_.empty() || finished_ || aborted_; });
    if (aborted_ || items_.empty()) return false;
    *item = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return true;
  }
  // No item comes any more; those that wait are still handed out.
  void Finish() { Set(&finished_); }
  // Nobody waits any more and nothing is handed out.
  void Abort() { Set(&aborted_); }

 private:
  void Set(bool* flag) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      *flag = true;
    }
    changed_.notify_all();
  }

  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
  bool finished_ = false, aborted_ = false;
};

}  // namespace mfs

#endif  // MFS_BASE_BOUNDED_QUEUE_H_
