// TokenMasks: the tokens that a state of the parser allows. What a token does inside a lexeme is known by the lexeme's
// state alone and remembered; only tokens that go on beyond its end are walked through, from the place where it ends.
// One thread.
#pragma once

#include "grammar/parser/parser.hpp"
#include "grammar/vocabulary/lexeme_masks.hpp"

#include <array>
#include <functional>
#include <span>

namespace frugal::grammar {

class TokenMasks {
 public:
  TokenMasks(const Vocabulary& vocabulary, Parser& parser);

  /// Sets the bits of the tokens that may follow; all words are written. What the parser tried on the way is forgotten.
  void write(StateId state, std::span<std::uint32_t> words);
  /// As write(), with only those tokens after which `closes` holds for the state. It is asked once a state, and not for
  /// more than some thousand of them: tokens beyond that are left out.
  void write_closing(StateId state, const std::function<bool(StateId)>& closes, std::span<std::uint32_t> words);
  std::size_t memory() const { return lexemes_.memory(); }

 private:
  void add_thread(const Thread& thread, std::span<std::uint32_t> words);
  void add_lexeme(const Thread& thread, std::span<std::uint32_t> words);
  void add_with_text(const Thread& thread, std::span<std::uint32_t> words);
  void begin_walk(StateId from);
  void walk_below(std::uint32_t node, std::span<std::uint32_t> words);
  static constexpr StateId kUnknown = ~0U;
  void add_tokens(const Vocabulary::Node& node, std::span<std::uint32_t> words) const;

  const Vocabulary& vocabulary_;
  Parser& parser_;
  LexemeMasks lexemes_;
  // One walk after another from the same state.
  StateId from_ = kDeadState;
  std::array<StateId, 256> first_steps_{};  // by byte; kUnknown where not tried
  std::vector<StateId> places_;             // by depth
  std::vector<std::uint32_t> own_;
};

}  // namespace frugal::grammar
