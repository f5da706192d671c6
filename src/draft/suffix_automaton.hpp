// SuffixAutomaton: every substring of a growing text in linear space, so that the longest suffix that was seen before,
// and where, is at hand after each token (Blumer et al. 1985, "The smallest automaton recognizing the subwords of a
// text"). push is amortised O(1): at most 2 states and 3 edges a token.
//
// A state is a set of substrings that end at the same places; len is the longest of them, link the state of the longest
// suffix that ends elsewhere too. Moves only forward: nothing is ever forgotten. Not synchronised.
#pragma once

#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal::draft {

class SuffixAutomaton {
 public:
  /// A substring of the text: the last `length` tokens before any place where `state` ends. Stays valid while the text
  /// grows.
  struct Match {
    std::uint32_t state = 0, length = 0;
  };

  /// After each token at most so many states learn that they end here too, the longest first. A place that is
  /// remembered is always a right one; only with many short matches nested in each other it may not be the latest.
  explicit SuffixAutomaton(std::uint32_t most_updates = 32);

  void push(Token token);
  std::span<const Token> text() const noexcept { return text_; }
  /// What is allocated.
  std::size_t bytes() const noexcept;

  /// The longest suffix of the text that also ends earlier.
  Match repeated() const noexcept {
    if (last_ == 0) return {};
    return {states_[last_].link, states_[states_[last_].link].len};
  }
  /// The longest suffix of (match, token) that is a substring of the text: how to read another text along this one.
  Match follow(Match match, Token token) const noexcept;
  /// Where the match ended last, as far as remembered: text()[end] came next. For repeated() always before the end.
  std::uint32_t end_of(Match match) const noexcept { return states_[settle(match).state].end; }

 private:
  struct State {
    std::uint32_t len = 0, link = 0, end = 0;
    std::uint32_t edges = 0;  // the newest edge + 1; 0 = none
  };
  struct Edge {
    std::uint32_t from;
    Token token;
    std::uint32_t to;
    std::uint32_t next;  // as State::edges
  };

  Match settle(Match match) const noexcept;
  std::uint32_t add_state(const State& state);
  void add_edge(std::uint32_t from, Token token, std::uint32_t to);
  void place(std::uint32_t edge);
  void grow();
  std::uint32_t clone(std::uint32_t state, std::uint32_t len);
  void note_end();
  /// The edge's number + 1; 0 = none.
  std::uint32_t find(std::uint32_t from, Token token) const noexcept;

  std::uint32_t most_updates_;
  std::vector<Token> text_;
  std::vector<State> states_;  // 0 = the empty string
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> slots_;  // open addressing by (from, token), a power of two: edge + 1
  std::uint32_t last_ = 0;
};

}  // namespace frugal::draft
