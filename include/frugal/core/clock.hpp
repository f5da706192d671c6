// Clock and LogSink: the two things of the outside world that frugal asks a host for, so that tests own time and a
// service keeps its own logger. Both are called from whichever thread drives an endpoint.
#pragma once

#include <frugal/config.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

namespace frugal {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// Bring your own to test deadlines without waiting. `now` must be monotonic and safe from any thread.
class FRUGAL_API Clock {
 public:
  virtual ~Clock();
  virtual TimePoint now() const = 0;
  /// The wall clock in UTC, for timestamps in traces and exports and for the date of a price. The system's clock by
  /// default. Safe from any thread.
  virtual std::chrono::sys_time<Duration> wall_now() const;
  /// The calendar time that chat templates print as today's date: wall_now() by default. Override it for another time
  /// zone, or for prompts that stay the same. Safe from any thread.
  virtual std::chrono::sys_seconds calendar_now() const;
};

/// The process's steady clock; one shared, stateless object.
FRUGAL_API const Clock& steady_clock() noexcept;

enum class LogLevel { debug, info, warning, error };

/// Called with a level, the request's id (0 = none) and one line without a line end. Empty = silence. Must not throw
/// and must not call back into the object that logs.
using LogSink = std::function<void(LogLevel, std::uint64_t request, std::string_view line)>;

/// Milliseconds as a double, for reports.
constexpr double milliseconds(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

}  // namespace frugal
