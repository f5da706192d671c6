// The host's clock and log, each in a coat that lets nothing it throws into a step.
#pragma once

#include <frugal/core/clock.hpp>

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

namespace frugal {

/// While the host's clock throws, time stands still.
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
