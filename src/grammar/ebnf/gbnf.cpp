// llama.cpp's GBNF: name ::= alternatives of sequences of "literals", [classes], ., names and (groups), with * + ? {m,n}.
#include "grammar/ebnf/reader.hpp"

namespace frugal::grammar {

namespace {

using Kind = EbnfNode::Kind;

class GbnfParser : public EbnfReader {
 public:
  using EbnfReader::EbnfReader;

  Ebnf whole() {
    Ebnf grammar;
    grammar.start = "root";
    for (blanks(true); at_ < text_.size(); blanks(true)) {
      const std::size_t here = at_;
      const std::string rule = name();
      blanks(false);
      if (!take("::=")) fail("::= is missing after " + rule);
      add_rule(grammar, rule, here);
    }
    return grammar;
  }

 private:
  bool is_name(char c) const override {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }

  // The next rule begins where a name is followed by ::=.
  bool rule_begins() const {
    std::size_t p = at_;
    while (p < text_.size() && is_name(text_[p])) ++p;
    while (p < text_.size() && (text_[p] == ' ' || text_[p] == '\t')) ++p;
    return p > at_ && text_.substr(p).starts_with("::=");
  }

  bool sequence_ends() override {
    blanks(true);
    const char c = peek();
    return c == '\0' || c == '|' || (depth_ > 1 && c == ')') || rule_begins();
  }

  EbnfNode atom() override {
    EbnfNode node{Kind::text};
    node.at = at_;
    if (peek() == '"' || peek() == '[' || peek() == '.') {
      node.text = terminal();
    } else if (take("(")) {
      node = alternatives();
      if (!take(")")) fail("a group without its )");
    } else {
      node.kind = Kind::rule;
      node.rule = name();
    }
    return node;
  }

  bool bounds(std::uint32_t& least, std::uint32_t& most) override {
    if (!take("{")) return false;
    least = number().value_or(0);
    most = take(",") ? number().value_or(kUnbounded) : least;
    if (!take("}") || most < least) fail("a repeat is {m}, {m,} or {m,n}");
    return true;
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
};

}  // namespace

Ebnf parse_gbnf(std::string_view text, Program& program) { return GbnfParser(text, program).whole(); }

}  // namespace frugal::grammar
