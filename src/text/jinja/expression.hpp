// The expression half of the parser.
#pragma once

#include <initializer_list>
#include <string_view>

#include "text/jinja/ast.hpp"
#include "text/jinja/cursor.hpp"

namespace frugal::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(Cursor& in) : in_(in) {}

  ExprPtr expression(bool with_condition = true);
  /// One expression, or several with commas between them as a tuple. Ends before one of `stops` too.
  ExprPtr tuple(bool with_condition = true, bool may_be_empty = false, std::string_view stop = {});
  /// `name(arguments) | name ...` for a filter block, its input left null.
  ExprPtr filter_chain();
  /// Filters behind `input`, each opened by a bar.
  ExprPtr filters(ExprPtr input);
  Arguments arguments();

 private:
  using Parse = ExprPtr (ExpressionParser::*)();

  ExprPtr make(ExprKind kind, int line);
  ExprPtr join(ExprKind kind, int line, ExprPtr a, ExprPtr b = nullptr, std::string name = {});
  ExprPtr chain(Parse next, std::initializer_list<std::string_view> ops);
  ExprPtr conditional();
  ExprPtr either();
  ExprPtr both();
  ExprPtr negation();
  ExprPtr comparison();
  bool comparison_op(std::string& op);
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary() { return signed_primary(true); }
  ExprPtr signed_primary(bool with_filters);
  ExprPtr primary();
  ExprPtr word();
  ExprPtr number();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr dotted(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr subscript_part();
  ExprPtr call(ExprPtr callee);
  ExprPtr filter(ExprPtr input);
  ExprPtr filters_and_tests(ExprPtr node);
  ExprPtr test(ExprPtr input);
  void argument(Arguments& out);
  bool starts_bare_argument() const;

  Cursor& in_;
};

}  // namespace frugal::jinja
