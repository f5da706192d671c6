// Wrappers around the host's clock and log that keep what these throw out of a step.
#pragma once

#include <frugal/core/clock.hpp>

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

namespace frugal {

/// While the host's clock throws, `now` stands still. What its other functions throw is passed on, because a date must
/// not be made up: their callers catch it.
class GuardedClock final : public Clock {
 public:
  explicit GuardedClock(const Clock* clock) : clock_(clock != nullptr ? *clock : steady_clock()) {}
  TimePoint now() const override {
    try {
      const TimePoint now = clock_.now();
      last_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
      return now;
    } catch (...) {
      return TimePoint(Duration(last_.load(std::memory_order_relaxed)));
    }
  }
  std::chrono::sys_time<Duration> wall_now() const override { return clock_.wall_now(); }
  std::chrono::sys_seconds calendar_now() const override { return clock_.calendar_now(); }

 private:
  const Clock& clock_;
  mutable std::atomic<Duration::rep> last_{0};
};

/// A log that never throws. `head` begins every line.
inline LogSink guarded_log(LogSink log, std::string head) {
  if (!log) return {};
  return [log = std::move(log), head = std::move(head)](LogLevel level, std::uint64_t request, std::string_view line) {
    try {
      head.empty() ? log(level, request, line) : log(level, request, head + std::string(line));
    } catch (...) {  // there is nobody left to tell
    }
  };
}

}  // namespace frugal
