#include <frugal/core/error.hpp>
#include <frugal/policy/output.hpp>

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <vector>

namespace frugal {
namespace {

using Tokens = std::vector<Token>;

std::optional<Stop> after(OutputPolicy& policy, const Tokens& output) {
  const RequestView request;
  return policy.after({.request = request, .output = output});
}

Tokens repeated(const Tokens& head, const Tokens& period, std::size_t times) {
  Tokens tokens = head;
  for (std::size_t i = 0; i < times; ++i) tokens.insert(tokens.end(), period.begin(), period.end());
  return tokens;
}

// The definition, spelt out: some period p <= max_period such that the last n tokens, n = p * copies, all equal the one
// p before.
bool loops(const Tokens& t, const RepeatGuardOptions& o) {
  for (std::size_t p = 1; p <= o.max_period; ++p) {
    std::size_t copies = o.repeats;
    while (copies * p < o.min_tokens) ++copies;
    if (copies * p > t.size()) continue;
    bool same = true;
    for (std::size_t i = t.size() - copies * p + p; i < t.size(); ++i) same = same && t[i] == t[i - p];
    if (same) return true;
  }
  return false;
}

TEST_CASE("a block over and over ends the answer, and all copies but the first are cut") {
  const auto guard = repeat_guard({.max_period = 8, .repeats = 3, .min_tokens = 6});
  CHECK(guard->name() == "repeat_guard");
  CHECK(guard->budget({}) == 0);
  CHECK_FALSE(after(*guard, repeated({9, 8, 7}, {1, 2, 3}, 2)));
  CHECK(after(*guard, repeated({9, 8, 7}, {1, 2, 3}, 3)) == Stop{.policy = "repeat_guard", .trim_tokens = 6});
  CHECK(after(*repeat_guard({.max_period = 8, .repeats = 3, .min_tokens = 6, .trim = false}),
              repeated({}, {1, 2, 3}, 3)) == Stop{.policy = "repeat_guard", .trim_tokens = 0});
}

TEST_CASE("a short block must fill min_tokens before it counts as a loop") {
  const auto guard = repeat_guard({.max_period = 8, .repeats = 3, .min_tokens = 10});
  CHECK_FALSE(after(*guard, repeated({5}, {1}, 9)));
  CHECK(after(*guard, repeated({5}, {1}, 10)) == Stop{.policy = "repeat_guard", .trim_tokens = 9});
  CHECK_FALSE(after(*guard, repeated({5}, {1, 2, 3}, 3)));
  CHECK(after(*guard, repeated({5}, {1, 2, 3}, 4)) == Stop{.policy = "repeat_guard", .trim_tokens = 9});
}

TEST_CASE("a loop longer than max_period, or one that has ended, is none") {
  const auto guard = repeat_guard({.max_period = 2, .repeats = 2, .min_tokens = 1});
  CHECK_FALSE(after(*guard, {1, 2, 3, 1, 2, 3}));
  CHECK(after(*guard, {1, 2, 1, 2}));
  CHECK_FALSE(after(*guard, {1, 2, 1, 2, 5}));
  CHECK_FALSE(after(*guard, {}));
}

TEST_CASE("the guard agrees with its definition on random answers over few tokens") {
  std::mt19937 random(3);
  std::size_t found = 0;
  for (int i = 0; i < 20000; ++i) {
    const RepeatGuardOptions options{.max_period = 1 + static_cast<std::uint32_t>(random() % 6),
                                     .repeats = 2 + static_cast<std::uint32_t>(random() % 3),
                                     .min_tokens = static_cast<std::uint32_t>(random() % 9)};
    Tokens tokens(random() % 24);
    for (Token& token : tokens) token = static_cast<Token>(random() % 2);
    const auto stop = after(*repeat_guard(options), tokens);
    REQUIRE(stop.has_value() == loops(tokens, options));
    if (stop) REQUIRE(stop->trim_tokens < tokens.size());
    found += stop.has_value();
  }
  CHECK(found > 1000);
  CHECK(found < 19000);
}

TEST_CASE("options that mean nothing are refused") {
  CHECK_THROWS_AS(repeat_guard({.max_period = 0}), Error);
  CHECK_THROWS_AS(repeat_guard({.repeats = 1}), Error);
}

}  // namespace
}  // namespace frugal
