#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>

#include "brute_force.hpp"
#include "draft/suffix_automaton.hpp"

namespace frugal {
namespace {

using draft::SuffixAutomaton;
using testing::Ids;

constexpr std::uint32_t kAll = ~std::uint32_t{0};

/// Texts in which much repeats: few different tokens, now and then a copy of an earlier piece.
Ids repetitive_text(std::size_t most = 200) {
  const auto letters = *rc::gen::inRange<Token>(1, 6);
  Ids text;
  const auto pieces = *rc::gen::inRange<std::size_t>(1, 12);
  for (std::size_t i = 0; i < pieces && text.size() < most; ++i) {
    if (!text.empty() && *rc::gen::inRange(0, 2) == 0) {
      const auto from = *rc::gen::inRange<std::size_t>(0, text.size());
      const auto n = *rc::gen::inRange<std::size_t>(0, text.size() - from + 1);
      for (std::size_t k = 0; k < n; ++k) text.push_back(text[from + k]);
    } else {
      const Ids fresh = *rc::gen::container<Ids>(rc::gen::inRange<Token>(0, letters));
      text.insert(text.end(), fresh.begin(), fresh.end());
    }
  }
  text.resize(std::min(most, text.size()));
  return text;
}

TEST_CASE("after every token the longest repeated suffix and its latest earlier place are known") {
  CHECK(rc::check([] {
    SuffixAutomaton automaton(kAll);
    Ids text;
    for (const Token token : repetitive_text()) {
      automaton.push(token);
      text.push_back(token);
      const auto expected = testing::longest_match(text, text, text.size(), text.size());
      RC_ASSERT(automaton.repeated().length == expected.length);
      if (expected.length > 0) RC_ASSERT(automaton.end_of(automaton.repeated()) == expected.end);
    }
  }));
}

TEST_CASE("with bounded updates a remembered place is still a right one") {
  CHECK(rc::check([] {
    SuffixAutomaton automaton(1);
    Ids text;
    for (const Token token : repetitive_text()) {
      automaton.push(token);
      text.push_back(token);
      const auto match = automaton.repeated();
      if (match.length == 0) continue;
      const std::size_t end = automaton.end_of(match);
      RC_ASSERT(end < text.size());
      RC_ASSERT(testing::common_end(std::span(text).first(end), text) >= match.length);
    }
  }));
}

TEST_CASE("another text is followed while both grow, in any order") {
  CHECK(rc::check([] {
    SuffixAutomaton automaton(kAll);
    const Ids text = repetitive_text(120), other = repetitive_text(120);
    SuffixAutomaton::Match match;
    std::size_t known = 0, followed = 0;
    // A match grows by one token at most, from what it was when the text was shorter: the longest match now may be
    // longer, but what is claimed must hold.
    while (followed < other.size()) {
      if (known < text.size() && *rc::gen::inRange(0, 2) == 0) {
        automaton.push(text[known++]);
        continue;
      }
      match = automaton.follow(match, other[followed++]);
      const auto seen = std::span(other).first(followed);
      if (match.length > 0) {
        const std::size_t end = automaton.end_of(match);
        RC_ASSERT(end <= known);
        RC_ASSERT(testing::common_end(std::span(text).first(end), seen) >= match.length);
      }
    }
  }));
}

TEST_CASE("along a finished text the match is the longest there is") {
  CHECK(rc::check([] {
    SuffixAutomaton automaton(kAll);
    const Ids text = repetitive_text(150), other = repetitive_text(150);
    for (const Token token : text) automaton.push(token);
    SuffixAutomaton::Match match;
    for (std::size_t i = 0; i < other.size(); ++i) {
      match = automaton.follow(match, other[i]);
      const auto expected = testing::longest_match(text, std::span(other).first(i + 1), text.size() + 1, text.size());
      RC_ASSERT(match.length == expected.length);
    }
  }));
}

TEST_CASE("memory is linear in the text, whatever it says") {
  const std::size_t n = 20000;
  const auto bytes_per_token = [&](auto token_at) {
    SuffixAutomaton automaton;
    for (std::size_t i = 0; i < n; ++i) automaton.push(static_cast<Token>(token_at(i)));
    return static_cast<double>(automaton.bytes()) / static_cast<double>(n);
  };
  CHECK(bytes_per_token([](std::size_t) { return 7; }) < 200);                                   // one token
  CHECK(bytes_per_token([](std::size_t i) { return i; }) < 200);                                 // all different
  CHECK(bytes_per_token([](std::size_t i) { return i == 0 ? 0 : (i < n / 2 ? 1 : 2); }) < 200);  // most states
  CHECK(bytes_per_token([](std::size_t i) { return (i * i + i / 7) % 5; }) < 200);
}

TEST_CASE("an empty automaton repeats nothing") {
  const SuffixAutomaton automaton;
  CHECK(automaton.repeated().length == 0);
  CHECK(automaton.follow({}, 3).length == 0);
}

}  // namespace
}  // namespace frugal
