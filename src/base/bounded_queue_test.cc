#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace mfs {
namespace {

TEST(BoundedQueue, KeepsOrderAndLength) {
  BoundedQueue<std::unique_ptr<int>> queue(3);
  std::atomic<int> pushed{0};
  std::thread producer([&] {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(queue.Push(std::make_unique<int>(i)));
      ++pushed;
    }
    queue.Finish();
  });
  std::unique_ptr<int> item;
  int next = 0;
  while (queue.Pop(&item)) {
    EXPECT_EQ(*item, next++);
    EXPECT_LE(pushed - next, 4);  // three in the queue, one being counted
  }
  producer.join();
  EXPECT_EQ(next, 1000);
}

TEST(BoundedQueue, AbortWakesBothSides) {
  BoundedQueue<int> full(1), empty(1);
  ASSERT_TRUE(full.Push(1));
  std::thread producer([&] { EXPECT_FALSE(full.Push(2)); });
  std::thread consumer([&] {
    int item;
    EXPECT_FALSE(empty.Pop(&item));
  });
  full.Abort();
  empty.Abort();
  producer.join();
  consumer.join();
  int item;
  EXPECT_FALSE(full.Pop(&item));
}

}  // namespace
}  // namespace mfs
