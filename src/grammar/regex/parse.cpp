#include "grammar/regex/characters.hpp"
#include "grammar/regex/tree.hpp"

#include <algorithm>
#include <optional>

namespace frugal::grammar {

namespace {

using Kind = RegexNode::Kind;

class Parser : private PatternCharacters {
 public:
  Parser(std::string_view text, RegexSyntax syntax, const Limits& limits)
      : PatternCharacters(text, syntax), limits_(limits) {}

  RegexNode whole() {
    RegexNode node = alternatives();
    if (at_ < text_.size()) fail("a ) that closes nothing");
    return node;
  }

 private:
  struct Flags {
    bool ignore_case = false, dot_all = false;
  };

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
        return of(bracket(flags_.ignore_case));
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

  const Limits& limits_;
  std::size_t depth_ = 0, quantified_ = 0;
  Flags flags_{};
};

}  // namespace

RegexNode parse_regex(std::string_view pattern, RegexSyntax syntax, const Limits& limits) {
  return Parser(pattern, syntax, limits).whole();
}

}  // namespace frugal::grammar
