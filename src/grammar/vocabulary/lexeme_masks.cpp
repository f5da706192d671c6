#include "grammar/vocabulary/lexeme_masks.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

void set_bit(std::vector<std::uint32_t>& words, Token t) { words[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32); }
void clear_bit(std::vector<std::uint32_t>& words, Token t) {
  words[static_cast<std::size_t>(t) / 32] &= ~(1U << (t % 32));
}

}  // namespace

const LexemeMask& LexemeMasks::of(ExprStore& store, ExprId state) {
  if (const auto found = known_.find(state); found != known_.end()) return found->second;
  if (memory_ > kMostBytes) {
    known_.clear();
    memory_ = 0;
  }
  LexemeMask mask = make(store, state);
  memory_ += mask.bytes();
  return known_.emplace(state, std::move(mask)).first->second;
}

LexemeMask LexemeMasks::make(ExprStore& store, ExprId state) {
  LexemeMask mask;
  if (from_slice(store, state, mask)) return mask;
  if (!from_search(store, state, mask) && !without(store, state, mask)) {
    mask.words.assign(vocabulary_.words(), 0);
    walk(store, state, mask);
  }
  std::sort(mask.exits.begin(), mask.exits.end(),
            [](const auto& a, const auto& b) { return a.state != b.state ? a.state < b.state : a.node < b.node; });
  pack(mask);
  return mask;
}

// character{m,n}": the slice, without the tokens that are too long.
bool LexemeMasks::from_slice(ExprStore& store, ExprId state, LexemeMask& out) {
  using Kind = ExprStore::Kind;
  const ExprStore::Node& list = store.node(state);
  if (list.kind != Kind::concat || store.node(list.a).kind != Kind::repeat) return false;
  const ExprStore::Node& repeat = store.node(list.a);
  const ExprStore::Node& quote = store.node(list.b);
  if ((repeat.a != any_ && repeat.a != writers_) || quote.kind != Kind::bytes) return false;
  if (store.set(list.b) != ByteSet::one('"')) return false;
  const StringSlice& slice = repeat.a == any_ ? vocabulary_.any_spelling() : vocabulary_.writers_spelling();
  const std::uint32_t least = repeat.least(), most = repeat.most();
  out.words = slice.words;
  for (const auto& [length, t] : slice.by_length) {
    if (length <= most) break;
    clear_bit(out.words, t);
  }
  for (const StringSlice::Exit& exit : slice.exits) {
    if (exit.characters < least || exit.characters > most) continue;
    const Vocabulary::Node& node = vocabulary_.nodes()[exit.node];
    for (const Token t : vocabulary_.tokens(node)) set_bit(out.words, t);
    out.exits.push_back({exit.node, kEmptyText});
  }
  return true;
}

// A part of the state's language that any characters lead back to; kNothing where none is seen at once.
ExprId LexemeMasks::free_part(ExprStore& store, ExprId state, ExprId character) const {
  using Kind = ExprStore::Kind;
  const ExprStore::Node n = store.node(state);
  if (n.kind == Kind::concat) {
    const ExprStore::Node& head = store.node(n.a);
    const bool free =
        head.kind == Kind::repeat && head.a == character && head.least() == 0 && head.most() == kUnbounded;
    return free ? state : kNothing;
  }
  if (n.kind != Kind::any_of && n.kind != Kind::all_of) return kNothing;
  std::vector<ExprId> found;
  const std::vector<ExprId> parts(store.parts(state).begin(), store.parts(state).end());
  for (const ExprId part : parts) {
    const ExprId free = free_part(store, part, character);
    if (n.kind == Kind::any_of && free != kNothing) return free;
    if (n.kind == Kind::all_of && free == kNothing) return kNothing;
    if (free != kNothing) found.push_back(free);
  }
  return n.kind == Kind::all_of ? store.all_of(std::move(found)) : kNothing;
}

// A pattern that may begin anywhere in a string: whatever is read, the string can go on, so only tokens that are more
// than characters of a string are looked at.
bool LexemeMasks::from_search(ExprStore& store, ExprId state, LexemeMask& out) {
  const ExprId free = writers_ == kNothing ? kNothing : free_part(store, state, writers_);
  if (free == kNothing || !store.live(free)) return false;
  const StringSlice& slice = vocabulary_.writers_spelling();
  const auto& nodes = vocabulary_.nodes();
  out.words = slice.words;
  places_[0] = state;
  for (std::size_t i = 0; i < slice.mixed.size();) {
    const std::uint32_t n = slice.mixed[i];
    const Vocabulary::Node& node = nodes[n];
    const ExprId now = store.step(places_[node.depth - 1u], node.byte);
    ++i;
    if (now == kNothing) {
      while (i < slice.mixed.size() && slice.mixed[i] < node.next) ++i;
      continue;
    }
    places_[node.depth] = now;
    for (const Token t : vocabulary_.tokens(node)) set_bit(out.words, t);
    if (store.accepts(now)) out.exits.push_back({n, now});
  }
  return true;
}

// x & !y: as x, but for the few places of the trie where y is not out of the question yet.
bool LexemeMasks::without(ExprStore& store, ExprId state, LexemeMask& out) {
  using Kind = ExprStore::Kind;
  if (store.node(state).kind != Kind::all_of) return false;
  ExprId base = kNothing;
  for (const ExprId part : store.parts(state)) {
    if (store.node(part).kind == Kind::complement) continue;
    if (base != kNothing) return false;
    base = part;
  }
  if (base == kNothing) return false;
  const LexemeMask& whole = of(store, base);
  if (whole.words.empty()) return false;
  out.words = whole.words;
  const auto& nodes = vocabulary_.nodes();
  std::vector<ExprId> bases(vocabulary_.longest() + 1, base);
  std::vector<std::uint32_t> removed;
  std::vector<ExprId> here(vocabulary_.longest() + 1, state);
  std::vector<LexemeMask::Exit> kept;
  for (std::uint32_t n = 1; n < nodes.size();) {
    const Vocabulary::Node& node = nodes[n];
    const ExprId in_base = store.step(bases[node.depth - 1u], node.byte);
    const ExprId now = store.step(here[node.depth - 1u], node.byte);
    if (in_base == now) {
      n = node.next;
      continue;
    }
    if (now == kNothing) {  // y says no, for all below
      for (std::uint32_t below = n; below < node.next; ++below) {
        for (const Token t : vocabulary_.tokens(nodes[below])) clear_bit(out.words, t);
        removed.push_back(below);
      }
      n = node.next;
      continue;
    }
    removed.push_back(n);
    if (store.accepts(now)) kept.push_back({n, now});
    bases[node.depth] = in_base;
    here[node.depth] = now;
    ++n;
  }
  for (const LexemeMask::Exit& exit : whole.exits) {  // removed is sorted
    if (!std::binary_search(removed.begin(), removed.end(), exit.node)) out.exits.push_back(exit);
  }
  out.exits.insert(out.exits.end(), kept.begin(), kept.end());
  return true;
}

void LexemeMasks::walk(ExprStore& store, ExprId state, LexemeMask& out) {
  const auto& nodes = vocabulary_.nodes();
  places_[0] = state;
  for (std::uint32_t n = 1; n < nodes.size();) {
    const Vocabulary::Node& node = nodes[n];
    const ExprId now = store.step(places_[node.depth - 1u], node.byte);
    if (now == kNothing) {
      n = node.next;
      continue;
    }
    places_[node.depth] = now;
    for (const Token t : vocabulary_.tokens(node)) set_bit(out.words, t);
    if (store.accepts(now)) out.exits.push_back({n, now});
    ++n;
  }
}

void LexemeMasks::pack(LexemeMask& mask) const {
  constexpr std::size_t kFew = 128;
  std::vector<Token> tokens;
  for (std::size_t w = 0; w < mask.words.size(); ++w) {
    for (std::uint32_t left = mask.words[w]; left != 0; left &= left - 1) {
      if (tokens.size() == kFew) return;
      tokens.push_back(static_cast<Token>(w * 32 + static_cast<std::size_t>(__builtin_ctz(left))));
    }
  }
  mask.tokens = std::move(tokens);
  mask.words.clear();
}

}  // namespace frugal::grammar
