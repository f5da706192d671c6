// ManualClock: time that passes only when a test says so. Safe from any thread.
#pragma once

#include <frugal/core/clock.hpp>

#include <atomic>

namespace frugal::testing {

class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(Duration(ticks_.load())); }
  /// The wall clock stands still, whatever `now` does.
  std::chrono::sys_time<Duration> wall_now() const override {
    return std::chrono::sys_time<Duration>(Duration(wall_.load()));
  }
  void set_wall(std::chrono::sys_time<Duration> to) { wall_.store(to.time_since_epoch().count()); }
  void set(TimePoint to) { ticks_.store(to.time_since_epoch().count()); }
  void advance(Duration by) { ticks_.fetch_add(by.count()); }

 private:
  std::atomic<Duration::rep> ticks_{1'000'000'000};
  std::atomic<Duration::rep> wall_{1'750'000'000'250'000'000};  // June 2025, at a quarter of a second
};

}  // namespace frugal::testing
