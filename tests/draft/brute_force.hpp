// The drafters' rules, written down as plainly as possible: every place is looked at.
#pragma once

#include <frugal/draft/drafter.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace frugal::testing {

using Ids = std::vector<Token>;

/// A place in a text, and how many tokens before it equal the last ones of what is being written.
struct Place {
  std::size_t end = 0, length = 0;
};

/// How many tokens at the ends of both are equal.
inline std::size_t common_end(std::span<const Token> a, std::span<const Token> b) {
  std::size_t n = 0;
  while (n < a.size() && n < b.size() && a[a.size() - 1 - n] == b[b.size() - 1 - n]) ++n;
  return n;
}

/// The longest end of `written` that also ends in `text` before `limit`, counted up to `longest`; the latest of equals.
inline Place longest_match(std::span<const Token> text, std::span<const Token> written, std::size_t limit,
                           std::size_t longest) {
  Place best;
  for (std::size_t end = 1; end < limit; ++end) {
    const std::size_t length = std::min(longest, common_end(text.first(end), written));
    if (length > 0 && length >= best.length) best = {end, length};
  }
  return best;
}

/// What followed, and beyond the end of the text what was drafted itself.
inline Ids going_on(std::span<const Token> text, std::size_t end, std::size_t most) {
  Ids all(text.begin(), text.end());
  for (std::size_t i = 0; i < most; ++i) all.push_back(all[end + i]);
  return Ids(all.begin() + static_cast<std::ptrdiff_t>(text.size()), all.end());
}

inline Ids repeated_draft(std::span<const Token> text, std::size_t shortest, std::size_t longest, std::size_t per_match,
                          std::size_t most) {
  const Place place = longest_match(text, text, text.size(), longest);
  if (place.length < shortest) return {};
  return going_on(text, place.end, std::min(most, place.length * per_match));
}

inline Ids proposed(Drafting& drafting, std::uint32_t most) {
  Ids out;
  drafting.propose(most, out);
  return out;
}

inline SequenceView answer_of(const RequestView& request, std::span<const Token> output) {
  return {.request = request, .output = output};
}

}  // namespace frugal::testing
