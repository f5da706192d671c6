// See expression.hpp. From the loosest binding to the tightest: if, or, and, not, comparisons, + -, ~, * / // %, **,
// signs, postfix, filters and tests. As in jinja2 a filter binds tighter than a binary operator, and ~ tighter than +.
#include "text/jinja/expression.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "text/jinja/builtins.hpp"

namespace frugal::jinja {

ExprPtr ExpressionParser::make(ExprKind kind, int line) {
  auto out = std::make_unique<Expr>();
  out->kind = kind;
  out->line = line;
  return out;
}

ExprPtr ExpressionParser::join(ExprKind kind, int line, ExprPtr a, ExprPtr b, std::string name) {
  ExprPtr out = make(kind, line);
  out->depth = 1 + std::max(a ? a->depth : 0, b ? b->depth : 0);
  if (out->depth > kMaxTreeDepth) in_.error("a chain of more than " + std::to_string(kMaxTreeDepth) + " operations");
  out->name = std::move(name);
  out->parts.push_back(std::move(a));
  if (b) out->parts.push_back(std::move(b));
  return out;
}

ExprPtr ExpressionParser::expression(bool with_condition) {
  const Cursor::Level level(in_);
  return with_condition ? conditional() : either();
}

ExprPtr ExpressionParser::tuple(bool with_condition, bool may_be_empty, std::string_view stop) {
  const int line = in_.line();
  const auto ended = [&] {
    return in_.is(TokenKind::output_end) || in_.is(TokenKind::block_end) || in_.is_op(")") ||
           (!stop.empty() && in_.is_word(stop));
  };
  ExprPtr out = make(ExprKind::tuple, line);
  bool commas = false;
  while (!ended()) {
    out->parts.push_back(expression(with_condition));
    if (!in_.accept_op(",")) break;
    commas = true;
  }
  if (commas) return out;
  if (out->parts.size() == 1) return std::move(out->parts.front());
  if (!may_be_empty) in_.error("expected an expression, found " + in_.describe());
  return out;
}

ExprPtr ExpressionParser::conditional() {
  ExprPtr node = either();
  while (in_.is_word("if")) {
    const int line = in_.take().line;
    ExprPtr condition = either();
    ExprPtr otherwise;
    if (in_.accept_word("else")) {
      const Cursor::Level level(in_);
      otherwise = conditional();
    }
    node = join(ExprKind::conditional, line, std::move(node), std::move(condition));
    node->parts.push_back(std::move(otherwise));
  }
  return node;
}

ExprPtr ExpressionParser::either() {
  ExprPtr left = both();
  while (in_.is_word("or")) {
    const int line = in_.take().line;
    left = join(ExprKind::either, line, std::move(left), both());
  }
  return left;
}

ExprPtr ExpressionParser::both() {
  ExprPtr left = negation();
  while (in_.is_word("and")) {
    const int line = in_.take().line;
    left = join(ExprKind::both, line, std::move(left), negation());
  }
  return left;
}

ExprPtr ExpressionParser::negation() {
  if (!in_.is_word("not")) return comparison();
  const Cursor::Level level(in_);
  const int line = in_.take().line;
  return join(ExprKind::negation, line, negation());
}

bool ExpressionParser::comparison_op(std::string& op) {
  for (const std::string_view each : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (in_.accept_op(each)) return op = each, true;
  }
  if (in_.accept_word("in")) return op = "in", true;
  if (!in_.is_word("not") || !in_.is_word("in", 1)) return false;
  in_.take(), in_.take();
  return op = "not in", true;
}

ExprPtr ExpressionParser::comparison() {
  const int line = in_.line();
  ExprPtr first = sum();
  std::string op;
  if (!comparison_op(op)) return first;
  ExprPtr out = join(ExprKind::compare, line, std::move(first));
  do {
    out->ops.push_back(op);
    out->parts.push_back(sum());
  } while (comparison_op(op));
  return out;
}

ExprPtr ExpressionParser::chain(Parse next, std::initializer_list<std::string_view> ops) {
  ExprPtr left = (this->*next)();
  while (true) {
    const auto* op = std::find_if(ops.begin(), ops.end(), [&](std::string_view each) { return in_.is_op(each); });
    if (op == ops.end()) return left;
    const int line = in_.take().line;
    left = join(ExprKind::binary, line, std::move(left), (this->*next)(), std::string(*op));
  }
}

ExprPtr ExpressionParser::sum() { return chain(&ExpressionParser::concatenation, {"+", "-"}); }
ExprPtr ExpressionParser::product() { return chain(&ExpressionParser::power, {"*", "/", "//", "%"}); }
ExprPtr ExpressionParser::power() { return chain(&ExpressionParser::unary, {"**"}); }

ExprPtr ExpressionParser::concatenation() {
  const int line = in_.line();
  ExprPtr first = product();
  if (!in_.is_op("~")) return first;
  ExprPtr out = join(ExprKind::concat, line, std::move(first));
  while (in_.accept_op("~")) out->parts.push_back(product());
  return out;
}

ExprPtr ExpressionParser::signed_primary(bool with_filters) {
  const Cursor::Level level(in_);
  const int line = in_.line();
  ExprPtr node;
  if (in_.accept_op("-")) {
    node = join(ExprKind::negate, line, signed_primary(false));
  } else if (in_.accept_op("+")) {
    node = join(ExprKind::plus, line, signed_primary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::primary() {
  const Token& token = in_.peek();
  if (token.kind == TokenKind::name) return word();
  if (token.kind == TokenKind::integer || token.kind == TokenKind::real) return number();
  if (token.kind == TokenKind::text) {
    ExprPtr out = make(ExprKind::literal, token.line);
    std::string text;
    while (in_.is(TokenKind::text)) text += in_.take().text;
    out->value = Value(std::move(text));
    return out;
  }
  if (in_.accept_op("(")) {
    ExprPtr out = tuple(true, true);
    in_.expect_op(")");
    return out;
  }
  if (in_.is_op("[")) return list();
  if (in_.is_op("{")) return dict();
  in_.error("expected an expression, found " + in_.describe());
}

ExprPtr ExpressionParser::word() {
  const Token& token = in_.take();
  ExprPtr out = make(ExprKind::literal, token.line);
  if (token.text == "true" || token.text == "True") {
    out->value = Value(true);
  } else if (token.text == "false" || token.text == "False") {
    out->value = Value(false);
  } else if (token.text == "none" || token.text == "None") {
    out->value = Value(None{});
  } else {
    out->kind = ExprKind::name;
    out->name = token.text;
  }
  return out;
}

ExprPtr ExpressionParser::number() {
  const Token& token = in_.take();
  ExprPtr out = make(ExprKind::literal, token.line);
  const char *first = token.text.data(), *last = first + token.text.size();
  if (token.kind == TokenKind::real) {
    double number = 0;
    if (std::from_chars(first, last, number).ec != std::errc()) in_.error("a number beyond a double: " + token.text);
    out->value = Value(number);
    return out;
  }
  std::int64_t number = 0;
  if (std::from_chars(first, last, number).ec == std::errc()) {
    out->value = Value(number);
  } else {
    out->value = Value(BigInt{std::make_shared<const std::string>(token.text)});
  }
  return out;
}

ExprPtr ExpressionParser::list() {
  ExprPtr out = make(ExprKind::list, in_.take().line);
  while (!in_.is_op("]")) {
    if (!out->parts.empty()) in_.expect_op(",");
    if (in_.is_op("]")) break;
    out->parts.push_back(expression());
  }
  in_.expect_op("]");
  return out;
}

ExprPtr ExpressionParser::dict() {
  ExprPtr out = make(ExprKind::dict, in_.take().line);
  while (!in_.is_op("}")) {
    if (!out->parts.empty()) in_.expect_op(",");
    if (in_.is_op("}")) break;
    out->parts.push_back(expression());
    in_.expect_op(":");
    out->parts.push_back(expression());
  }
  in_.expect_op("}");
  return out;
}

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  while (true) {
    if (in_.is_op(".")) {
      node = dotted(std::move(node));
    } else if (in_.is_op("[")) {
      node = subscript(std::move(node));
    } else if (in_.is_op("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::dotted(ExprPtr node) {
  const int line = in_.take().line;
  if (in_.is(TokenKind::name)) return join(ExprKind::attribute, line, std::move(node), nullptr, in_.take().text);
  if (!in_.is(TokenKind::integer)) in_.error("expected a name or a number after '.', found " + in_.describe());
  return join(ExprKind::item, line, std::move(node), number());
}

ExprPtr ExpressionParser::subscript(ExprPtr node) {
  const int line = in_.take().line;
  ExprPtr several = make(ExprKind::tuple, line);
  do {
    several->parts.push_back(subscript_part());
  } while (in_.accept_op(","));
  in_.expect_op("]");
  const bool one = several->parts.size() == 1;
  ExprPtr index = one ? std::move(several->parts.front()) : std::move(several);
  return join(ExprKind::item, line, std::move(node), std::move(index));
}

ExprPtr ExpressionParser::subscript_part() {
  const int line = in_.line();
  const auto ended = [&] { return in_.is_op(":") || in_.is_op("]") || in_.is_op(","); };
  ExprPtr start = in_.is_op(":") ? nullptr : expression();
  if (start && !in_.is_op(":")) return start;
  in_.expect_op(":");
  ExprPtr out = make(ExprKind::slice, line);
  out->parts.push_back(std::move(start));
  out->parts.push_back(ended() ? nullptr : expression());
  out->parts.push_back(in_.accept_op(":") && !ended() ? expression() : nullptr);
  return out;
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  ExprPtr out = join(ExprKind::call, in_.line(), std::move(callee));
  out->arguments = arguments();
  return out;
}

Arguments ExpressionParser::arguments() {
  Arguments out;
  in_.expect_op("(");
  while (!in_.is_op(")")) {
    argument(out);
    if (!in_.accept_op(",")) break;
  }
  in_.expect_op(")");
  return out;
}

void ExpressionParser::argument(Arguments& out) {
  const auto ensure = [&](bool allowed) {
    if (!allowed) in_.error("arguments out of order in a call");
  };
  if (in_.accept_op("*")) {
    ensure(!out.spread && !out.named_spread);
    out.spread = expression();
  } else if (in_.accept_op("**")) {
    ensure(!out.named_spread);
    out.named_spread = expression();
  } else if (in_.is(TokenKind::name) && in_.is_op("=", 1)) {
    ensure(!out.named_spread);
    std::string name = in_.take().text;
    in_.take();
    out.named.emplace_back(std::move(name), expression());
  } else {
    ensure(!out.spread && !out.named_spread && out.named.empty());
    out.positional.push_back(expression());
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr node) {
  while (true) {
    if (in_.is_op("|")) {
      in_.take();
      node = filter(std::move(node));
    } else if (in_.is_word("is")) {
      node = test(std::move(node));
    } else if (in_.is_op("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::filters(ExprPtr input) {
  while (in_.accept_op("|")) input = filter(std::move(input));
  return input;
}

ExprPtr ExpressionParser::filter_chain() { return filters(filter(nullptr)); }

ExprPtr ExpressionParser::filter(ExprPtr input) {
  const int line = in_.line();
  std::string name = in_.expect_name();
  while (in_.accept_op(".")) name += "." + in_.expect_name();
  const Named* builtin = find_filter(name);  // null is an error only where a template reaches it
  ExprPtr out = join(ExprKind::filter, line, std::move(input), nullptr, std::move(name));
  out->builtin = builtin;
  if (in_.is_op("(")) out->arguments = arguments();
  return out;
}

bool ExpressionParser::starts_bare_argument() const {
  switch (in_.peek().kind) {
    case TokenKind::name:
      return !in_.is_word("else") && !in_.is_word("or") && !in_.is_word("and");
    case TokenKind::text:
    case TokenKind::integer:
    case TokenKind::real:
      return true;
    default:
      return in_.is_op("[") || in_.is_op("{");
  }
}

ExprPtr ExpressionParser::test(ExprPtr input) {
  const int line = in_.take().line;
  const bool negated = in_.accept_word("not");
  std::string name = in_.expect_name();
  const Named* builtin = find_test(name);
  ExprPtr out = join(ExprKind::test, line, std::move(input), nullptr, std::move(name));
  out->builtin = builtin;
  if (in_.is_op("(")) {
    out->arguments = arguments();
  } else if (starts_bare_argument()) {
    if (in_.is_word("is")) in_.error("tests cannot be chained with 'is'");
    out->arguments.positional.push_back(postfix(primary()));
  }
  return negated ? join(ExprKind::negation, line, std::move(out)) : std::move(out);
}

}  // namespace frugal::jinja
