#include "http/rate_limits.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace frugal::http {

namespace {

constexpr double most_seconds = 7 * 86400.0;

std::optional<Duration> in_reason(double seconds) {
  if (!(seconds >= 0 && seconds <= most_seconds)) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

std::optional<double> number_of(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0' || !(value >= 0 && value < 1e15)) return std::nullopt;
  return value;
}

struct Place {
  LimitReport::Kind kind;
  std::string_view what;  // limit, remaining, reset
};

std::optional<LimitReport::Kind> kind_of(std::string_view name) {
  if (name == "requests") return LimitReport::requests;
  if (name == "tokens") return LimitReport::tokens;
  if (name == "input-tokens") return LimitReport::input_tokens;
  if (name == "output-tokens") return LimitReport::output_tokens;
  return std::nullopt;
}

// x-ratelimit-remaining-tokens, anthropic-ratelimit-tokens-remaining
std::optional<Place> place_of(std::string_view name) {
  constexpr std::string_view openai = "x-ratelimit-", anthropic = "anthropic-ratelimit-";
  std::string_view kind, what;
  if (name.substr(0, openai.size()) == openai) {
    name.remove_prefix(openai.size());
    const std::size_t dash = name.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    what = name.substr(0, dash);
    kind = name.substr(dash + 1);
  } else if (name.substr(0, anthropic.size()) == anthropic) {
    name.remove_prefix(anthropic.size());
    const std::size_t dash = name.rfind('-');
    if (dash == std::string_view::npos) return std::nullopt;
    kind = name.substr(0, dash);
    what = name.substr(dash + 1);
  }
  const std::optional<LimitReport::Kind> known = kind_of(kind);
  if (!known) return std::nullopt;
  return Place{*known, what};
}

}  // namespace

std::optional<std::chrono::sys_seconds> utc_of(const std::string& text) {
  int year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2u:%2u:%2u", &year, &month, &day, &hour, &minute, &second) != 6)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || text.back() != 'Z') return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

std::optional<Duration> duration_of(std::string_view text) {
  const std::string whole(text);
  const char* at = whole.c_str();
  double seconds = 0;
  bool any = false;
  while (*at != '\0') {
    char* end = nullptr;
    const double value = std::strtod(at, &end);
    if (end == at || !(value >= 0)) return std::nullopt;
    const std::string_view unit(end);
    const bool milli = unit.substr(0, 2) == "ms";
    const double each = milli                 ? 1e-3
                        : unit.empty()        ? 1.0
                        : unit.front() == 's' ? 1.0
                        : unit.front() == 'm' ? 60.0
                        : unit.front() == 'h' ? 3600.0
                        : unit.front() == 'd' ? 86400.0
                                              : -1.0;
    if (each < 0) return std::nullopt;
    seconds += each * value;
    at = end + (unit.empty() ? 0 : milli ? 2 : 1);
    any = true;
  }
  return any ? in_reason(seconds) : std::nullopt;
}

void LimitReport::note(std::string_view name, std::string_view value, std::chrono::sys_time<Duration> now) {
  const std::optional<Place> place = place_of(name);
  if (!place) return;
  const std::size_t begin = value.find_first_not_of(" \t"), end = value.find_last_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return;
  std::string text(value.substr(begin, end - begin + 1));
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c == 't' ? 'T' : c == 'z' ? 'Z' : c; });
  Window& window = windows_[place->kind];
  if (place->what == "limit") window.limit = number_of(text);
  if (place->what == "remaining") window.remaining = number_of(text);
  if (place->what == "reset") {
    if (const auto date = utc_of(text))
      window.reset = in_reason(std::max(0.0, std::chrono::duration<double>(*date - now).count()));
    else
      window.reset = duration_of(text);
  }
  any_ = true;
}

double RateLimits::share(LimitReport::Kind kind, const LimitNeed& need) {
  switch (kind) {
    case LimitReport::tokens:
      return need.input + need.output;
    case LimitReport::input_tokens:
      return need.input;
    case LimitReport::output_tokens:
      return need.output;
    default:
      return 1;
  }
}

// When the bucket holds what is asked and what is unanswered; none = it does so now. What is more than it ever holds
// waits for a full one. The latest time there is = when one of the unanswered is answered.
std::optional<TimePoint> RateLimits::Bucket::opens(double asked, double unanswered, TimePoint now) const {
  if (!limit && now >= full) return std::nullopt;  // how much it holds by now is not known
  const double most = limit.value_or(remaining + 1);
  const double wanted = std::min(asked, most) + unanswered;
  if (remaining >= wanted || (now >= full && most >= wanted)) return std::nullopt;
  if (wanted > most) return TimePoint::max();
  const double way = (wanted - remaining) / (most - remaining);
  const Duration whole = full - at;
  const TimePoint when =
      at + std::min(whole, Duration(static_cast<Duration::rep>(std::ceil(way * double(whole.count())))));
  if (when <= now) return std::nullopt;
  return when;
}

TimePoint RateLimits::open_at(const LimitNeed& need, TimePoint now) const {
  TimePoint open = std::max(now, closed_until_);
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    if (!buckets_[i]) continue;
    const double asked = share(static_cast<LimitReport::Kind>(i), need);
    if (const auto when = buckets_[i]->opens(asked, unanswered_[i], now)) open = std::max(open, *when);
  }
  return open;
}

void RateLimits::begun(const LimitNeed& need) {
  for (std::size_t i = 0; i < unanswered_.size(); ++i) unanswered_[i] += share(static_cast<LimitReport::Kind>(i), need);
}

void RateLimits::gone(const LimitNeed& need) {
  for (std::size_t i = 0; i < unanswered_.size(); ++i)
    unanswered_[i] = std::max(0.0, unanswered_[i] - share(static_cast<LimitReport::Kind>(i), need));
}

void RateLimits::heard(const LimitReport& report, TimePoint now) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const LimitReport::Window& said = report.window(static_cast<LimitReport::Kind>(i));
    if (!said.remaining || !said.reset) continue;
    std::optional<double> limit = said.limit;
    if (limit) limit = std::max(*limit, *said.remaining);
    buckets_[i] = Bucket{limit, *said.remaining, now, now + *said.reset};
  }
}

}  // namespace frugal::http
