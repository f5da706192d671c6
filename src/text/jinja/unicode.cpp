// See unicode.hpp. Tables come from the Unicode version that the reference Python uses.
#include "text/jinja/unicode.hpp"

#include <algorithm>
#include <iterator>

#include "text/jinja/unicode_tables.hpp"

namespace frugal::jinja {
namespace {

constexpr std::uint32_t kPrintable = 1, kAlpha = 2, kDecimal = 4, kDigit = 8, kSpace = 16;

std::uint32_t flags_of(std::uint32_t code) noexcept {
  const auto* past = std::upper_bound(std::begin(kRuns), std::end(kRuns), code << 5 | 31U);
  return past[-1] & 31U;
}

bool continuation(std::string_view text, std::size_t at) noexcept {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
}

struct Mapping {
  const CaseRange *first, *last;
  const CaseString *several, *several_end;
};

Mapping mapping_to(Letter to) noexcept {
  switch (to) {
    case Letter::upper:
      return {std::begin(kUpper), std::end(kUpper), std::begin(kUpperSeveral), std::end(kUpperSeveral)};
    case Letter::lower:
      return {std::begin(kLower), std::end(kLower), std::begin(kLowerSeveral), std::end(kLowerSeveral)};
    case Letter::title:
      break;
  }
  return {std::begin(kTitle), std::end(kTitle), std::begin(kTitleSeveral), std::end(kTitleSeveral)};
}

const CaseString* find_several(const Mapping& map, std::uint32_t code) noexcept {
  const auto* it = std::lower_bound(map.several, map.several_end, code,
                                    [](const CaseString& row, std::uint32_t c) { return row.code < c; });
  return it != map.several_end && it->code == code ? it : nullptr;
}

std::uint32_t map_code(const Mapping& map, std::uint32_t code) noexcept {
  // Ranges of stride 2 may interleave, so that the last one starting at or before `code` need not be the right one.
  const auto* it =
      std::upper_bound(map.first, map.last, code, [](std::uint32_t c, const CaseRange& r) { return c < r.first; });
  for (int back = 0; back < 3 && it != map.first; ++back) {
    --it;
    if (code <= it->last && (code - it->first) % it->stride == 0) return code + static_cast<std::uint32_t>(it->delta);
  }
  return code;
}

bool changes(std::uint32_t code, Letter to) noexcept {
  const Mapping map = mapping_to(to);
  return find_several(map, code) != nullptr || map_code(map, code) != code;
}

}  // namespace

std::size_t char_bytes(std::string_view text, std::size_t at) noexcept {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0xC2) return 1;
  const std::size_t want = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
  for (std::size_t i = 1; i < want; ++i) {
    if (!continuation(text, at + i)) return 1;
  }
  if (want < 3) return want;
  const auto next = static_cast<unsigned char>(text[at + 1]);
  const bool overlong = (lead == 0xE0 && next < 0xA0) || (lead == 0xF0 && next < 0x90);
  const bool beyond = (lead == 0xED && next > 0x9F) || (lead == 0xF4 && next > 0x8F);
  return overlong || beyond ? 1 : want;
}

std::uint32_t code_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i])); };
  switch (char_bytes(text, at)) {
    case 2:
      return (byte(0) & 0x1FU) << 6 | (byte(1) & 0x3FU);
    case 3:
      return (byte(0) & 0x0FU) << 12 | (byte(1) & 0x3FU) << 6 | (byte(2) & 0x3FU);
    case 4:
      return (byte(0) & 0x07U) << 18 | (byte(1) & 0x3FU) << 12 | (byte(2) & 0x3FU) << 6 | (byte(3) & 0x3FU);
    default:
      return byte(0) < 0x80 ? byte(0) : 0xDC00U + byte(0);
  }
}

void append_code(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6), put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12), put(0x80U | (code >> 6 & 0x3FU)), put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18), put(0x80U | (code >> 12 & 0x3FU)), put(0x80U | (code >> 6 & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

std::size_t char_count(std::string_view text) noexcept {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); at += char_bytes(text, at)) ++count;
  return count;
}

std::vector<std::size_t> char_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  for (std::size_t at = 0; at < text.size(); at += char_bytes(text, at)) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

bool is_printable(std::uint32_t code) noexcept { return (flags_of(code) & kPrintable) != 0; }
bool is_alpha(std::uint32_t code) noexcept { return (flags_of(code) & kAlpha) != 0; }
bool is_decimal(std::uint32_t code) noexcept { return (flags_of(code) & kDecimal) != 0; }
bool is_digit(std::uint32_t code) noexcept { return (flags_of(code) & kDigit) != 0; }
bool is_space(std::uint32_t code) noexcept { return (flags_of(code) & kSpace) != 0; }
bool is_upper(std::uint32_t code) noexcept { return changes(code, Letter::lower); }
bool is_lower(std::uint32_t code) noexcept { return !is_upper(code) && changes(code, Letter::upper); }
bool is_cased(std::uint32_t code) noexcept { return is_upper(code) || is_lower(code); }

void append_cased(std::string& out, std::string_view character, Letter to) {
  const std::uint32_t code = code_at(character, 0);
  if (character.size() == 1 && code >= 0x80) {
    out += character;
    return;
  }
  const Mapping map = mapping_to(to);
  if (const CaseString* several = find_several(map, code)) {
    out += several->to;
  } else {
    append_code(out, map_code(map, code));
  }
}

std::string to_case(std::string_view text, Letter to) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = char_bytes(text, at);
    append_cased(out, text.substr(at, size), to);
    at += size;
  }
  return out;
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t size = char_bytes(text, 0);
  std::string out;
  append_cased(out, text.substr(0, size), Letter::title);
  return out + to_case(text.substr(size), Letter::lower);
}

std::string titled(std::string_view text) {
  std::string out;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = char_bytes(text, at);
    append_cased(out, text.substr(at, size), inside ? Letter::lower : Letter::title);
    inside = is_cased(code_at(text, at));
    at += size;
  }
  return out;
}

std::string_view stripped(std::string_view text, const std::string* set, bool left, bool right) {
  const auto drops = [&](std::string_view character) {
    if (set == nullptr) return is_space(code_at(character, 0));
    for (std::size_t at = 0; at < set->size();) {
      const std::size_t size = char_bytes(*set, at);
      if (character == std::string_view(*set).substr(at, size)) return true;
      at += size;
    }
    return false;
  };
  while (left && !text.empty()) {
    const std::size_t size = char_bytes(text, 0);
    if (!drops(text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    std::size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && continuation(text, start)) --start;
    if (char_bytes(text, start) != text.size() - start) start = text.size() - 1;
    if (!drops(text.substr(start))) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

}  // namespace frugal::jinja
