// Lark's spelling: rule: alternatives of sequences of "literals", "a".."z", /patterns/, names, (groups) and [options], with
// * + ? ~n ~n..m; %ignore. Aliases, priorities and marks that shape a tree are read and mean nothing here.
#include "grammar/ebnf/tree.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

using Kind = EbnfNode::Kind;

class LarkParser {
 public:
  LarkParser(std::string_view text, Program& program)
      : text_(text), program_(program), alphabet_(program.store, Alphabet::Spelling::utf8) {}

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
      if (take(".")) (void)number();
      blanks(false);
      if (!take(":")) fail("a : is missing after " + rule);
      if (!grammar.rules.emplace(rule, alternatives()).second)
        ebnf_fault(text_, here, "the rule " + rule + " is there twice");
    }
    return grammar;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { ebnf_fault(text_, at_, what); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  std::string name() {
    const std::size_t begin = at_;
    while (is_name(peek())) ++at_;
    if (at_ == begin) fail("a rule's name is missing");
    return std::string(text_.substr(begin, at_ - begin));
  }
  std::uint32_t number() {
    std::uint64_t n = 0;
    const std::size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9'; ++at_)
      n = std::min<std::uint64_t>(n * 10 + static_cast<std::uint64_t>(peek() - '0'), kUnbounded);
    if (at_ == begin || n > program_.limits.repeat) fail("a number is missing or too large");
    return static_cast<std::uint32_t>(n);
  }
  void blanks(bool lines) {
    while (at_ < text_.size()) {
      if (peek() == '#' || (peek() == '/' && peek(1) == '/')) {
        while (at_ < text_.size() && peek() != '\n') ++at_;
      } else if (peek() == ' ' || peek() == '\t' || (lines && (peek() == '\n' || peek() == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }
  // At a line's end: the next line goes on with an alternative.
  bool next_alternative() {
    const std::size_t here = at_;
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

  EbnfNode alternatives() {
    if (++depth_ > program_.limits.source_depth) fail("groups nested too deep");
    EbnfNode choice{Kind::choice};
    do {
      choice.parts.push_back(sequence());
    } while (take("|") || next_alternative());
    --depth_;
    return choice;
  }

  EbnfNode sequence() {
    EbnfNode list{Kind::sequence};
    while (true) {
      blanks(depth_ > 1);
      const char c = peek();
      if (take("->")) {
        blanks(false);
        (void)name();
        continue;
      }
      if (c == '\0' || c == '|' || c == ')' || c == ']' || c == '\n' || c == '\r') return list;
      EbnfNode item = atom();
      while (repeat(item)) continue;
      list.parts.push_back(std::move(item));
    }
  }

  EbnfNode atom() {
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

  bool repeat(EbnfNode& item) {
    std::uint32_t least = 0, most = kUnbounded;
    if (take("*")) {
    } else if (take("+")) {
      least = 1;
    } else if (take("?")) {
      most = 1;
    } else if (take("~")) {
      blanks(false);
      least = most = number();
      if (take("..")) most = number();
      if (most < least) fail("a repeat whose bounds are the wrong way round");
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

  std::string_view text_;
  Program& program_;
  Alphabet alphabet_;
  std::size_t at_ = 0, depth_ = 0, repeats_ = 0;
};

}  // namespace

Ebnf parse_lark(std::string_view text, Program& program) { return LarkParser(text, program).whole(); }

}  // namespace frugal::grammar
