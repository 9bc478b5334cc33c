#include "live/latency.h"

#include <algorithm>
#include <cmath>

namespace mfs {
namespace {

// The value that a share p of count values does not exceed has this rank, from 1.
int64_t Rank(int64_t count, double p) { return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(p * static_cast<double>(count)))); }

}  // namespace

void Latency::Add(LiveClock::time_point from, LiveClock::time_point to) {
  const double ms = std::max(0.0, std::chrono::duration<double, std::milli>(to - from).count());
  ++bins_[static_cast<size_t>(std::min<double>(kBins - 1, ms * 10))];
  recent_[static_cast<size_t>(count_ % kRecent)] = {to, ms};
  ++count_;
  max_ = std::max(max_, ms);
}

LatencySummary Latency::All() const {
  LatencySummary s;
  s.count = count_;
  s.max = max_;
  if (count_ == 0) return s;
  const auto at = [this](double p) {
    int64_t left = Rank(count_, p);
    for (int i = 0; i < kBins; ++i) {
      left -= bins_[static_cast<size_t>(i)];
      if (left <= 0) return (i + 1) / 10.0;
    }
    return kBins / 10.0;
  };
  s.p50 = std::min(at(0.5), max_);
  s.p99 = std::min(at(0.99), max_);
  return s;
}

LatencySummary Latency::Recent(LiveClock::time_point now) const {
  std::vector<double> values;
  for (int i = 0; i < std::min<int64_t>(count_, kRecent); ++i) {
    if (now - recent_[static_cast<size_t>(i)].at < std::chrono::seconds(5)) values.push_back(recent_[static_cast<size_t>(i)].ms);
  }
  LatencySummary s;
  s.count = static_cast<int64_t>(values.size());
  if (values.empty()) return s;
  std::sort(values.begin(), values.end());
  s.p50 = values[static_cast<size_t>(Rank(s.count, 0.5) - 1)];
  s.p99 = values[static_cast<size_t>(Rank(s.count, 0.99) - 1)];
  s.max = values.back();
  return s;
}

double Latency::Rate(LiveClock::time_point now) const {
  const int held = static_cast<int>(std::min<int64_t>(count_, kRecent));
  int within = 0;
  LiveClock::time_point oldest = now;
  for (int i = 0; i < held; ++i) {
    const Sample& s = recent_[static_cast<size_t>(i)];
    if (now - s.at >= std::chrono::seconds(2)) continue;
    ++within;
    oldest = std::min(oldest, s.at);
  }
  if (within < 2) return 0;
  // From the oldest value on: a ring that is full holds less than two seconds of a fast loop.
  const double span = std::chrono::duration<double>(now - oldest).count();
  return span > 0 ? (within - 1) / span : 0;
}

}  // namespace mfs
