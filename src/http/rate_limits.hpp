// RateLimits: what a provider's headers say about the requests and tokens that it still takes, and so when the next
// request may start without a 429. Each limit is a bucket that fills evenly and is full at its reset time, as OpenAI
// (x-ratelimit-*) and Anthropic (anthropic-ratelimit-*) describe theirs. No network and no thread here.
#pragma once

#include <frugal/core/clock.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::http {

/// What one request is expected to take from the buckets.
struct LimitNeed {
  double input = 0, output = 0;  ///< tokens
};

/// What the headers of one answer said.
class LimitReport {
 public:
  enum Kind : std::uint8_t { requests, tokens, input_tokens, output_tokens, kinds };
  struct Window {
    std::optional<double> limit{}, remaining{};
    std::optional<Duration> reset{};  ///< from the time of the answer until the bucket is full
  };
  /// `name` in lower case; `now` is for resets that are given as a date. Passes over what it does not know.
  void note(std::string_view name, std::string_view value, std::chrono::sys_time<Duration> now);
  bool empty() const noexcept { return !any_; }
  const Window& window(Kind kind) const { return windows_[kind]; }

 private:
  std::array<Window, kinds> windows_{};
  bool any_ = false;
};

class RateLimits {
 public:
  /// When a request may start, by what is known: `now` = at once, TimePoint::max() = after one of those that have not
  /// been answered yet.
  TimePoint open_at(const LimitNeed& need, TimePoint now) const;
  /// A try began; until it is answered or gone, its need is taken off what was reported.
  void begun(const LimitNeed& need);
  void gone(const LimitNeed& need);
  void heard(const LimitReport& report, TimePoint now);
  /// The provider asked for a pause.
  void close_until(TimePoint at) { closed_until_ = std::max(closed_until_, at); }

 private:
  struct Bucket {
    std::optional<double> limit{};
    double remaining = 0;
    TimePoint at{}, full{};
    std::optional<TimePoint> opens(double asked, double unanswered, TimePoint now) const;
  };
  static double share(LimitReport::Kind kind, const LimitNeed& need);
  std::array<std::optional<Bucket>, LimitReport::kinds> buckets_{};
  std::array<double, LimitReport::kinds> unanswered_{};
  TimePoint closed_until_{};
};

/// "2026-11-26T21:00:00Z", with or without a fraction, which is left aside; none = it is no such thing.
std::optional<std::chrono::sys_seconds> utc_of(const std::string& text);
/// "1h2m3.5s", "6m0s", "120ms"; none = it is no such thing.
std::optional<Duration> duration_of(std::string_view text);

}  // namespace frugal::http
