// Letter case and printability, as Python's str knows them.
#include <algorithm>
#include <iterator>

#include "text/unicode.hpp"
#include "text/unicode_tables.hpp"

namespace frugal::text {
namespace {

#include "text/unicode_case.inc"

template <std::size_t Ranges, std::size_t Texts>
void append_mapped(std::string& out, std::int32_t letter, const CaseRange (&ranges)[Ranges],
                   const CaseText (&several)[Texts]) {
  for (const CaseText& row : several)
    if (row.letter == letter) return static_cast<void>(out += row.to);
  // Ranges of stride 2 may interleave: the last one that starts at or before the letter need not be the right one.
  const CaseRange* at = std::upper_bound(std::begin(ranges), std::end(ranges), letter,
                                         [](std::int32_t c, const CaseRange& r) { return c < r.first; });
  for (int back = 0; back < 3 && at != std::begin(ranges); ++back) {
    --at;
    if (letter <= at->last && (letter - at->first) % at->stride == 0) return append_utf8(out, letter + at->delta);
  }
  append_utf8(out, letter);
}

}  // namespace

std::string to_case(std::string_view text, LetterCase to) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    if (c.value < 0) {
      out += text[at];
    } else if (c.value < 0x80) {
      const bool changes =
          to == LetterCase::upper ? c.value >= 'a' && c.value <= 'z' : c.value >= 'A' && c.value <= 'Z';
      out += static_cast<char>(changes ? c.value ^ 0x20 : c.value);
    } else if (to == LetterCase::upper) {
      append_mapped(out, c.value, kToUpper, kToUpperSeveral);
    } else {
      append_mapped(out, c.value, kToLower, kToLowerSeveral);
    }
    at += c.bytes;
  }
  return out;
}

bool is_printable(std::int32_t code_point) noexcept {
  const ValueRange* at = std::upper_bound(std::begin(kPrintable), std::end(kPrintable), code_point,
                                          [](std::int32_t c, const ValueRange& r) { return c < r.first; });
  return at != std::begin(kPrintable) && code_point <= at[-1].last;
}

bool is_python_space(std::int32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace frugal::text
