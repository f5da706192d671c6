#include "grammar/running/token_masks.hpp"

#include <algorithm>
#include <unordered_map>

namespace frugal::grammar {

TokenMasks::TokenMasks(const Vocabulary& vocabulary, Parser& parser)
    : vocabulary_(vocabulary),
      parser_(parser),
      lexemes_(vocabulary, parser.program().any_character, parser.program().writers_character),
      places_(vocabulary.longest() + 1) {}

void TokenMasks::write(StateId state, std::span<std::uint32_t> words) {
  std::fill(words.begin(), words.end(), 0);
  if (words.size() < vocabulary_.words()) {  // a model that draws from the head of the vocabulary only
    std::vector<std::uint32_t> all(vocabulary_.words());
    write(state, all);
    std::copy_n(all.begin(), words.size(), words.begin());
    return;
  }
  const Parser::Mark mark = parser_.mark();
  const auto now = parser_.state(state).threads;
  const std::vector<Thread> threads(now.begin(), now.end());
  for (const Thread& thread : threads) add_thread(thread, words);
  if (parser_.state(state).complete) {
    for (const Token t : vocabulary_.end_tokens()) words[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32);
  }
  parser_.release(mark);
}

void TokenMasks::write_closing(StateId state, const std::function<bool(StateId)>& closes,
                               std::span<std::uint32_t> words) {
  constexpr std::size_t kMostStates = 4'096;
  std::vector<std::uint32_t> all(std::max(words.size(), vocabulary_.words()));
  std::unordered_map<StateId, bool> known;
  const auto& nodes = vocabulary_.nodes();
  const Parser::Mark mark = parser_.mark();
  places_[0] = state;
  for (std::uint32_t n = 1; n < nodes.size();) {
    const Vocabulary::Node& node = nodes[n];
    const StateId now = parser_.step(places_[node.depth - 1u], node.byte);
    if (now == kDeadState) {
      n = node.next;
      continue;
    }
    places_[node.depth] = now;
    if (node.count > 0) {
      const auto found = known.find(now);
      const bool fits = found != known.end() ? found->second : known.size() < kMostStates && closes(now);
      if (found == known.end()) known.emplace(now, fits);
      if (fits) add_tokens(node, all);
    }
    ++n;
  }
  if (parser_.state(state).complete) {
    for (const Token t : vocabulary_.end_tokens()) all[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32);
  }
  parser_.release(mark);
  std::copy_n(all.begin(), words.size(), words.begin());
}

void TokenMasks::add_thread(const Thread& thread, std::span<std::uint32_t> words) {
  if (parser_.in_name(thread)) {  // few bytes are possible, so the trie is walked from its root
    begin_walk(parser_.alone(thread));
    walk_below(0, words);
  } else if (parser_.text_matters(thread)) {
    add_with_text(thread, words);
  } else {
    add_lexeme(thread, words);
  }
}

void TokenMasks::add_tokens(const Vocabulary::Node& node, std::span<std::uint32_t> words) const {
  for (const Token t : vocabulary_.tokens(node)) words[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32);
}

void TokenMasks::add_lexeme(const Thread& thread, std::span<std::uint32_t> words) {
  const LexemeMask& mask = lexemes_.of(parser_.store(), thread.q);
  for (std::size_t w = 0; w < mask.words.size(); ++w) words[w] |= mask.words[w];
  for (const Token t : mask.tokens) words[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32);
  // Where the lexeme ends, the same follows whatever was read: one state serves all exits.
  bool known = false;
  for (const LexemeMask::Exit& exit : mask.exits) {
    if (vocabulary_.nodes()[exit.node].next == exit.node + 1) continue;  // a leaf
    if (!known) {
      const StateId next = parser_.after(thread, vocabulary_.path(exit.node));
      if (next == kDeadState) break;
      begin_walk(next);
      known = true;
    }
    walk_below(exit.node, words);
  }
}

// Names and items that must differ from earlier ones: each end is looked at with its text, and a token that ends there
// is allowed only if the text is, or if the lexeme can go on.
void TokenMasks::add_with_text(const Thread& thread, std::span<std::uint32_t> words) {
  const LexemeMask& mask = lexemes_.of(parser_.store(), thread.q);
  own_.assign(words.size(), 0);
  std::copy(mask.words.begin(), mask.words.end(), own_.begin());
  for (const Token t : mask.tokens) own_[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32);
  for (const LexemeMask::Exit& exit : mask.exits) {
    const Vocabulary::Node& node = vocabulary_.nodes()[exit.node];
    const StateId next = parser_.after(thread, vocabulary_.path(exit.node));
    if (next != kDeadState) {
      begin_walk(next);
      walk_below(exit.node, own_);
    } else if (exit.state == kEmptyText) {
      for (const Token t : vocabulary_.tokens(node)) own_[static_cast<std::size_t>(t) / 32] &= ~(1U << (t % 32));
    }
  }
  for (std::size_t w = 0; w < words.size(); ++w) words[w] |= own_[w];
}

void TokenMasks::begin_walk(StateId from) {
  from_ = from;
  first_steps_.fill(kUnknown);
}

void TokenMasks::walk_below(std::uint32_t top, std::span<std::uint32_t> words) {
  const auto& nodes = vocabulary_.nodes();
  const std::uint32_t end = nodes[top].next;
  const std::uint32_t first_depth = nodes[top].depth + 1u;
  for (std::uint32_t n = top + 1; n < end;) {
    const Vocabulary::Node& node = nodes[n];
    StateId now = kDeadState;
    if (node.depth == first_depth) {
      now = first_steps_[node.byte];
      if (now == kUnknown) now = first_steps_[node.byte] = parser_.step(from_, node.byte);
    } else {
      now = parser_.step(places_[node.depth - 1u], node.byte);
    }
    if (now == kDeadState) {
      n = node.next;
      continue;
    }
    places_[node.depth] = now;
    add_tokens(node, words);
    ++n;
  }
}

}  // namespace frugal::grammar
