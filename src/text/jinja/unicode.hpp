// Python's str on UTF-8: code points, classes and case. A byte that is no UTF-8 counts as one character.
// Pure functions; linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::jinja {

/// Bytes of the character that starts at `at` (at least 1); `at` must be inside the text.
std::size_t char_bytes(std::string_view text, std::size_t at) noexcept;

/// The code point that starts at `at`; a stray byte b reads as 0xDC00 + b, as in Python's surrogateescape.
std::uint32_t code_at(std::string_view text, std::size_t at) noexcept;

void append_code(std::string& out, std::uint32_t code);

/// Number of characters.
std::size_t char_count(std::string_view text) noexcept;

/// Byte offsets of all characters, and the length at the end.
std::vector<std::size_t> char_offsets(std::string_view text);

bool is_printable(std::uint32_t code) noexcept;
bool is_alpha(std::uint32_t code) noexcept;
bool is_decimal(std::uint32_t code) noexcept;
bool is_digit(std::uint32_t code) noexcept;
bool is_space(std::uint32_t code) noexcept;
bool is_cased(std::uint32_t code) noexcept;
bool is_upper(std::uint32_t code) noexcept;
bool is_lower(std::uint32_t code) noexcept;

enum class Letter { upper, lower, title };

/// One character in another case; may become several.
void append_cased(std::string& out, std::string_view character, Letter to);
std::string to_case(std::string_view text, Letter to);

/// First letter in title case, the rest lower.
std::string capitalized(std::string_view text);

/// Every run of letters capitalised, as str.title does.
std::string titled(std::string_view text);

/// What remains without the characters of `set` (white space where `set` is null) at the chosen ends.
std::string_view stripped(std::string_view text, const std::string* set, bool left, bool right);

}  // namespace frugal::jinja
