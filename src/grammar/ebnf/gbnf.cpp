// llama.cpp's GBNF: name ::= alternatives of sequences of "literals", [classes], ., names and (groups), with * + ? {m,n}.
#include "grammar/ebnf/tree.hpp"

#include <algorithm>
#include <optional>

namespace frugal::grammar {

void ebnf_fault(std::string_view text, std::size_t at, const std::string& what) {
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(at, text.size())), '\n');
  throw Error(Errc::invalid_argument, "grammar: line " + std::to_string(line) + ": " + what);
}

namespace {

using Kind = EbnfNode::Kind;

class GbnfParser {
 public:
  GbnfParser(std::string_view text, Program& program)
      : text_(text), program_(program), alphabet_(program.store, Alphabet::Spelling::utf8) {}

  Ebnf whole() {
    Ebnf grammar;
    blanks(true);
    while (at_ < text_.size()) {
      const std::size_t here = at_;
      const std::string rule = name();
      blanks(false);
      if (!take("::=")) fail("::= is missing after " + rule);
      blanks(true);
      if (!grammar.rules.emplace(rule, alternatives(false)).second)
        ebnf_fault(text_, here, "the rule " + rule + " is there twice");
      blanks(true);
    }
    grammar.start = "root";
    return grammar;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { ebnf_fault(text_, at_, what); }
  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }
  std::string name() {
    const std::size_t begin = at_;
    while (is_name(peek())) ++at_;
    if (at_ == begin) fail("a rule's name is missing");
    return std::string(text_.substr(begin, at_ - begin));
  }
  void blanks(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  EbnfNode alternatives(bool nested) {
    if (++depth_ > program_.limits.source_depth) fail("groups nested too deep");
    EbnfNode choice{Kind::choice};
    do {
      blanks(true);
      choice.parts.push_back(sequence(nested));
    } while (take("|"));
    --depth_;
    return choice;
  }

  // The next rule begins where a name is followed by ::=.
  bool rule_begins() {
    std::size_t p = at_;
    while (p < text_.size() && is_name(text_[p])) ++p;
    while (p < text_.size() && (text_[p] == ' ' || text_[p] == '\t')) ++p;
    return p > at_ && text_.substr(p).starts_with("::=");
  }

  EbnfNode sequence(bool nested) {
    EbnfNode list{Kind::sequence};
    while (true) {
      blanks(true);
      const char c = peek();
      if (c == '\0' || c == '|' || (nested && c == ')') || rule_begins()) return list;
      EbnfNode item = atom();
      while (repeat(item)) continue;
      list.parts.push_back(std::move(item));
    }
  }

  EbnfNode atom() {
    EbnfNode node{Kind::text};
    node.at = at_;
    if (peek() == '"' || peek() == '[' || peek() == '.') {
      node.text = terminal();
    } else if (take("(")) {
      node = alternatives(true);
      if (!take(")")) fail("a group without its )");
    } else {
      node.kind = Kind::rule;
      node.rule = name();
    }
    return node;
  }

  ExprId terminal() {
    if (take(".")) return alphabet_.any();
    if (take("\"")) return literal();
    // A class is spelled as in a regular expression; only its end has to be found.
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != ']') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("a [ without its ]");
    const std::string_view set = text_.substr(at_, end + 1 - at_);
    try {
      const ExprId e = regex_match(parse_regex(set, RegexSyntax::ecma, program_.limits), alphabet_);
      at_ = end + 1;
      return e;
    } catch (const RegexFault& fault) {
      fail("the class has " + fault.text());
    }
  }

  ExprId literal() {
    std::string text;
    while (!take("\"")) {
      if (at_ >= text_.size()) fail("a literal without its \"");
      if (peek() != '\\') {
        text += text_[at_++];
        continue;
      }
      ++at_;
      escape(text);
    }
    return alphabet_.literal(text);
  }

  void escape(std::string& out) {
    static constexpr std::pair<char, char> kShort[] = {{'n', '\n'},  {'r', '\r'}, {'t', '\t'}, {'"', '"'},
                                                       {'\\', '\\'}, {'[', '['},  {']', ']'}};
    const char c = peek();
    ++at_;
    for (const auto& [letter, value] : kShort) {
      if (letter == c) {
        out += value;
        return;
      }
    }
    const int digits = c == 'x' ? 2 : (c == 'u' ? 4 : (c == 'U' ? 8 : 0));
    if (digits == 0) fail(std::string("the escape \\") + c);
    std::uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      if (std::isxdigit(static_cast<unsigned char>(peek())) == 0) fail("a hexadecimal digit is missing");
      value = value * 16 + static_cast<std::uint32_t>(std::stoi(std::string(1, peek()), nullptr, 16));
    }
    append_character(value, out);
  }

  void append_character(std::uint32_t c, std::string& out) {
    const auto byte = [&](std::uint32_t b) { out += static_cast<char>(b); };
    if (c < 0x80) return byte(c);
    if (c < 0x800) return byte(0xC0 | (c >> 6)), byte(0x80 | (c & 63));
    if (c < 0x10000) return byte(0xE0 | (c >> 12)), byte(0x80 | ((c >> 6) & 63)), byte(0x80 | (c & 63));
    if (c > 0x10FFFF) fail("a number that is not a Unicode character");
    byte(0xF0 | (c >> 18)), byte(0x80 | ((c >> 12) & 63)), byte(0x80 | ((c >> 6) & 63)), byte(0x80 | (c & 63));
  }

  bool repeat(EbnfNode& item) {
    std::uint32_t least = 0, most = kUnbounded;
    if (take("*")) {
    } else if (take("+")) {
      least = 1;
    } else if (take("?")) {
      most = 1;
    } else if (take("{")) {
      least = number().value_or(0);
      most = least;
      if (take(",")) most = number().value_or(kUnbounded);
      if (!take("}") || most < least) fail("a repeat is {m}, {m,} or {m,n}");
    } else {
      return false;
    }
    if (++repeats_ > 10'000) fail("too many repeats");
    EbnfNode repeat{Kind::repeat};
    repeat.least = least;
    repeat.most = most;
    repeat.at = item.at;
    repeat.parts.push_back(std::move(item));
    item = std::move(repeat);
    return true;
  }

  std::optional<std::uint32_t> number() {
    std::uint64_t n = 0;
    const std::size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9'; ++at_)
      n = std::min<std::uint64_t>(n * 10 + static_cast<std::uint64_t>(peek() - '0'), kUnbounded);
    if (n > program_.limits.repeat) fail("the repeat is too large");
    return at_ == begin ? std::nullopt : std::optional(static_cast<std::uint32_t>(n));
  }

  std::string_view text_;
  Program& program_;
  Alphabet alphabet_;
  std::size_t at_ = 0, depth_ = 0, repeats_ = 0;
};

}  // namespace

Ebnf parse_gbnf(std::string_view text, Program& program) { return GbnfParser(text, program).whole(); }

}  // namespace frugal::grammar
