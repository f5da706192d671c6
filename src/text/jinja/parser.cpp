// See parser.hpp: the statements. The expressions are expression.cpp's.
#include "text/jinja/parser.hpp"

#include <algorithm>
#include <utility>

#include "text/jinja/cursor.hpp"
#include "text/jinja/expression.hpp"

namespace frugal::jinja {
namespace {

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens) : in_(std::move(tokens)), expressions_(in_) {}

  Block run() {
    Block out = block({});
    if (!in_.is(TokenKind::end)) in_.error("unexpected tag '" + in_.peek(1).text + "'");
    return out;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  // Statements up to a tag named in `ends`, whose opening is left for the caller (or up to the end of the template).
  Block block(Words ends) {
    const Cursor::Level level(in_);
    Block out;
    while (!in_.is(TokenKind::end)) {
      if (in_.is(TokenKind::block_begin) && at_end(ends)) return out;
      piece(out);
    }
    if (ends.size() > 0) in_.error("the template ends where '" + std::string(*(ends.end() - 1)) + "' was expected");
    return out;
  }

  bool at_end(Words ends) const {
    const Token& tag = in_.peek(1);
    if (tag.kind != TokenKind::name) return false;
    if (std::find(ends.begin(), ends.end(), tag.text) != ends.end()) return true;
    return ends.size() == 0 && (tag.text.starts_with("end") || tag.text == "else" || tag.text == "elif");
  }

  void piece(Block& out) {
    if (in_.is(TokenKind::data)) {
      Stmt text = begin(StmtKind::text);
      text.text = in_.take().text;
      out.push_back(std::move(text));
    } else if (in_.is(TokenKind::output_begin)) {
      in_.take();
      Stmt output = begin(StmtKind::output);
      output.expr = expressions_.tuple();
      in_.expect(TokenKind::output_end, "'}}'");
      out.push_back(std::move(output));
    } else {
      in_.expect(TokenKind::block_begin, "a tag");
      out.push_back(tag());
      in_.expect(TokenKind::block_end, "'%}'");
    }
  }

  Stmt begin(StmtKind kind) const {
    Stmt out;
    out.kind = kind;
    out.line = in_.line();
    return out;
  }

  // The body of a tag: closes the opening tag, reads up to one of `ends` and takes its name.
  Block body(Words ends) {
    in_.expect(TokenKind::block_end, "'%}'");
    Block out = block(ends);
    in_.take();
    return out;
  }

  Stmt tag() {
    if (!in_.is(TokenKind::name)) in_.error("expected the name of a tag, found " + in_.describe());
    const std::string name = in_.peek().text;
    if (name == "if") return branch();
    if (name == "for") return loop();
    if (name == "set") return set();
    if (name == "macro") return macro();
    if (name == "filter") return filter_block();
    if (name == "with") return with();
    if (name == "generation") return generation();
    if (name == "break" || name == "continue") return jump(name == "break" ? StmtKind::stop : StmtKind::next);
    for (const std::string_view other :
         {"call", "print", "include", "import", "from", "extends", "block", "autoescape", "do", "trans", "debug"}) {
      if (name == other) in_.unsupported("tag '" + name + "'");
    }
    in_.error("unknown tag '" + name + "'");
  }

  Stmt branch() {
    Stmt out = begin(StmtKind::branch);
    do {
      in_.take();  // if or elif
      ExprPtr condition = expressions_.tuple(false);
      in_.expect(TokenKind::block_end, "'%}'");
      out.branches.emplace_back(std::move(condition), block({"elif", "else", "endif"}));
      in_.take();
    } while (in_.is_word("elif"));
    if (in_.accept_word("else")) out.otherwise = body({"endif"});
    in_.expect_word("endif");
    return out;
  }

  Stmt loop() {
    Stmt out = begin(StmtKind::loop);
    in_.take();
    out.target = target("in", false);
    refuse_loop_target(out.target);
    in_.expect_word("in");
    out.expr = expressions_.tuple(false, false, "recursive");
    if (in_.accept_word("if")) out.condition = expressions_.expression();
    if (in_.is_word("recursive")) in_.unsupported("a recursive for");
    ++loops_;
    out.body = body({"endfor", "else"});
    --loops_;
    if (in_.accept_word("else")) out.otherwise = body({"endfor"});
    in_.expect_word("endfor");
    return out;
  }

  void refuse_loop_target(const Target& target) const {
    if (target.name == "loop") in_.error("a for cannot assign to 'loop'");
    for (const Target& part : target.parts) refuse_loop_target(part);
  }

  Stmt set() {
    Stmt out = begin(StmtKind::set);
    in_.take();
    out.target = target({}, true);
    if (in_.accept_op("=")) {
      out.expr = expressions_.tuple();
      return out;
    }
    out.kind = StmtKind::set_block;
    if (in_.accept_op("|")) out.expr = expressions_.filter_chain();
    out.body = body({"endset"});
    in_.expect_word("endset");
    return out;
  }

  // Names with commas between them; with `attributes` also namespace.name.
  Target target(std::string_view stop, bool attributes) {
    Target out;
    out.line = in_.line();
    bool commas = false;
    while (true) {
      if (commas &&
          (in_.is_op("=") || in_.is_op(")") || in_.is(TokenKind::block_end) || (!stop.empty() && in_.is_word(stop))))
        break;
      out.parts.push_back(one_target(attributes));
      if (!in_.accept_op(",")) break;
      commas = true;
    }
    return commas ? out : std::move(out.parts.front());
  }

  Target one_target(bool attributes) {
    const Cursor::Level level(in_);
    if (in_.accept_op("(")) {
      Target inner = target({}, attributes);
      in_.expect_op(")");
      return inner;
    }
    Target out;
    out.line = in_.line();
    out.name = in_.expect_name();
    for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (out.name == constant) in_.error("cannot assign to '" + out.name + "'");
    }
    if (attributes && in_.accept_op(".")) out.attribute = in_.expect_name();
    return out;
  }

  // (name, name=default, ...)
  std::vector<Parameter> parameters() {
    std::vector<Parameter> out;
    in_.expect_op("(");
    while (!in_.is_op(")")) {
      if (!out.empty()) in_.expect_op(",");
      Parameter parameter;
      parameter.name = in_.expect_name();
      if (in_.accept_op("=")) {
        parameter.otherwise = expressions_.expression();
      } else if (!out.empty() && out.back().otherwise) {
        in_.error("a parameter without a default after one that has one");
      }
      out.push_back(std::move(parameter));
    }
    in_.expect_op(")");
    return out;
  }

  // The body of a macro or call block, whose own breaks may not leave it.
  void routine(Stmt& out, std::string_view end) {
    const int outside = std::exchange(loops_, 0);
    const std::size_t from = in_.position();
    out.body = body({end});
    out.takes_varargs = in_.names("varargs", from);
    out.takes_kwargs = in_.names("kwargs", from);
    loops_ = outside;
    in_.expect_word(end);
  }

  Stmt macro() {
    Stmt out = begin(StmtKind::macro);
    in_.take();
    out.text = in_.expect_name();
    out.parameters = parameters();
    routine(out, "endmacro");
    return out;
  }

  Stmt filter_block() {
    Stmt out = begin(StmtKind::filter_block);
    in_.take();
    out.expr = expressions_.filter_chain();
    out.body = body({"endfilter"});
    in_.expect_word("endfilter");
    return out;
  }

  Stmt with() {
    Stmt out = begin(StmtKind::scope);
    in_.take();
    while (!in_.is(TokenKind::block_end)) {
      if (!out.bindings.empty()) in_.expect_op(",");
      Target name = one_target(false);
      in_.expect_op("=");
      out.bindings.emplace_back(std::move(name), expressions_.expression());
    }
    out.body = body({"endwith"});
    in_.expect_word("endwith");
    return out;
  }

  // Marks what the assistant wrote, for training; renders its body in a scope of its own.
  Stmt generation() {
    Stmt out = begin(StmtKind::scope);
    in_.take();
    const int outside = std::exchange(loops_, 0);
    out.body = body({"endgeneration"});
    loops_ = outside;
    in_.expect_word("endgeneration");
    return out;
  }

  Stmt jump(StmtKind kind) {
    Stmt out = begin(kind);
    if (loops_ == 0) in_.error("'" + in_.peek().text + "' outside of a for");
    in_.take();
    return out;
  }

  Cursor in_;
  ExpressionParser expressions_;
  int loops_ = 0;  ///< around the current tag, within its macro
};

}  // namespace

Block parse(std::string_view source) { return StatementParser(tokenize(source)).run(); }

}  // namespace frugal::jinja
