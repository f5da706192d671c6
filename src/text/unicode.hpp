// UTF-8 and Unicode as Hugging Face `tokenizers` sees them: code points, character classes, normal form C.
//
// The tables (unicode_tables.inc, made by make_unicode_tables.py) are expanded once, on first use, to one byte a code
// point in shared pages of 256. Thread-safe. A byte that is part of no character counts as a character of its own,
// without a class.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::text {

/// Bits of a character's class.
enum CharClass : std::uint8_t {
  kLetter = 1,     ///< \p{L} of the pre-tokenizers' regexes
  kNumber = 2,     ///< \p{N} of the pre-tokenizers' regexes
  kSpace = 4,      ///< \s
  kDigit = 8,      ///< what the Digits splitter isolates
  kWord = 16,      ///< \w beside a single_word token
  kUnstable = 32,  ///< may change in normal form C, or with what stands before it
  kUpper = 64,     ///< [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]: may stand in the upper-case part of a word
  kLower = 128     ///< [\p{Ll}\p{Lm}\p{Lo}\p{M}]: may stand in the lower-case part of a word
};

/// One decoded character.
struct CodePoint {
  std::int32_t value = -1;  ///< -1: a byte that is part of no well-formed character
  std::uint32_t bytes = 1;
};

/// Decodes the character at `text[at]`; `at` must be inside.
CodePoint decode_utf8(std::string_view text, std::size_t at) noexcept;

/// The length of the longest well-formed beginning of a character at `text[at]`: `whole` where it is a character, else
/// what Python's errors="replace" turns into one U+FFFD; `open` where more bytes could still complete it.
struct Utf8Prefix {
  std::uint32_t bytes = 0;
  bool whole = false;
  bool open = false;
};
Utf8Prefix utf8_prefix(std::string_view text, std::size_t at) noexcept;

void append_utf8(std::string& out, std::int32_t code_point);

/// Classes of all code points. Obtain once, keep the reference.
class ClassTable {
 public:
  static const ClassTable& instance();
  std::uint8_t operator[](std::int32_t code_point) const noexcept {
    if (code_point < 0) return 0;
    const auto c = static_cast<std::uint32_t>(code_point);
    return pages_[static_cast<std::size_t>(page_of_[c >> 8]) * 256 + (c & 255)];
  }

 private:
  ClassTable();
  std::array<std::uint16_t, 0x1100> page_of_{};
  std::vector<std::uint8_t> pages_;  // [pages, 256]
};

enum class LetterCase { upper, lower };

/// The text in another case, as Python's str.upper and str.lower have it (but for the final sigma). Linear.
std::string to_case(std::string_view text, LetterCase to);

/// Python's str.isprintable for one character.
bool is_printable(std::int32_t code_point) noexcept;

/// Python's str.isspace for one character; the tokenizers' \s (kSpace) knows fewer.
bool is_python_space(std::int32_t code_point) noexcept;

/// True where `text` is in normal form C beyond doubt; linear, fast on ASCII.
bool is_surely_nfc(std::string_view text) noexcept;

/// Normal form C (canonical composition); bytes that are not characters stay where they are. Linear but for the sorting
/// of runs of marks.
std::string to_nfc(std::string_view text);

}  // namespace frugal::text
