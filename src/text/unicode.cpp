#include "text/unicode.hpp"

#include "text/unicode_tables.hpp"

namespace frugal::text {
namespace {

struct LeadByte {
  std::uint32_t bytes;      // 0: starts no character
  unsigned char low, high;  // bounds of the second byte
};

constexpr LeadByte lead_byte(unsigned char b) noexcept {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (b < 0xF0) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b < 0xF4) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

unsigned char byte_at(std::string_view text, std::size_t at) noexcept { return static_cast<unsigned char>(text[at]); }

}  // namespace

Utf8Prefix utf8_prefix(std::string_view text, std::size_t at) noexcept {
  const LeadByte lead = lead_byte(byte_at(text, at));
  if (lead.bytes == 0) return {1, false, false};
  std::uint32_t n = 1;
  for (; n < lead.bytes; ++n) {
    if (at + n == text.size()) return {n, false, true};
    const unsigned char b = byte_at(text, at + n);
    const unsigned char low = n == 1 ? lead.low : 0x80, high = n == 1 ? lead.high : 0xBF;
    if (b < low || b > high) return {n, false, false};
  }
  return {n, true, false};
}

CodePoint decode_utf8(std::string_view text, std::size_t at) noexcept {
  const unsigned char first = byte_at(text, at);
  if (first < 0x80) return {first, 1};
  const Utf8Prefix prefix = utf8_prefix(text, at);
  if (!prefix.whole) return {-1, 1};
  std::int32_t value = first & (0x7F >> prefix.bytes);
  for (std::uint32_t i = 1; i < prefix.bytes; ++i) value = (value << 6) | (byte_at(text, at + i) & 0x3F);
  return {value, prefix.bytes};
}

void append_utf8(std::string& out, std::int32_t code_point) {
  const auto c = static_cast<std::uint32_t>(code_point);
  const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto tail = [&put, c](unsigned shift) { put(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xC0 | (c >> 6)), tail(0);
  if (c < 0x10000) return put(0xE0 | (c >> 12)), tail(6), tail(0);
  put(0xF0 | (c >> 18)), tail(12), tail(6), tail(0);
}

const ClassTable& ClassTable::instance() {
  static const ClassTable table;
  return table;
}

ClassTable::ClassTable() : pages_(256) {  // page 0: no class at all
  for (const ValueRange& range : kClassRanges) {
    for (std::int32_t c = range.first; c <= range.last; ++c) {
      std::uint16_t& page = page_of_[static_cast<std::size_t>(c) >> 8];
      if (page == 0) {
        page = static_cast<std::uint16_t>(pages_.size() / 256);
        pages_.resize(pages_.size() + 256);
      }
      pages_[static_cast<std::size_t>(page) * 256 + (static_cast<std::size_t>(c) & 255)] = range.value;
    }
  }
}

}  // namespace frugal::text
