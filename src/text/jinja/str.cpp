#include "text/jinja/str.hpp"

#include <cstring>

namespace frugal::jinja {
namespace {

bool ends_line(std::int32_t code) noexcept {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

// Where the last character of a text that is not empty begins.
std::size_t last_char(std::string_view text) noexcept {
  for (std::size_t n = 4; n > 1; --n)
    if (n <= text.size() && char_bytes(text, text.size() - n) == n) return text.size() - n;
  return text.size() - 1;
}

bool drops(std::string_view character, const std::string* set) {
  if (set == nullptr) return text::is_python_space(text::decode_utf8(character, 0).value);
  for (std::size_t at = 0; at < set->size();) {
    const std::size_t size = char_bytes(*set, at);
    if (character == std::string_view(*set).substr(at, size)) return true;
    at += size;
  }
  return false;
}

}  // namespace

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

std::size_t find_text(std::string_view text, std::string_view part, std::size_t from) noexcept {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* at = ::memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return at == nullptr ? std::string_view::npos : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

std::string_view stripped(std::string_view text, const std::string* set, bool left, bool right) {
  while (left && !text.empty()) {
    const std::size_t size = char_bytes(text, 0);
    if (!drops(text.substr(0, size), set)) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    const std::size_t start = last_char(text);
    if (!drops(text.substr(start), set)) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  std::size_t begun = 0;
  for (std::size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::decode_utf8(text, at);
    const std::size_t end = at;
    at += text.compare(at, 2, "\r\n") == 0 ? 2 : c.bytes;
    if (!ends_line(c.value)) continue;
    lines.push_back(text.substr(begun, end - begun));
    begun = at;
  }
  if (begun < text.size()) lines.push_back(text.substr(begun));
  return lines;
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t size = char_bytes(text, 0);
  std::string out = text::to_case(text.substr(0, size), text::LetterCase::upper);
  // a letter that becomes several keeps only the first of them large
  const std::size_t first = char_bytes(out, 0);
  if (first < out.size()) out = out.substr(0, first) + text::to_case(out.substr(first), text::LetterCase::lower);
  return out + text::to_case(text.substr(size), text::LetterCase::lower);
}

std::string titled(std::string_view text) {
  std::string out;
  std::size_t begun = 0;
  for (std::size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::decode_utf8(text, at);
    at += c.bytes;
    const bool ends_word =
        text::is_python_space(c.value) || (c.value > 0 && c.value < 0x80 && std::strchr("-({[<", c.value) != nullptr);
    if (!ends_word && at < text.size()) continue;
    out += capitalized(text.substr(begun, at - begun));
    begun = at;
  }
  return out;
}

}  // namespace frugal::jinja
