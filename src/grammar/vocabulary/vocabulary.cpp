#include "grammar/vocabulary/vocabulary.hpp"

#include "grammar/expr/store.hpp"
#include "grammar/regex/alphabet.hpp"

#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <map>
#include <mutex>

namespace frugal::grammar {

namespace {

// Counts characters along the trie: between two characters the automaton is always in the same state.
StringSlice make_slice(const Vocabulary& vocabulary, ExprStore& store, ExprId character) {
  StringSlice slice;
  slice.words.assign(vocabulary.words(), 0);
  struct Place {
    ExprId state;
    std::uint32_t characters;
  };
  const ExprId between = store.concat(store.star(character), store.byte('"'));
  std::vector<Place> places(vocabulary.longest() + 1, {between, 0});
  const auto& nodes = vocabulary.nodes();
  std::vector<std::uint32_t> way(vocabulary.longest() + 1);  // from the root to the node, by depth
  const auto leave = [&](std::uint32_t n) {
    for (std::uint32_t d = 1; d < nodes[n].depth; ++d) {
      if (slice.mixed.empty() || slice.mixed.back() < way[d]) slice.mixed.push_back(way[d]);
    }
    for (std::uint32_t below = n; below < nodes[n].next; ++below) slice.mixed.push_back(below);
    return nodes[n].next;
  };
  for (std::uint32_t n = 1; n < nodes.size();) {
    const Vocabulary::Node& node = nodes[n];
    const Place before = places[node.depth - 1u];
    const ExprId state = store.step(before.state, node.byte);
    if (state == kEmptyText) slice.exits.push_back({n, before.characters});
    if (state == kEmptyText || state == kNothing) {
      n = leave(n);
      continue;
    }
    way[node.depth] = n;
    places[node.depth] = {state, before.characters + (state == between ? 1u : 0u)};
    const std::uint32_t length = places[node.depth].characters + (state == between ? 0u : 1u);
    for (const Token t : vocabulary.tokens(node)) {
      slice.words[static_cast<std::size_t>(t) / 32] |= 1U << (t % 32);
      slice.by_length.emplace_back(length, t);
    }
    ++n;
  }
  std::sort(slice.by_length.begin(), slice.by_length.end(), std::greater<>());
  return slice;
}

}  // namespace

Vocabulary::Vocabulary(const Tokenizer& tokenizer) : size_(tokenizer.size()) {
  std::vector<std::pair<std::string_view, Token>> sorted;
  std::size_t total = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    const auto t = static_cast<Token>(i);
    if (tokenizer.is_end(t)) end_.push_back(t);
    if (tokenizer.is_end(t) || tokenizer.is_control(t)) continue;
    const std::string_view text = tokenizer.bytes(t);
    if (text.empty() || text.size() > 0xFFFF) continue;
    sorted.emplace_back(text, t);
    total += text.size();
  }
  std::sort(sorted.begin(), sorted.end());
  bytes_.reserve(total);
  for (const auto& [text, t] : sorted) {
    texts_.emplace_back(bytes_.data() + bytes_.size(), text.size());
    bytes_ += text;
    tokens_.push_back(t);
    longest_ = std::max(longest_, text.size());
  }
  nodes_.push_back({0, 0, 0, 0, 0});
  std::vector<std::uint32_t> open{0};  // the nodes from the root to the last one
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    std::size_t shared = 0;
    if (i > 0) {
      const std::string_view before = texts_[i - 1];
      while (shared < before.size() && shared < texts_[i].size() && before[shared] == texts_[i][shared]) ++shared;
    }
    while (open.size() > shared + 1) {
      nodes_[open.back()].next = static_cast<std::uint32_t>(nodes_.size());
      open.pop_back();
    }
    for (std::size_t d = shared; d < texts_[i].size(); ++d) {
      const auto id = static_cast<std::uint32_t>(nodes_.size());
      const auto byte = static_cast<std::uint8_t>(texts_[i][d]);
      if (d == 0) roots_[byte] = id;
      nodes_.push_back({0, static_cast<std::uint32_t>(i), 0, static_cast<std::uint16_t>(d + 1), byte});
      open.push_back(id);
    }
    ++nodes_[open.back()].count;
  }
  for (const std::uint32_t n : open) nodes_[n].next = static_cast<std::uint32_t>(nodes_.size());

  for (const std::uint32_t root : roots_) has_all_bytes_ &= root != 0 && nodes_[root].count > 0;

  ExprStore store;
  any_spelling_ = make_slice(*this, store, json_character(store));
  writers_spelling_ = make_slice(*this, store, Alphabet(store, Alphabet::Spelling::json).any());
}

// From the end: the fewest tokens that spell what is left, by place.
bool Vocabulary::spell(std::string_view text, std::vector<Token>& out) const {
  struct Left {
    std::uint32_t tokens = ~0U;
    std::uint32_t first = 0;  ///< a node
  };
  std::vector<Left> left(text.size() + 1);
  left.back().tokens = 0;
  for (std::size_t at = text.size(); at-- > 0;) {
    std::uint32_t n = roots_[static_cast<std::uint8_t>(text[at])];
    for (std::size_t end = at + 1; n != 0; ++end) {
      if (nodes_[n].count > 0 && left[end].tokens < left[at].tokens - 1) left[at] = {left[end].tokens + 1, n};
      if (end == text.size()) break;
      const std::uint32_t below = nodes_[n].next;
      std::uint32_t child = n + 1;
      while (child < below && nodes_[child].byte < static_cast<std::uint8_t>(text[end])) child = nodes_[child].next;
      n = child < below && nodes_[child].byte == static_cast<std::uint8_t>(text[end]) ? child : 0;
    }
  }
  if (left[0].tokens == ~0U) return false;
  for (std::size_t at = 0; at < text.size(); at += nodes_[left[at].first].depth)
    out.push_back(tokens_[nodes_[left[at].first].first]);
  return true;
}

std::shared_ptr<const Vocabulary> Vocabulary::of(const Tokenizer& tokenizer) {
  static std::mutex mutex;
  static std::map<std::pair<std::uint64_t, std::size_t>, std::weak_ptr<const Vocabulary>> known;
  const std::pair key{tokenizer.fingerprint(), tokenizer.size()};
  const std::lock_guard lock(mutex);
  for (auto i = known.begin(); i != known.end();) i = i->second.expired() && i->first != key ? known.erase(i) : ++i;
  std::weak_ptr<const Vocabulary>& slot = known[key];
  std::shared_ptr<const Vocabulary> shared = slot.lock();
  if (!shared) slot = shared = std::make_shared<const Vocabulary>(tokenizer);
  return shared;
}

}  // namespace frugal::grammar
