// See lexer.hpp. Two modes alternate: data up to the next delimiter, and tokens up to the closing one.
#include "text/jinja/lexer.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include "text/jinja/str.hpp"

namespace frugal::jinja {
namespace {

// One kind of line end, and no final one: as jinja2 reads a source with keep_trailing_newline off.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool ascii_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// Bytes beyond ASCII count as letters: the names that matter are ASCII, and a wrong one is undefined later.
bool name_char(char c) noexcept {
  return ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    push(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void error(std::string message, int line) const { throw SyntaxError{std::move(message), line}; }
  bool looking_at(std::string_view text, std::size_t ahead = 0) const {
    return source_.compare(std::min(at_ + ahead, source_.size()), text.size(), text) == 0;
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  bool space_at(std::size_t at) const { return text::is_python_space(text::decode_utf8(source_, at).value); }

  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // Moves on by n bytes, counting lines; what was consumed last decides whether lstrip_blocks sees the start of a line.
  void advance(std::size_t n) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + n), '\n'));
    at_ += n;
    if (n > 0) line_start_ = source_[at_ - 1] == '\n';
  }

  void skip_space() {
    while (at_ < source_.size() && space_at(at_)) advance(char_bytes(source_, at_));
  }

  std::size_t find_delimiter() const {
    for (std::size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    }
    return std::string::npos;
  }

  // The text before a delimiter, cut as its sign and lstrip_blocks demand. `sign` is -, + or anything else for none.
  std::string cut(std::string_view text, char sign, bool block) const {
    if (sign == '-') return std::string(stripped(text, nullptr, false, true));
    if (sign == '+' || !block) return std::string(text);
    const std::size_t newline = text.rfind('\n');
    const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    if ((start > 0 || line_start_) && stripped(text.substr(start), nullptr, true, false).empty())
      text = text.substr(0, start);
    return std::string(text);
  }

  void emit_data(std::size_t until, char sign, bool block) {
    std::string text = cut(std::string_view(source_).substr(at_, until - at_), sign, block);
    if (!text.empty()) push(TokenKind::data, std::move(text));
    advance(until - at_);
  }

  void data() {
    const std::size_t next = find_delimiter();
    if (next == std::string::npos) {
      push(TokenKind::data, source_.substr(at_));
      return advance(source_.size() - at_);
    }
    const char kind = source_[next + 1];
    const char sign = next + 2 < source_.size() ? source_[next + 2] : '\0';
    emit_data(next, sign, kind != '{');
    const std::size_t opening = sign == '-' || sign == '+' ? 3 : 2;
    if (kind == '#') return comment(opening);
    if (kind == '%' && raw(opening)) return;
    push(kind == '{' ? TokenKind::output_begin : TokenKind::block_begin, "");
    advance(opening);
    inside(kind == '{');
  }

  // Consumes a closing delimiter with its sign at the current position; `c` is the character before '}'.
  bool close(char c, bool trims) {
    const char plain[] = {c, '}', '\0'};
    if (peek() == '-' && looking_at(plain, 1)) {
      advance(3);
      skip_space();
      return true;
    }
    if (trims && peek() == '+' && looking_at(plain, 1)) return advance(3), true;
    if (!looking_at(plain)) return false;
    advance(2);
    if (trims && peek() == '\n') advance(1);
    return true;
  }

  void comment(std::size_t opening) {
    const int begun = line_;
    advance(opening);
    while (at_ < source_.size()) {
      if (close('#', true)) return;
      advance(1);
    }
    error("missing end of comment tag", begun);
  }

  // {% raw %} ... {% endraw %}: true where the block at the current position is one.
  bool raw(std::size_t opening) {
    std::size_t i = word_end(at_ + opening, "raw");
    if (i == std::string::npos) return false;
    const bool minus = i < source_.size() && source_[i] == '-';
    if (source_.compare(i + (minus ? 1 : 0), 2, "%}") != 0) return false;
    const int begun = line_;
    advance(i + (minus ? 3 : 2) - at_);
    if (minus) skip_space();
    for (std::size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 1)) {
      const char sign = end + 2 < source_.size() ? source_[end + 2] : '\0';
      i = word_end(end + (sign == '-' || sign == '+' ? 3 : 2), "endraw");
      if (i == std::string::npos) continue;
      if (!closes(i)) continue;
      emit_data(end, sign, true);
      advance(i - at_);
      close('%', true);
      return true;
    }
    error("missing end of raw directive", begun);
  }

  bool closes(std::size_t at) const {
    const std::string_view rest = std::string_view(source_).substr(std::min(at, source_.size()));
    return rest.starts_with("%}") || rest.starts_with("-%}") || rest.starts_with("+%}");
  }

  // Where the white space after `word`, itself after white space, ends; npos where another word stands.
  std::size_t word_end(std::size_t at, std::string_view word) const {
    const auto skip = [&] {
      while (at < source_.size() && space_at(at)) at += char_bytes(source_, at);
    };
    skip();
    if (at >= source_.size() || source_.compare(at, word.size(), word) != 0) return std::string::npos;
    at += word.size();
    skip();
    return at;
  }

  void inside(bool output) {
    const int begun = line_;
    std::vector<char> open;
    while (at_ < source_.size()) {
      const int line = line_;
      if (open.empty() && close(output ? '}' : '%', !output)) {
        tokens_.push_back({output ? TokenKind::output_end : TokenKind::block_end, "", line});
        return;
      }
      if (space_at(at_)) {
        skip_space();
      } else {
        token(open);
      }
    }
    error(output ? "{{ is never closed" : "{% is never closed", begun);
  }

  void token(std::vector<char>& open) {
    if (ascii_digit(peek())) return number();
    if (name_char(peek())) return name();
    if (peek() == '"' || peek() == '\'') return text();
    const std::string op = operator_here();
    if (op.empty()) error("unexpected character '" + source_.substr(at_, 1) + "'", line_);
    balance(op[0], open);
    push(TokenKind::op, op);
    advance(op.size());
  }

  std::string operator_here() const {
    static constexpr std::array<std::string_view, 6> kTwo = {"//", "**", "==", "!=", ">=", "<="};
    for (const std::string_view two : kTwo) {
      if (looking_at(two)) return std::string(two);
    }
    return std::string_view("+-/*%~[](){}<>=.:|,;").find(peek()) != std::string_view::npos ? std::string(1, peek())
                                                                                           : std::string();
  }

  void balance(char c, std::vector<char>& open) const {
    if (c == '(' || c == '[' || c == '{') return open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c != ')' && c != ']' && c != '}') return;
    if (open.empty() || open.back() != c) error(std::string("unexpected '") + c + "'", line_);
    open.pop_back();
  }

  void name() {
    std::size_t end = at_;
    while (end < source_.size() && name_char(source_[end])) ++end;
    push(TokenKind::name, source_.substr(at_, end - at_));
    advance(end - at_);
  }

  // Digits, with single underscores between them, from `from` on.
  std::size_t digits_end(std::size_t from, int (*is_one)(int)) const {
    std::size_t end = from;
    const auto one = [&](std::size_t i) {
      return i < source_.size() && is_one(static_cast<unsigned char>(source_[i])) != 0;
    };
    while (one(end) || (end > from && end < source_.size() && source_[end] == '_' && one(end + 1))) ++end;
    return end;
  }

  void number() {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (peek() == '0' && std::isalpha(static_cast<unsigned char>(peek(1))) != 0 && based_number()) return;
    std::size_t end = digits_end(at_, std::isdigit);
    bool real = false;
    if (!after_dot && end + 1 < source_.size() && source_[end] == '.' && ascii_digit(source_[end + 1])) {
      end = digits_end(end + 1, std::isdigit);
      real = true;
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      std::size_t from = end + 1;
      if (from < source_.size() && (source_[from] == '+' || source_[from] == '-')) ++from;
      const std::size_t exponent = digits_end(from, std::isdigit);
      if (exponent > from) end = exponent, real = true;
    }
    push(real ? TokenKind::real : TokenKind::integer, plain_digits(at_, end));
    advance(end - at_);
  }

  std::string plain_digits(std::size_t from, std::size_t end) const {
    std::string digits = source_.substr(from, end - from);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    return digits;
  }

  bool based_number() {
    const char mark = static_cast<char>(std::tolower(static_cast<unsigned char>(peek(1))));
    const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (base == 0) return false;
    const std::size_t end = digits_end(at_ + 2, std::isxdigit);
    const std::string digits = plain_digits(at_ + 2, end);
    std::uint64_t value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return false;
    push(TokenKind::integer, std::to_string(value));
    advance(end - at_);
    return true;
  }

  void text() {
    const char quote = peek();
    const int begun = line_;
    std::string out;
    std::size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\\') {
        i = escape(i + 1, out);
      } else {
        out += source_[i++];
      }
    }
    if (i >= source_.size()) error("a string is never closed", begun);
    push(TokenKind::text, std::move(out));
    advance(i + 1 - at_);
  }

  // Resolves the escape after the backslash before `i`; returns the position after it. Unknown ones stay as written.
  std::size_t escape(std::size_t i, std::string& out) const {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    if (i >= source_.size()) return i;
    const char c = source_[i];
    if (c == '\n') return i + 1;
    if (const std::size_t known = kFrom.find(c); known != std::string_view::npos) return out += kTo[known], i + 1;
    if (c >= '0' && c <= '7') return code_escape(i, 3, 8, out);
    if (c == 'x') return code_escape(i + 1, 2, 16, out);
    if (c == 'u') return code_escape(i + 1, 4, 16, out);
    if (c == 'U') return code_escape(i + 1, 8, 16, out);
    if (c == 'N') throw SyntaxError{"\\N{...} in a string", line_, true};
    out += '\\';
    return i;
  }

  std::size_t code_escape(std::size_t i, std::size_t most, int base, std::string& out) const {
    std::uint32_t code = 0;
    const std::size_t size = std::min(most, source_.size() - i);
    const auto read = std::from_chars(source_.data() + i, source_.data() + i + size, code, base);
    const auto used = static_cast<std::size_t>(read.ptr - (source_.data() + i));
    if (read.ec != std::errc() || (base == 16 && used != most) || code > 0x10FFFF)
      error("malformed escape in a string", line_);
    if (code >= 0xD800 && code <= 0xDFFF) error("half of a surrogate pair in a string", line_);
    text::append_utf8(out, static_cast<std::int32_t>(code));
    return i + used;
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(normalized(source)).run(); }

}  // namespace frugal::jinja
