// Foreign text made fit to leave: names of tenants, types and models come from outside and may hold any bytes. What is
// printed, put in a label or drawn must be valid UTF-8 without control characters, or it breaks a scrape, forges rows of
// a table or moves a terminal's cursor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace frugal {

/// Bytes of the UTF-8 character that begins at `at`, 1 to 4; 0 where the bytes there are no UTF-8 (RFC 3629: overlong
/// forms, surrogates and values above U+10FFFF are none). `code` becomes the character.
inline std::size_t utf8_character(std::string_view text, std::size_t at, std::uint32_t& code) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  code = byte(at);
  if (code < 0x80) return 1;
  const std::size_t length = code < 0xC2 ? 0 : code < 0xE0 ? 2 : code < 0xF0 ? 3 : code < 0xF5 ? 4 : 0;
  if (length == 0 || at + length > text.size()) return 0;
  code &= 0xFFU >> (length + 1);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80) return 0;
    code = code << 6 | (byte(at + i) & 0x3FU);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool valid = code >= least[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  return valid ? length : 0;
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and those that reorder text (bidi controls).
inline bool is_control(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 || code == 0x061C ||
         code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

/// `text` as valid UTF-8 in which every byte of a control character, and every byte that is no UTF-8, is spelled as
/// four characters: \xNN. With `keep_controls` only the latter, for formats that escape control characters themselves.
/// Text that is printable already comes back unchanged.
inline std::string printable(std::string_view text, bool keep_controls = false) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::uint32_t code = 0;
    const std::size_t length = utf8_character(text, at, code);
    const std::size_t step = length == 0 ? 1 : length;
    if (length > 0 && (keep_controls || !is_control(code))) {
      out += text.substr(at, length);
    } else {
      for (const char c : text.substr(at, step)) {
        const auto byte = static_cast<unsigned char>(c);
        out += "\\x";
        out += digits[byte >> 4];
        out += digits[byte & 15U];
      }
    }
    at += step;
  }
  return out;
}

/// Whether printable() would change nothing; cheap for ASCII.
inline bool is_printable(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    std::uint32_t code = 0;
    const std::size_t length = utf8_character(text, at, code);
    if (length == 0 || is_control(code)) return false;
    at += length;
  }
  return true;
}

/// Characters of valid UTF-8: the columns that it takes in a terminal, where no character is a wide one.
inline std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for (const char c : text) columns += (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  return columns;
}

}  // namespace frugal
