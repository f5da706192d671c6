// ManualClock: time that passes only when a test says so. Safe from any thread.
#pragma once

#include <frugal/core/clock.hpp>

#include <atomic>

namespace frugal::testing {

class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(Duration(ticks_.load())); }
  void set(TimePoint to) { ticks_.store(to.time_since_epoch().count()); }
  void advance(Duration by) { ticks_.fetch_add(by.count()); }

 private:
  std::atomic<Duration::rep> ticks_{1'000'000'000};
};

}  // namespace frugal::testing
