#include "grammar/regex/characters.hpp"

#include "grammar/regex/tree.hpp"
#include "text/unicode.hpp"

#include <utility>
#include <vector>

namespace frugal::grammar {

void PatternCharacters::fail(std::string what) const { throw RegexFault{std::move(what), at_}; }

bool PatternCharacters::take(std::string_view what) {
  if (!text_.substr(at_).starts_with(what)) return false;
  at_ += what.size();
  return true;
}

char PatternCharacters::next(const char* what) {
  if (!more()) fail(std::string("the pattern ends ") + what);
  return text_[at_++];
}

std::uint32_t PatternCharacters::character() {
  const text::CodePoint c = text::decode_utf8(text_, at_);
  if (c.value < 0) fail("bytes that are no UTF-8");
  at_ += c.bytes;
  return static_cast<std::uint32_t>(c.value);
}

std::optional<CodePoints> PatternCharacters::class_of(char c) {
  switch (c) {
    case 'd':
      return digits();
    case 'D':
      return ~digits();
    case 'w':
      return word();
    case 'W':
      return ~word();
    case 's':
      return re2_ ? ascii_blanks() : blanks();
    case 'S':
      return ~(re2_ ? ascii_blanks() : blanks());
    case 'p':
      return property();
    case 'P':
      return ~property();
    default:
      return std::nullopt;
  }
}

CodePoints PatternCharacters::property() {
  const std::size_t here = at_;
  const char c = next("in a property");
  if (c != '{') return unicode_property(std::string_view(&text_[at_ - 1], 1), here);
  const std::size_t close = text_.find('}', at_);
  if (close == std::string_view::npos) fail("a property without its }");
  std::string_view name = text_.substr(at_, close - at_);
  at_ = close + 1;
  const bool negated = name.starts_with('^');
  if (negated) name.remove_prefix(1);
  CodePoints set = unicode_property(name, here);
  return negated ? ~set : set;
}

std::uint32_t PatternCharacters::escaped(char c) {
  switch (c) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case 'a':
      if (re2_) return 7;
      break;
    case '0':
      return 0;
    case 'c':
      return static_cast<std::uint32_t>(next("in \\c")) & 31;
    case 'x':
      if (!re2_ || !take("{")) return hex(2);
      return hex_to_brace();
    case 'u':
      return take("{") ? hex_to_brace() : utf16();
    default:
      break;
  }
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
    --at_;
    fail(std::string("the escape \\") + c);
  }
  --at_;
  return character();
}

std::uint32_t PatternCharacters::hex_value() {
  const char c = next("in a hexadecimal number");
  if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
  --at_;
  fail("a hexadecimal digit is missing");
}

std::uint32_t PatternCharacters::hex(int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value * 16 + hex_value();
  return value;
}

std::uint32_t PatternCharacters::hex_to_brace() {
  std::uint32_t value = 0;
  while (!take("}")) {
    value = value * 16 + hex_value();
    if (value > 0x10FFFF) fail("a number that is not a Unicode character");
  }
  return value;
}

std::uint32_t PatternCharacters::utf16() {
  const std::uint32_t unit = hex(4);
  const std::size_t after = at_;
  if (unit < 0xD800 || unit > 0xDBFF || !take("\\u")) return unit;
  const std::uint32_t low = hex(4);
  if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  at_ = after;  // no pair: half of one, then another character
  return unit;
}

CodePoints PatternCharacters::bracket(bool ignore_case) {
  ++at_;
  const bool negated = take("^");
  std::vector<CodePoints::Range> ranges;
  CodePoints set;
  for (bool first = true; first || !take("]"); first = false) {
    if (first && take("]")) {
      if (!re2_) break;  // [] matches nothing, [^] all
      ranges.push_back({']', ']'});
      continue;
    }
    if (!more()) fail("a [ without its ]");
    if (re2_ && take("[:")) {
      set = set | posix();
      continue;
    }
    std::optional<std::uint32_t> from = member(set);
    if (!from) continue;
    std::uint32_t to = *from;
    if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
      ++at_;
      const std::optional<std::uint32_t> last = member(set);
      if (!last) {  // [a-\d]: the dash as it is
        ranges.push_back({'-', '-'});
      } else {
        to = *last;
      }
    }
    if (to < *from) fail("a range whose ends are the wrong way round");
    ranges.push_back({*from, to});
  }
  set = set | CodePoints::of(std::move(ranges));
  if (ignore_case) set = folded(std::move(set));
  return negated ? ~set : set;
}

std::optional<std::uint32_t> PatternCharacters::member(CodePoints& set) {
  if (!take("\\")) return character();
  const char c = next("in an escape");
  if (const auto known = class_of(c)) {
    set = set | *known;
    return std::nullopt;
  }
  if (c == 'b') return 8;
  if (c >= '1' && c <= '9') fail("an octal escape");
  return escaped(c);
}

CodePoints PatternCharacters::posix() {
  const bool negated = take("^");
  const std::size_t close = text_.find(":]", at_);
  const std::string_view name = text_.substr(at_, close == std::string_view::npos ? 0 : close - at_);
  using R = std::vector<CodePoints::Range>;
  static const std::pair<std::string_view, R> kClasses[] = {{"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
                                                            {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
                                                            {"ascii", {{0, 127}}},
                                                            {"blank", {{9, 9}, {32, 32}}},
                                                            {"cntrl", {{0, 31}, {127, 127}}},
                                                            {"digit", {{'0', '9'}}},
                                                            {"graph", {{33, 126}}},
                                                            {"lower", {{'a', 'z'}}},
                                                            {"print", {{32, 126}}},
                                                            {"punct", {{33, 47}, {58, 64}, {91, 96}, {123, 126}}},
                                                            {"space", {{9, 13}, {32, 32}}},
                                                            {"upper", {{'A', 'Z'}}},
                                                            {"word", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}}},
                                                            {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}}};
  for (const auto& [known, ranges] : kClasses) {
    if (name != known) continue;
    at_ = close + 2;
    const CodePoints set = CodePoints::of(ranges);
    return negated ? ~set : set;
  }
  fail("the class [:" + std::string(name) + ":]");
}

CodePoints PatternCharacters::folded(CodePoints set) const {
  if (!(set & (unicode_property("L", at_) - CodePoints::of({{0, 0x7F}}))).empty() && set.ranges.size() < 64) {
    fail("letters beyond ASCII without case");
  }
  return fold_ascii_case(set);
}

}  // namespace frugal::grammar
