#include "meter/json_cursor.hpp"

#include "core/printable.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

namespace frugal::meter {

namespace {

constexpr int most_depth = 64;

bool is_number_byte(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/// Part of the text for a message, however long it is.
std::string quoted(std::string_view text) {
  constexpr std::size_t most = 40;
  return "'" + printable(text.substr(0, most)) + (text.size() > most ? "...'" : "'");
}

/// FNV-1a, 64 bits.
std::uint64_t fnv(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto push = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return push(code);
  if (code < 0x800) return push(0xC0 | code >> 6), push(0x80 | (code & 0x3F));
  if (code < 0x10000) return push(0xE0 | code >> 12), push(0x80 | (code >> 6 & 0x3F)), push(0x80 | (code & 0x3F));
  push(0xF0 | code >> 18), push(0x80 | (code >> 12 & 0x3F)), push(0x80 | (code >> 6 & 0x3F)),
      push(0x80 | (code & 0x3F));
}

}  // namespace

void JsonCursor::blanks() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n'))
    ++at_;
}

char JsonCursor::peek() {
  blanks();
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonCursor::begin(char bracket, const char* what) {
  if (peek() != bracket) fail(std::string("expected ") + what);
  ++at_;
  fresh_ = true;
}

bool JsonCursor::next(char close) {
  const bool first = fresh_;
  fresh_ = false;
  if (peek() == close) return ++at_, false;
  if (first) return true;
  if (peek() != ',')
    fail(std::string("expected ',' or '") + close + "'" + (peek() == '\0' ? ", but the line ends" : ""));
  ++at_;
  if (peek() == close) fail("nothing follows the comma");
  return true;
}

bool JsonCursor::next_key(std::string_view& key) {
  if (!next('}')) return false;
  key = string();
  if (peek() != ':') fail("expected ':' after a name");
  ++at_;
  return true;
}

bool JsonCursor::take_null() {
  blanks();
  for (const std::string_view word : {std::string_view("null"), std::string_view("NaN")})
    if (text_.substr(at_, word.size()) == word) return at_ += word.size(), true;
  return false;
}

bool JsonCursor::boolean() {
  blanks();
  if (text_.substr(at_, 4) == "true") return at_ += 4, true;
  if (text_.substr(at_, 5) == "false") return at_ += 5, false;
  fail("expected true or false");
}

std::string_view JsonCursor::number_text() {
  blanks();
  std::size_t end = at_;
  while (end < text_.size() && is_number_byte(text_[end])) ++end;
  if (end == at_) fail("expected a number");
  return text_.substr(at_, end - at_);
}

double JsonCursor::number() {
  const std::string_view digits = number_text();
  double value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (fault != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(value))
    fail(quoted(digits) + " is not a number");
  at_ += digits.size();
  return value;
}

std::uint64_t JsonCursor::unsigned_integer() {
  const std::string_view digits = number_text();
  std::uint64_t value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (fault == std::errc{} && end == digits.data() + digits.size()) return at_ += digits.size(), value;
  const std::size_t start = at_;
  const double real = number();
  constexpr double most = 9007199254740992.0;  // 2^53: every whole number up to here is exact
  if (real >= 0 && real <= most && real == std::floor(real)) return static_cast<std::uint64_t>(real);
  at_ = start;
  fail(quoted(digits) + " is not a whole number of 0 or more");
}

std::uint64_t JsonCursor::hash() {
  if (peek() == '"') {
    const std::string_view text = string();
    std::uint64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return text.size() == 16 && fault == std::errc{} && end == text.data() + 16 ? value : fnv(text);
  }
  if (peek() != '-') return unsigned_integer();
  const std::string_view digits = number_text();
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (fault != std::errc{} || end != digits.data() + digits.size())
    fail(quoted(digits) + " is not a hash: expected a whole number of 64 bits or a string");
  at_ += digits.size();
  return static_cast<std::uint64_t>(value);
}

std::string_view JsonCursor::string() {
  if (peek() != '"') fail("expected a string");
  const std::size_t start = ++at_;
  while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\') ++at_;
  if (at_ < text_.size() && text_[at_] == '"') return text_.substr(start, at_++ - start);
  scratch_.assign(text_.substr(start, at_ - start));
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] != '\\')
      scratch_.push_back(text_[at_++]);
    else if (text_.substr(at_, 2) == "\\u")
      append_code_point(scratch_);
    else
      scratch_.push_back(escaped());
  }
  if (at_ >= text_.size()) fail("a string without its closing quote");
  ++at_;
  return scratch_;
}

char JsonCursor::escaped() {
  constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  const std::size_t which = at_ + 1 < text_.size() ? names.find(text_[at_ + 1]) : std::string_view::npos;
  if (which == std::string_view::npos) fail("an unknown escape in a string");
  at_ += 2;
  return meanings[which];
}

void JsonCursor::append_code_point(std::string& out) {
  const auto unit = [&]() -> std::uint32_t {
    std::uint32_t value = 0;
    const std::string_view digits = text_.substr(std::min(at_ + 2, text_.size()), 4);
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 4 || fault != std::errc{} || end != digits.data() + 4)
      fail("\\u without four hexadecimal digits");
    at_ += 6;
    return value;
  };
  const std::uint32_t first = unit();
  if (first < 0xD800 || first > 0xDBFF || text_.substr(at_, 2) != "\\u") return append_utf8(out, first);
  append_utf8(out, 0x10000 + ((first - 0xD800) << 10) + (unit() & 0x3FF));
}

void JsonCursor::skip() {
  int depth = 0;
  do {
    const char c = peek();
    if (c == '"') {
      string();
    } else if (c == '{' || c == '[') {
      if (++depth > most_depth) fail("nested more than " + std::to_string(most_depth) + " levels deep");
      ++at_;
    } else if (c == '}' || c == ']') {
      if (--depth < 0) fail("expected a value");
      ++at_;
    } else if ((c == ',' || c == ':') && depth > 0) {
      ++at_;
    } else if (c == 't' || c == 'f') {
      boolean();
    } else if (!take_null()) {
      number();
    }
  } while (depth > 0);
}

void JsonCursor::end() {
  blanks();
  if (at_ != text_.size()) fail("text after the object");
}

}  // namespace frugal::meter
