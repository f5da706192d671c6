#include "text/bpe.hpp"

#include "text/unicode.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

namespace frugal::text {
namespace {

constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15ULL;
constexpr std::size_t kShortWord = 48;  // symbols; a scan beats a heap below this

template <class Number>
std::uint64_t load(const char* from) noexcept {
  Number n;
  std::memcpy(&n, from, sizeof n);
  return n;
}

std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
  a ^= b;
  a *= kMix;
  return a ^ (a >> 29);
}

std::uint64_t pair_key(Token left, Token right) noexcept {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

std::size_t slots_for(std::size_t entries) { return std::bit_ceil(entries * 2 + 2); }

}  // namespace

std::uint64_t hash_bytes(std::string_view bytes) noexcept {
  const char* p = bytes.data();
  std::size_t n = bytes.size();
  std::uint64_t h = fold(n, kMix);
  for (; n > 8; n -= 8, p += 8) h = fold(h, load<std::uint64_t>(p));
  if (n >= 4) return fold(h, load<std::uint32_t>(p) | load<std::uint32_t>(p + n - 4) << 32);
  if (n == 0) return h;
  return fold(h, load<std::uint8_t>(p) | load<std::uint8_t>(p + n / 2) << 8 | load<std::uint8_t>(p + n - 1) << 16);
}

Bpe::Bpe(const std::vector<std::string_view>& words, const std::vector<Merge>& merges, const Options& options)
    : options_(options), merges_(slots_for(merges.size())), words_(slots_for(words.size())) {
  merge_shift_ = 64 - std::countr_zero(merges_.size());
  for (const Merge& merge : merges) insert_merge(merge);
  std::vector<Token> reached;
  for (std::size_t id = 0; id < words.size(); ++id) {
    if (words[id].empty()) continue;
    const auto token = static_cast<Token>(id);
    reached.clear();
    if (!options_.ignore_merges) {
      start(words[id], reached);
      merge(reached);
    }
    if (options_.ignore_merges || (reached.size() == 1 && reached[0] == token)) insert_word(words[id], token);
  }
}

void Bpe::insert_merge(const Merge& merge) {
  const std::uint64_t key = pair_key(merge.left, merge.right);
  std::size_t at = (key * kMix) >> merge_shift_;
  while (merges_[at].whole >= 0 && merges_[at].pair != key) at = (at + 1) & (merges_.size() - 1);
  merges_[at] = {key, merge.rank, merge.whole};
}

void Bpe::insert_word(std::string_view word, Token token) {
  std::size_t at = hash_bytes(word) & (words_.size() - 1);
  while (words_[at].token >= 0) {
    if (words_[at].word == word) return;  // the lowest id wins
    at = (at + 1) & (words_.size() - 1);
  }
  words_[at] = {word, token};
}

Bpe::Found Bpe::merge_of(Token left, Token right) const noexcept {
  const std::uint64_t key = pair_key(left, right);
  for (std::size_t at = (key * kMix) >> merge_shift_;; at = (at + 1) & (merges_.size() - 1)) {
    const MergeSlot& slot = merges_[at];
    if (slot.pair == key) return {slot.rank, slot.whole};
    if (slot.whole < 0) return {};
  }
}

Token Bpe::whole_word(std::string_view word) const noexcept {
  for (std::size_t at = hash_bytes(word) & (words_.size() - 1);; at = (at + 1) & (words_.size() - 1)) {
    const WordSlot& slot = words_[at];
    if (slot.token < 0 || slot.word == word) return slot.token;
  }
}

void Bpe::encode(std::string_view word, std::vector<Token>& out) const {
  if (const Token whole = whole_word(word); whole >= 0) return out.push_back(whole);
  thread_local std::vector<Token> symbols;
  symbols.clear();
  start(word, symbols);
  merge(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void Bpe::start(std::string_view word, std::vector<Token>& symbols) const {
  if (options_.characters.empty())
    start_bytes(word, symbols);
  else
    start_characters(word, symbols);
}

void Bpe::add_unknown(std::vector<Token>& symbols) const {
  if (options_.unknown < 0) return;
  if (options_.fuse_unknown && !symbols.empty() && symbols.back() == options_.unknown) return;
  symbols.push_back(options_.unknown);
}

void Bpe::start_bytes(std::string_view word, std::vector<Token>& symbols) const {
  for (const char c : word) {
    const Token token = options_.byte_tokens[static_cast<unsigned char>(c)];
    if (token >= 0)
      symbols.push_back(token);
    else
      add_unknown(symbols);
  }
}

void Bpe::start_characters(std::string_view word, std::vector<Token>& symbols) const {
  const auto byte_token = [this](char c) { return options_.byte_tokens[static_cast<unsigned char>(c)]; };
  for (std::size_t at = 0; at < word.size();) {
    const CodePoint c = decode_utf8(word, at);
    const std::string_view bytes = word.substr(at, c.bytes);
    at += c.bytes;
    if (const auto known = options_.characters.find(c.value); known != options_.characters.end()) {
      symbols.push_back(known->second);
    } else if (std::all_of(bytes.begin(), bytes.end(), [&](char b) { return byte_token(b) >= 0; })) {
      for (const char b : bytes) symbols.push_back(byte_token(b));
    } else {
      add_unknown(symbols);
    }
  }
}

void Bpe::merge(std::vector<Token>& symbols) const {
  if (symbols.size() <= kShortWord)
    merge_short(symbols);
  else
    merge_long(symbols);
}

void Bpe::merge_short(std::vector<Token>& symbols) const {
  std::array<Found, kShortWord> next;  // [i]: the merge of symbols i and i + 1
  std::size_t n = symbols.size();
  for (std::size_t i = 0; i + 1 < n; ++i) next[i] = merge_of(symbols[i], symbols[i + 1]);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i)
      if (next[i].rank < next[best].rank) best = i;
    if (next[best].whole < 0) break;
    symbols[best] = next[best].whole;
    for (std::size_t i = best + 1; i + 1 < n; ++i) {
      symbols[i] = symbols[i + 1];
      next[i] = next[i + 1 < n - 1 ? i + 1 : i];
    }
    --n;
    if (best > 0) next[best - 1] = merge_of(symbols[best - 1], symbols[best]);
    if (best + 1 < n) next[best] = merge_of(symbols[best], symbols[best + 1]);
  }
  symbols.resize(n);
}

void Bpe::merge_long(std::vector<Token>& symbols) const {
  struct Link {
    std::size_t left, right;
  };
  struct Candidate {
    std::uint32_t rank;
    std::size_t at;
    std::uint64_t pair;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  const std::size_t n = symbols.size();
  std::vector<Link> links(n);  // neighbours that are still there; n ends the word
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](std::size_t at, std::size_t right) {
    if (at >= n || right >= n) return;
    const Found found = merge_of(symbols[at], symbols[right]);
    if (found.whole >= 0) queue.push({found.rank, at, pair_key(symbols[at], symbols[right])});
  };
  for (std::size_t i = 0; i < n; ++i) links[i] = {i == 0 ? n : i - 1, i + 1};
  for (std::size_t i = 0; i + 1 < n; ++i) offer(i, i + 1);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    const std::size_t right = links[top.at].right;
    if (symbols[top.at] < 0 || right >= n || pair_key(symbols[top.at], symbols[right]) != top.pair) continue;  // stale
    symbols[top.at] = merge_of(symbols[top.at], symbols[right]).whole;
    symbols[right] = -1;
    links[top.at].right = links[right].right;
    if (links[right].right < n) links[links[right].right].left = top.at;
    offer(links[top.at].left, top.at);
    offer(top.at, links[top.at].right);
  }
  std::erase(symbols, -1);
}

}  // namespace frugal::text
