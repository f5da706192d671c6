#include "text/tokenizer_special.hpp"

#include "text/unicode.hpp"

#include <algorithm>

namespace frugal::text {
namespace {

std::uint8_t class_at(std::string_view text, std::size_t at, std::size_t* bytes) {
  const CodePoint c = decode_utf8(text, at);
  *bytes = c.bytes;
  return ClassTable::instance()[c.value];
}

/// Where the character that ends at `end` begins.
std::size_t before(std::string_view text, std::size_t end) {
  for (std::size_t n = 2; n <= std::min<std::size_t>(4, end); ++n)
    if (decode_utf8(text.substr(0, end), end - n).bytes == n) return end - n;
  return end - 1;
}

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  std::size_t bytes = 0;
  while (at < text.size() && (class_at(text, at, &bytes) & kSpace) != 0) at += bytes;
  return at;
}

std::size_t skip_blanks_back(std::string_view text, std::size_t at, std::size_t stop) {
  std::size_t bytes = 0;
  while (at > stop) {
    const std::size_t begin = before(text, at);
    if ((class_at(text, begin, &bytes) & kSpace) == 0) break;
    at = begin;
  }
  return std::max(at, stop);
}

bool beside_word(std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t bytes = 0;
  return (begin > 0 && (class_at(text, before(text, begin), &bytes) & kWord) != 0) ||
         (end < text.size() && (class_at(text, end, &bytes) & kWord) != 0);
}

bool touches(std::span<const TextRange> ranges, std::size_t begin, std::size_t end) {
  const auto after =
      std::partition_point(ranges.begin(), ranges.end(), [&](const TextRange& r) { return r.end <= begin; });
  return after != ranges.end() && after->begin < end;
}

}  // namespace

void SpecialMatcher::add(const SpecialToken& token) {
  if (token.literal.empty()) return;
  std::uint32_t node = 0;
  for (const char c : token.literal) {
    std::uint32_t next = child(node, c);
    if (next == 0) {
      next = static_cast<std::uint32_t>(nodes_.size());
      nodes_[node].next.emplace_back(static_cast<unsigned char>(c), next);
      nodes_.emplace_back();
    }
    node = next;
  }
  if (nodes_[node].token >= 0) return;  // the first of two equal ones stands
  nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(token);
  starts_[static_cast<unsigned char>(token.literal[0])] = true;
}

std::uint32_t SpecialMatcher::child(std::uint32_t node, char c) const noexcept {
  for (const auto& [byte, next] : nodes_[node].next)
    if (byte == static_cast<unsigned char>(c)) return next;
  return 0;
}

std::optional<SpecialMatcher::Raw> SpecialMatcher::find(std::string_view text, std::size_t from,
                                                        std::span<const TextRange> content) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Raw> longest;
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      node = child(node, text[at]);
      if (node == 0) break;
      if (nodes_[node].token < 0) continue;
      const SpecialToken& token = tokens_[static_cast<std::size_t>(nodes_[node].token)];
      if (!token.mark || !touches(content, begin, at + 1)) longest = Raw{&token, begin, at + 1};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

std::vector<SpecialMatcher::Found> SpecialMatcher::find_all(std::string_view text, bool controls,
                                                            std::span<const TextRange> content) const {
  std::vector<Found> found;
  std::size_t taken = 0;  // the end of the last match, blanks included
  for (std::size_t at = 0; !tokens_.empty() && at < text.size();) {
    const std::optional<Raw> raw = find(text, at, content);
    if (!raw) break;
    at = raw->end;
    const SpecialToken& token = *raw->token;
    if (token.control && !controls) continue;
    if (token.single_word && beside_word(text, raw->begin, raw->end)) continue;
    const std::size_t begin = token.lstrip ? skip_blanks_back(text, raw->begin, taken) : raw->begin;
    taken = token.rstrip ? skip_blanks(text, raw->end) : raw->end;
    found.push_back({token.token, begin, taken});
  }
  return found;
}

}  // namespace frugal::text
