#include "http/rate_limits.hpp"

#include <catch2/catch_test_macros.hpp>
#include <chrono>

using namespace frugal;
using namespace frugal::http;
using namespace std::chrono_literals;

namespace {

const std::chrono::sys_time<Duration> wall = std::chrono::sys_days(std::chrono::year(2026) / 11 / 26) + 12h;
const TimePoint start{1h};

LimitReport report(std::initializer_list<std::pair<const char*, const char*>> headers) {
  LimitReport out;
  for (const auto& [name, value] : headers) out.note(name, value, wall);
  return out;
}

LimitReport openai_requests(const char* limit, const char* remaining, const char* reset) {
  return report({{"x-ratelimit-limit-requests", limit},
                 {"x-ratelimit-remaining-requests", remaining},
                 {"x-ratelimit-reset-requests", reset}});
}

}  // namespace

TEST_CASE("durations of providers are read in their own way of writing") {
  CHECK(duration_of("1s") == Duration(1s));
  CHECK(duration_of("6m0s") == Duration(6min));
  CHECK(duration_of("120ms") == Duration(120ms));
  CHECK(duration_of("1h2m3.5s") == Duration(1h + 2min + 3500ms));
  CHECK(duration_of("7.66") == Duration(7660ms));
  CHECK_FALSE(duration_of(""));
  CHECK_FALSE(duration_of("soon"));
  CHECK_FALSE(duration_of("-1s"));
  CHECK_FALSE(duration_of("3y"));
  CHECK_FALSE(duration_of("1e300s"));
}

TEST_CASE("nothing is held back where the provider has said nothing") {
  RateLimits limits;
  for (int i = 0; i < 1000; ++i) limits.begun({.input = 1e6, .output = 1e6});
  CHECK(limits.open_at({.input = 1e6, .output = 1e6}, start) == start);
  limits.heard(report({{"x-ratelimit-remaining-requests", "nonsense"}, {"x-ratelimit-reset-requests", "1s"}}), start);
  limits.heard(report({{"x-ratelimit-remaining-cats", "0"}, {"x-ratelimit-reset-cats", "1s"}}), start);
  CHECK(limits.open_at({}, start) == start);
}

TEST_CASE("a bucket without requests opens when one has come back, not when all have") {
  RateLimits limits;
  limits.heard(openai_requests("60", "0", "1m0s"), start);
  CHECK(limits.open_at({}, start) == start + 1s);
  CHECK(limits.open_at({}, start + 1s) == start + 1s);
  CHECK(limits.open_at({}, start + 10s) == start + 10s);
}

TEST_CASE("requests that have not been answered are taken off what was reported") {
  RateLimits limits;
  limits.heard(openai_requests("60", "2", "58s"), start);
  CHECK(limits.open_at({}, start) == start);
  limits.begun({});
  CHECK(limits.open_at({}, start) == start);
  limits.begun({});
  CHECK(limits.open_at({}, start) == start + 1s);
  limits.gone({});
  CHECK(limits.open_at({}, start) == start);
}

TEST_CASE("more than the bucket ever holds waits for one of those under way") {
  RateLimits limits;
  limits.heard(openai_requests("2", "2", "0s"), start);
  limits.begun({});
  limits.begun({});
  CHECK(limits.open_at({}, start + 1h) == TimePoint::max());
  limits.gone({});
  CHECK(limits.open_at({}, start + 1h) == start + 1h);
}

TEST_CASE("tokens count by what a request is expected to take") {
  RateLimits limits;
  limits.heard(report({{"x-ratelimit-limit-tokens", "1000"},
                       {"x-ratelimit-remaining-tokens", "100"},
                       {"x-ratelimit-reset-tokens", "90s"}}),
               start);
  CHECK(limits.open_at({.input = 60, .output = 40}, start) == start);
  CHECK(limits.open_at({.input = 60, .output = 50}, start) == start + 1s);
  CHECK(limits.open_at({.input = 1e9}, start) == start + 90s);  // it never fits: tried when the bucket is full
}

TEST_CASE("Anthropic's dates and its limits for input and output are understood") {
  RateLimits limits;
  limits.heard(report({{"anthropic-ratelimit-output-tokens-limit", "100"},
                       {"anthropic-ratelimit-output-tokens-remaining", "0"},
                       {"anthropic-ratelimit-output-tokens-reset", " 2026-11-26t12:01:40z\r\n"}}),
               start);
  CHECK(limits.open_at({.input = 1e6, .output = 0}, start) == start);
  CHECK(limits.open_at({.input = 0, .output = 10}, start) == start + 10s);
  limits.heard(report({{"anthropic-ratelimit-requests-remaining", "0"},
                       {"anthropic-ratelimit-requests-reset", "2026-11-26T12:00:30Z"}}),
               start);
  CHECK(limits.open_at({}, start) == start + 30s);  // without a limit it is not known how fast it fills
  limits.heard(report({{"anthropic-ratelimit-requests-remaining", "0"},
                       {"anthropic-ratelimit-requests-reset", "2026-11-26T11:00:30Z"}}),
               start);
  CHECK(limits.open_at({}, start) == start);  // in the past
}

TEST_CASE("a pause that was asked for holds everything back") {
  RateLimits limits;
  limits.close_until(start + 5s);
  limits.close_until(start + 2s);
  CHECK(limits.open_at({}, start) == start + 5s);
  CHECK(limits.open_at({}, start + 6s) == start + 6s);
}
