// The one place between two threads of a live loop: it holds one thing, and a newer one takes the place of one that nobody fetched.
#ifndef MFS_LIVE_MAILBOX_H_
#define MFS_LIVE_MAILBOX_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

namespace mfs {

// One thread puts, one takes. keep_all: Put waits for the place to be free instead (nothing is lost, the producer is held back).
template <typename T>
class Mailbox {
 public:
  explicit Mailbox(bool keep_all = false) : keep_all_(keep_all) {}

  // False when the box is closed; the item is then gone.
  bool Put(T item) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (keep_all_) taken_.wait(lock, [this] { return closed_ || !item_; });
    if (closed_) return false;
    replaced_ += item_.has_value();
    item_ = std::move(item);
    lock.unlock();
    put_.notify_one();
    return true;
  }

  // Waits for an item; nothing when the box is closed and empty.
  std::optional<T> Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    put_.wait(lock, [this] { return closed_ || item_; });
    return Fetch(&lock);
  }
  // The same, and nothing after `limit`.
  std::optional<T> TakeFor(std::chrono::milliseconds limit) {
    std::unique_lock<std::mutex> lock(mutex_);
    put_.wait_for(lock, limit, [this] { return closed_ || item_; });
    return Fetch(&lock);
  }

  // Nothing can be put any more; what lies inside can still be taken.
  void Close() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    put_.notify_all();
    taken_.notify_all();
  }
  bool finished() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return closed_ && !item_;
  }
  // Items that a newer one pushed out.
  int64_t replaced() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return replaced_;
  }

 private:
  std::optional<T> Fetch(std::unique_lock<std::mutex>* lock) {
    std::optional<T> item = std::move(item_);
    item_.reset();
    lock->unlock();
    if (item) taken_.notify_one();
    return item;
  }

  const bool keep_all_;
  mutable std::mutex mutex_;
  std::condition_variable put_, taken_;
  std::optional<T> item_;
  bool closed_ = false;
  int64_t replaced_ = 0;
};

}  // namespace mfs

#endif  // MFS_LIVE_MAILBOX_H_
