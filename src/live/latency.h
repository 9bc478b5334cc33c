// How long things took: percentiles in constant memory, for a whole run and for its last seconds.
#ifndef MFS_LIVE_LATENCY_H_
#define MFS_LIVE_LATENCY_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace mfs {

using LiveClock = std::chrono::steady_clock;

struct LatencySummary {
  int64_t count = 0;
  double p50 = 0, p99 = 0, max = 0;  // milliseconds
};

class Latency {
 public:
  Latency() : bins_(kBins) {}
  void Add(LiveClock::time_point from, LiveClock::time_point to);
  // Of everything so far: percentiles are exact to 0.1 ms up to 3 s (the upper edge of their bin), above that they say 3 s; max is exact.
  LatencySummary All() const;
  // Of the last 256 values at most, and not of what is older than 5 s.
  LatencySummary Recent(LiveClock::time_point now) const;
  // Values a second over the last 2 seconds, or the time since the first value if that is shorter.
  double Rate(LiveClock::time_point now) const;

 private:
  static constexpr int kBins = 30000;
  static constexpr int kRecent = 256;
  std::vector<uint32_t> bins_;
  int64_t count_ = 0;
  double max_ = 0;
  struct Sample {
    LiveClock::time_point at;
    double ms = 0;
  };
  std::array<Sample, kRecent> recent_{};  // a ring; count_ % kRecent is the next place
};

}  // namespace mfs

#endif  // MFS_LIVE_LATENCY_H_
