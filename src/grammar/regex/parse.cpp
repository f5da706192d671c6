#include "grammar/regex/tree.hpp"
#include "text/unicode.hpp"

#include <algorithm>
#include <optional>

namespace frugal::grammar {

namespace {

using Kind = RegexNode::Kind;

class Parser {
 public:
  Parser(std::string_view text, RegexSyntax syntax, const Limits& limits)
      : text_(text), re2_(syntax == RegexSyntax::re2), limits_(limits) {}

  RegexNode whole() {
    RegexNode node = alternatives();
    if (at_ < text_.size()) fail("a ) that closes nothing");
    return node;
  }

 private:
  struct Flags {
    bool ignore_case = false, dot_all = false;
  };

  [[noreturn]] void fail(std::string what) const { throw RegexFault{std::move(what), at_}; }
  bool more() const { return at_ < text_.size(); }
  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  char next(const char* what) {
    if (!more()) fail(std::string("the pattern ends ") + what);
    return text_[at_++];
  }

  RegexNode alternatives() {
    if (++depth_ > limits_.source_depth) fail("groups nested too deep");
    RegexNode any{Kind::any_of};
    do {
      any.parts.push_back(sequence());
    } while (take("|"));
    --depth_;
    if (any.parts.size() == 1) {
      RegexNode only = std::move(any.parts[0]);
      return only;
    }
    for (const RegexNode& part : any.parts) {
      any.zero_width |= part.zero_width;
      any.has_begin |= part.has_begin;
      any.nullable |= part.nullable;
    }
    return any;
  }

  RegexNode sequence() {
    RegexNode list{Kind::concat};
    list.nullable = true;
    while (more() && text_[at_] != '|' && text_[at_] != ')') {
      std::optional<RegexNode> item = atom();
      if (!item) continue;
      quantifiers(*item);
      list.zero_width |= item->zero_width;
      list.has_begin |= item->has_begin;
      list.nullable &= item->nullable;
      list.parts.push_back(std::move(*item));
    }
    if (list.parts.empty()) return empty();
    if (list.parts.size() > 1) return list;
    RegexNode only = std::move(list.parts[0]);
    return only;
  }

  static RegexNode empty() {
    RegexNode node;
    node.nullable = true;
    return node;
  }
  static RegexNode of(CodePoints set) {
    RegexNode node{Kind::set};
    node.set = std::move(set);
    return node;
  }
  RegexNode of_char(std::uint32_t c) const {
    CodePoints set = CodePoints::one(c);
    return of(flags_.ignore_case ? folded(std::move(set)) : std::move(set));
  }
  CodePoints folded(CodePoints set) const {
    if (!(set & (unicode_property("L", at_) - CodePoints::of({{0, 0x7F}}))).empty() && set.ranges.size() < 64) {
      fail("letters beyond ASCII without case");
    }
    return fold_ascii_case(set);
  }
  static RegexNode anchor(Kind kind) {
    RegexNode node{kind};
    node.zero_width = node.nullable = true;
    node.has_begin = kind == Kind::begin;
    return node;
  }

  void quantifiers(RegexNode& item) {
    while (more()) {
      std::uint32_t least = 0, most = kUnbounded;
      if (take("*")) {
      } else if (take("+")) {
        least = 1;
      } else if (take("?")) {
        most = 1;
      } else if (!counts(least, most)) {
        return;
      }
      if (take("+")) fail("a possessive quantifier");
      (void)take("?");  // lazy: the same texts
      RegexNode repeat{Kind::repeat};
      repeat.least = least;
      repeat.most = most;
      repeat.zero_width = item.zero_width;
      repeat.has_begin = item.has_begin;
      repeat.nullable = item.nullable || least == 0;
      repeat.parts.push_back(std::move(item));
      item = std::move(repeat);
      if (++quantified_ > limits_.source_bytes / 64) fail("too many quantifiers");
    }
  }

  bool counts(std::uint32_t& least, std::uint32_t& most) {
    if (!more() || text_[at_] != '{') return false;
    std::size_t p = at_ + 1;
    const auto number = [&]() -> std::optional<std::uint32_t> {
      std::uint64_t n = 0;
      const std::size_t first = p;
      for (; p < text_.size() && text_[p] >= '0' && text_[p] <= '9'; ++p) {
        n = std::min<std::uint64_t>(n * 10 + static_cast<std::uint64_t>(text_[p] - '0'), kUnbounded);
      }
      if (n > limits_.repeat) fail("a repeat of more than " + std::to_string(limits_.repeat));
      return p == first ? std::nullopt : std::optional(static_cast<std::uint32_t>(n));
    };
    const auto low = number();
    std::optional<std::uint32_t> high = low;
    if (p < text_.size() && text_[p] == ',') {
      ++p;
      high = number();
      if (!high) high = kUnbounded;
    }
    if (!low || p >= text_.size() || text_[p] != '}') return false;  // a brace as it is
    if (*high < *low) fail("a repeat whose bounds are the wrong way round");
    at_ = p + 1;
    least = *low;
    most = *high;
    return true;
  }

  std::optional<RegexNode> atom() {
    const char c = text_[at_];
    switch (c) {
      case '(':
        return group();
      case '[':
        return of(bracket());
      case '^':
        ++at_;
        return anchor(Kind::begin);
      case '$':
        ++at_;
        return anchor(Kind::end);
      case '.':
        ++at_;
        if (flags_.dot_all) return of(CodePoints::all());
        return of(CodePoints::all() -
                  (re2_ ? CodePoints::one('\n') : CodePoints::of({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}})));
      case '\\':
        return escape();
      case '*':
      case '+':
      case '?':
        fail("a quantifier with nothing before it");
      default:
        return of_char(character());
    }
  }

  std::uint32_t character() {
    const text::CodePoint c = text::decode_utf8(text_, at_);
    if (c.value < 0) fail("bytes that are no UTF-8");
    at_ += c.bytes;
    return static_cast<std::uint32_t>(c.value);
  }

  std::optional<RegexNode> group() {
    const Flags before = flags_;
    ++at_;
    Kind look = Kind::empty;
    if (take("?")) {
      if (take("=")) {
        look = Kind::ahead;
      } else if (take("!")) {
        look = Kind::not_ahead;
      } else if (take("<=") || take("<!")) {
        fail("a look-behind");
      } else if (take(">")) {
        fail("an atomic group");
      } else if (take("P<") || take("<")) {
        while (next("in a group's name") != '>') {
        }
      } else if (!take(":") && group_flags()) {
        return std::nullopt;
      }
    }
    RegexNode inner = alternatives();
    if (!take(")")) fail("a group without its )");
    flags_ = before;
    if (look == Kind::empty) return inner;
    RegexNode node = anchor(look);
    node.has_begin = inner.has_begin;
    node.parts.push_back(std::move(inner));
    return node;
  }

  // (?i) for the rest of the group: true. (?i:...): false, the group follows.
  bool group_flags() {
    bool on = true;
    while (true) {
      const char c = next("in a group's flags");
      if (c == '-') {
        on = false;
      } else if (c == 'i') {
        flags_.ignore_case = on;
      } else if (c == 's') {
        flags_.dot_all = on;
      } else if (c == ':' || c == ')') {
        return c == ')';
      } else if (c != 'U' && c != 'u') {  // the same texts, lazily; and what is on anyway
        --at_;
        fail(std::string("the flag ") + c);
      }
    }
  }

  std::optional<RegexNode> escape() {
    const std::size_t here = at_++;
    const char c = next("in an escape");
    if (const auto set = class_of(c)) return of(*set);
    if (c == 'b' || c == 'B') {
      at_ = here;
      fail("a word border");
    }
    if ((c >= '1' && c <= '9') || c == 'k') {
      at_ = here;
      fail("a back reference");
    }
    if (re2_ && (c == 'A' || c == 'z')) return anchor(c == 'A' ? Kind::begin : Kind::end);
    if (re2_ && c == 'Q') return quoted();
    return of_char(escaped(c));
  }

  RegexNode quoted() {
    RegexNode list{Kind::concat};
    list.nullable = !more() || text_.substr(at_).starts_with("\\E");
    while (more() && !take("\\E")) list.parts.push_back(of_char(character()));
    return list;
  }

  std::optional<CodePoints> class_of(char c) {
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

  CodePoints property() {
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

  // The character that an escape stands for; `c` is what follows the backslash.
  std::uint32_t escaped(char c) {
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

  std::uint32_t hex_value() {
    const char c = next("in a hexadecimal number");
    if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
    --at_;
    fail("a hexadecimal digit is missing");
  }
  std::uint32_t hex(int count) {
    std::uint32_t value = 0;
    for (int i = 0; i < count; ++i) value = value * 16 + hex_value();
    return value;
  }
  std::uint32_t hex_to_brace() {
    std::uint32_t value = 0;
    while (!take("}")) {
      value = value * 16 + hex_value();
      if (value > 0x10FFFF) fail("a number that is not a Unicode character");
    }
    return value;
  }
  std::uint32_t utf16() {
    const std::uint32_t unit = hex(4);
    if (unit < 0xD800 || unit > 0xDBFF || !take("\\u")) return unit;
    return 0x10000 + ((unit - 0xD800) << 10) + (hex(4) - 0xDC00);
  }

  CodePoints bracket() {
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
    if (flags_.ignore_case) set = folded(std::move(set));
    return negated ? ~set : set;
  }

  // A character, or none where it was a class, which is added to `set`.
  std::optional<std::uint32_t> member(CodePoints& set) {
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

  CodePoints posix() {
    const bool negated = take("^");
    const std::size_t close = text_.find(":]", at_);
    const std::string_view name = text_.substr(at_, close == std::string_view::npos ? 0 : close - at_);
    using R = std::vector<CodePoints::Range>;
    static const std::pair<std::string_view, R> kClasses[] = {
        {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
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

  std::string_view text_;
  bool re2_;
  const Limits& limits_;
  std::size_t at_ = 0, depth_ = 0, quantified_ = 0;
  Flags flags_{};
};

}  // namespace

RegexNode parse_regex(std::string_view pattern, RegexSyntax syntax, const Limits& limits) {
  return Parser(pattern, syntax, limits).whole();
}

}  // namespace frugal::grammar
