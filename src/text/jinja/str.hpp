// Python's str on UTF-8. A byte that is part of no character counts as one character. Pure; linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/unicode.hpp"

namespace frugal::jinja {

/// Bytes of the character that starts at `at`, which must be inside the text.
inline std::size_t char_bytes(std::string_view text, std::size_t at) noexcept {
  return text::decode_utf8(text, at).bytes;
}

std::size_t char_count(std::string_view text) noexcept;

/// Where each character begins, and the length at the end.
std::vector<std::size_t> char_offsets(std::string_view text);

/// Where `part` is in the text from `from` on, or npos. Linear whatever the two texts are (std::string::find is not).
std::size_t find_text(std::string_view text, std::string_view part, std::size_t from = 0) noexcept;

/// What remains without the characters of `set` (white space where `set` is null) at the chosen ends. Linear in the
/// product of text and set.
std::string_view stripped(std::string_view text, const std::string* set, bool left, bool right);

/// str.splitlines without the ends: cut at every line end that Unicode knows.
std::vector<std::string_view> split_lines(std::string_view text);

/// "a" becomes "A", "B" becomes "b", and so on: jinja2's capitalize.
std::string capitalized(std::string_view text);

/// jinja2's title: as capitalize, for every word after white space, a hyphen or an opening bracket.
std::string titled(std::string_view text);

}  // namespace frugal::jinja
