#include "draft/suffix_automaton.hpp"

namespace frugal::draft {
namespace {

constexpr std::uint32_t kNone = ~std::uint32_t{0};  // the link of the empty string

std::size_t slot_of(std::uint32_t from, Token token, std::size_t slots) noexcept {
  const std::uint64_t key = std::uint64_t{from} << 32 | static_cast<std::uint32_t>(token);
  return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15U) >> 32) & (slots - 1);
}

}  // namespace

SuffixAutomaton::SuffixAutomaton(std::uint32_t most_updates) : most_updates_(most_updates), slots_(16) {
  states_.push_back({.link = kNone});
}

std::size_t SuffixAutomaton::bytes() const noexcept {
  return text_.capacity() * sizeof(Token) + states_.capacity() * sizeof(State) + edges_.capacity() * sizeof(Edge) +
         slots_.capacity() * sizeof(std::uint32_t);
}

std::uint32_t SuffixAutomaton::find(std::uint32_t from, Token token) const noexcept {
  for (std::size_t at = slot_of(from, token, slots_.size());; at = (at + 1) & (slots_.size() - 1)) {
    const std::uint32_t edge = slots_[at];
    if (edge == 0 || (edges_[edge - 1].from == from && edges_[edge - 1].token == token)) return edge;
  }
}

void SuffixAutomaton::place(std::uint32_t edge) {
  std::size_t at = slot_of(edges_[edge].from, edges_[edge].token, slots_.size());
  while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = edge + 1;
}

void SuffixAutomaton::grow() {
  slots_.assign(slots_.size() * 2, 0);
  for (std::uint32_t edge = 0; edge < edges_.size(); ++edge) place(edge);
}

void SuffixAutomaton::add_edge(std::uint32_t from, Token token, std::uint32_t to) {
  if ((edges_.size() + 1) * 4 > slots_.size() * 3) grow();
  edges_.push_back({from, token, to, states_[from].edges});
  states_[from].edges = static_cast<std::uint32_t>(edges_.size());
  place(static_cast<std::uint32_t>(edges_.size() - 1));
}

std::uint32_t SuffixAutomaton::add_state(const State& state) {
  states_.push_back(state);
  return static_cast<std::uint32_t>(states_.size() - 1);
}

// The shorter strings of `state` become a state of their own: they end at a place where the longer ones do not.
std::uint32_t SuffixAutomaton::clone(std::uint32_t state, std::uint32_t len) {
  State copy = states_[state];
  copy.len = len, copy.edges = 0;
  const std::uint32_t fresh = add_state(copy);
  for (std::uint32_t edge = states_[state].edges; edge != 0; edge = edges_[edge - 1].next)
    add_edge(fresh, edges_[edge - 1].token, edges_[edge - 1].to);
  states_[state].link = fresh;
  return fresh;
}

// The suffixes of the text end here too. Told when the text moves on, so that repeated() never points at itself.
void SuffixAutomaton::note_end() {
  const auto end = static_cast<std::uint32_t>(text_.size());
  std::uint32_t state = states_[last_].link;
  for (std::uint32_t i = 0; i < most_updates_ && state != kNone; ++i, state = states_[state].link)
    states_[state].end = end;
}

void SuffixAutomaton::push(Token token) {
  note_end();
  text_.push_back(token);
  const auto length = static_cast<std::uint32_t>(text_.size());
  const std::uint32_t whole = add_state({.len = length, .end = length});
  std::uint32_t at = last_, edge = 0;
  for (; at != kNone && (edge = find(at, token)) == 0; at = states_[at].link) add_edge(at, token, whole);
  last_ = whole;
  if (at == kNone) return;  // never seen: linked to the empty string, which is state 0
  const std::uint32_t next = edges_[edge - 1].to;
  if (states_[next].len == states_[at].len + 1) {
    states_[whole].link = next;
    return;
  }
  const std::uint32_t shorter = clone(next, states_[at].len + 1);
  for (; at != kNone; at = states_[at].link) {
    edge = find(at, token);
    if (edge == 0 || edges_[edge - 1].to != next) break;
    edges_[edge - 1].to = shorter;
  }
  states_[whole].link = shorter;
}

// A state may have been split since: its shorter strings moved along the link.
SuffixAutomaton::Match SuffixAutomaton::settle(Match match) const noexcept {
  while (match.state != 0 && match.length <= states_[states_[match.state].link].len)
    match.state = states_[match.state].link;
  return match;
}

SuffixAutomaton::Match SuffixAutomaton::follow(Match match, Token token) const noexcept {
  match = settle(match);
  for (;;) {
    if (const std::uint32_t edge = find(match.state, token); edge != 0) return {edges_[edge - 1].to, match.length + 1};
    if (match.state == 0) return {};
    match.state = states_[match.state].link;
    match.length = states_[match.state].len;
  }
}

}  // namespace frugal::draft
