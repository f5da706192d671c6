// Lark's spelling: rule: alternatives of sequences of "literals", "a".."z", /patterns/, names, (groups) and [options], with
// * + ? ~n ~n..m; %ignore. Aliases, priorities and marks that shape a tree are read and mean nothing here.
#include "grammar/ebnf/reader.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

using Kind = EbnfNode::Kind;

class LarkParser : public EbnfReader {
 public:
  using EbnfReader::EbnfReader;

  Ebnf whole() {
    Ebnf grammar;
    grammar.start = "start";
    for (blanks(true); at_ < text_.size(); blanks(true)) {
      if (peek() == '%') {
        statement(grammar);
        continue;
      }
      const std::size_t here = at_;
      while (peek() == '?' || peek() == '!') ++at_;
      const std::string rule = name();
      if (take(".")) (void)some_number();
      blanks(false);
      if (!take(":")) fail("a : is missing after " + rule);
      add_rule(grammar, rule, here);
    }
    return grammar;
  }

 private:
  bool is_name(char c) const override {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  bool comment_begins() const override { return peek() == '#' || (peek() == '/' && peek(1) == '/'); }
  std::uint32_t some_number() {
    const std::optional<std::uint32_t> n = number();
    if (!n) fail("a number is missing");
    return *n;
  }
  // At a line's end: the next line goes on with an alternative.
  bool next_alternative() override {
    const std::size_t here = at_;
    if (take("|")) return true;
    blanks(true);
    if (take("|")) return true;
    at_ = here;
    return false;
  }

  void statement(Ebnf& grammar) {
    if (take("%ignore")) {
      blanks(false);
      grammar.ignored.parts.push_back(alternatives());
      return;
    }
    if (!take("%import")) fail("only %ignore and %import common.NAME are known");
    blanks(false);
    if (!take("common.")) fail("only %import common.NAME is known");
    const std::size_t here = at_;
    const std::string terminal = name();
    std::string as = terminal;
    blanks(false);
    if (take("->")) blanks(false), as = name();
    EbnfNode node{Kind::text};
    node.text = pattern(common(terminal, here), false);
    grammar.rules.emplace(as, std::move(node));
  }

  std::string_view common(const std::string& terminal, std::size_t at) const {
    static constexpr std::pair<std::string_view, std::string_view> kCommon[] = {
        {"DIGIT", "[0-9]"},
        {"HEXDIGIT", "[a-fA-F0-9]"},
        {"INT", "[0-9]+"},
        {"SIGNED_INT", "[+-]?[0-9]+"},
        {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"},
        {"FLOAT", "[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?"},
        {"NUMBER", "(?:[0-9]+\\.[0-9]*|\\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?"},
        {"SIGNED_NUMBER", "[+-]?(?:[0-9]+\\.[0-9]*|\\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?"},
        {"ESCAPED_STRING", "\"(?:[^\"\\\\\\n]|\\\\.)*\""},
        {"LCASE_LETTER", "[a-z]"},
        {"UCASE_LETTER", "[A-Z]"},
        {"LETTER", "[A-Za-z]"},
        {"WORD", "[A-Za-z]+"},
        {"CNAME", "[_A-Za-z][_A-Za-z0-9]*"},
        {"WS_INLINE", "[ \\t]+"},
        {"WS", "[ \\t\\f\\r\\n]+"},
        {"CR", "\\r"},
        {"LF", "\\n"},
        {"NEWLINE", "(?:\\r?\\n)+"}};
    for (const auto& [known, text] : kCommon) {
      if (known == terminal) return text;
    }
    ebnf_fault(text_, at, "common." + terminal + " is unknown");
  }

  ExprId pattern(std::string_view text, bool ignore_case) {
    try {
      const std::string whole = (ignore_case ? "(?i)" : "") + std::string(text);
      return regex_match(parse_regex(whole, RegexSyntax::re2, program_.limits), alphabet_);
    } catch (const RegexFault& fault) {
      fail("the pattern has " + fault.text());
    }
  }

  // Aliases may follow each item.
  bool sequence_ends() override {
    for (blanks(depth_ > 1); take("->"); blanks(depth_ > 1)) blanks(false), (void)name();
    const char c = peek();
    return c == '\0' || c == '|' || c == ')' || c == ']' || c == '\n' || c == '\r';
  }

  EbnfNode atom() override {
    EbnfNode node{Kind::text};
    node.at = at_;
    if (take("(")) {
      node = alternatives();
      if (!take(")")) fail("a group without its )");
    } else if (take("[")) {
      node.kind = Kind::repeat;
      node.least = 0;
      node.parts.push_back(alternatives());
      if (!take("]")) fail("an option without its ]");
    } else if (peek() == '"') {
      node.text = literal();
    } else if (peek() == '/') {
      node.text = slashes();
    } else {
      node.kind = Kind::rule;
      node.rule = name();
    }
    return node;
  }

  ExprId literal() {
    const std::string from = quoted();
    if (take("i")) {
      std::string escaped = "\\Q" + from + "\\E";
      return pattern(escaped, true);
    }
    if (!take("..")) return alphabet_.literal(from);
    const std::string to = quoted();
    if (from.size() != 1 || to.size() != 1 || from[0] > to[0])
      fail("a range is of two ASCII characters, the lower first");
    return program_.store.bytes(ByteSet::range(static_cast<unsigned char>(from[0]), static_cast<unsigned char>(to[0])));
  }

  std::string quoted() {
    if (!take("\"")) fail("a \" is missing");
    std::string out;
    while (!take("\"")) {
      if (at_ >= text_.size()) fail("a literal without its \"");
      char c = text_[at_++];
      if (c == '\\') {
        static constexpr std::pair<char, char> kShort[] = {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'f', '\f'}};
        c = peek();
        ++at_;
        for (const auto& [letter, value] : kShort) {
          if (letter == c) c = value;
        }
        if (c == 'x' || c == 'u') fail("hexadecimal escapes belong into a /pattern/");
      }
      out += c;
    }
    return out;
  }

  ExprId slashes() {
    const std::size_t begin = ++at_;
    while (peek() != '/' && at_ < text_.size()) at_ += peek() == '\\' ? 2 : 1;
    if (at_ >= text_.size()) fail("a pattern without its /");
    std::string body(text_.substr(begin, at_ - begin));
    for (std::size_t i = 0; (i = body.find("\\/", i)) != std::string::npos; ++i) body.erase(i, 1);
    ++at_;
    bool ignore_case = false;
    for (; peek() == 'i' || peek() == 's' || peek() == 'u'; ++at_) {
      ignore_case |= peek() == 'i';
      if (peek() == 's') body.insert(0, "(?s)");
    }
    return pattern(body, ignore_case);
  }

  bool bounds(std::uint32_t& least, std::uint32_t& most) override {
    if (!take("~")) return false;
    blanks(false);
    least = most = some_number();
    if (take("..")) most = some_number();
    if (most < least) fail("a repeat whose bounds are the wrong way round");
    return true;
  }
};

}  // namespace

Ebnf parse_lark(std::string_view text, Program& program) { return LarkParser(text, program).whole(); }

}  // namespace frugal::grammar
