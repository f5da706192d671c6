// find_stop against a search that tries every place, and a text that comes in pieces against the whole one.
#include "core/stop_texts.hpp"

#include <frugal/core/finish.hpp>

#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace frugal;

namespace {

std::string drawn(std::mt19937_64& rng, std::size_t least, std::size_t most) {
  std::string out(least + rng() % (most - least + 1), 'a');
  for (char& c : out) c = rng() % 3 != 0 ? 'a' : 'b';
  return out;
}

// The answer up to the stop text that is complete first, and that text (the longest that ends there); byte by byte.
std::pair<std::string, std::string> ended(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::string longest;
    for (const std::string& stop : stops)
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0 && stop.size() > longest.size())
        longest = stop;
    if (!longest.empty()) return {text.substr(0, end - longest.size()), longest};
  }
  return {text, ""};
}

}  // namespace

TEST_CASE("stop texts: pieces of any size give what the whole text gives, and nothing is given too early") {
  std::mt19937_64 rng(7);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops(rng() % 4);
    for (std::string& stop : stops) stop = drawn(rng, 1, 5);
    const std::string text = drawn(rng, 0, 24);
    std::string held, given;
    const std::string* matched = nullptr;
    for (std::size_t at = 0; at < text.size() && matched == nullptr;) {
      const std::size_t size = 1 + rng() % 4;
      held += text.substr(at, size);
      at += size;
      const StopMatch found = find_stop(held, stops);
      given += held.substr(0, found.safe);
      held.erase(0, found.safe);
      matched = found.stop;
    }
    if (matched == nullptr) given += held;
    REQUIRE(std::pair(given, matched != nullptr ? *matched : "") == ended(text, stops));
  }
}

TEST_CASE("an answer joins its deltas, and begins anew where one revises") {
  Answer answer;
  answer.add({"a", {1}, {{1, 0, 0, {}}}, false, "x"});
  answer.add({"b", {2}, {}, false, "y"});
  CHECK(answer.text == "ab");
  CHECK(answer.reasoning == "xy");
  CHECK(answer.tokens == std::vector<Token>{1, 2});
  CHECK(answer.scores.size() == 1);
  answer.add({"c", {3}, {}, true, {}});
  CHECK(answer.text == "c");
  CHECK(answer.reasoning.empty());
  CHECK(answer.tokens == std::vector<Token>{3});
  CHECK(Delta{}.empty());
  CHECK_FALSE(Delta{{}, {}, {}, false, "x"}.empty());
}
