// The compiled template: a tree of statements and expressions. Built by the parser, immutable afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

struct Expr;
struct Named;
using ExprPtr = std::unique_ptr<Expr>;

/// A filter, a test or a method: the value on its left, and the arguments in parentheses.
using Builtin = Value (*)(Run&, const Value&, const Args&);

enum class ExprKind {
  literal,      ///< value
  name,         ///< name
  list,         ///< parts
  tuple,        ///< parts
  dict,         ///< parts: key, value, key, value ...
  negate,       ///< -parts[0]
  plus,         ///< +parts[0]
  binary,       ///< parts[0] name parts[1]; name is the operator
  compare,      ///< parts[0] ops[0] parts[1] ops[1] parts[2] ...
  concat,       ///< parts joined by ~
  both,         ///< parts[0] and parts[1]
  either,       ///< parts[0] or parts[1]
  negation,     ///< not parts[0]
  conditional,  ///< parts[0] if parts[1] else parts[2] (may be null)
  attribute,    ///< parts[0].name
  item,         ///< parts[0][parts[1]]
  slice,        ///< only as the index of an item: parts start, stop, step (each may be null)
  call,         ///< parts[0](arguments)
  filter,       ///< parts[0] | name(arguments); parts[0] is null for the text of a block
  test,         ///< parts[0] is name(arguments)
};

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr spread, named_spread;  ///< *list, **dict
};

struct Expr {
  ExprKind kind = ExprKind::literal;
  int line = 0;
  std::uint32_t depth = 1;  ///< of the tree below
  Value value{};
  std::string name{};
  std::vector<ExprPtr> parts{};
  std::vector<std::string> ops{};
  Arguments arguments{};
  const Named* builtin = nullptr;  ///< of a filter or a test; null where we have none of that name
};

struct Stmt;
using Block = std::vector<Stmt>;

enum class StmtKind {
  text,          ///< text
  output,        ///< expr
  branch,        ///< branches in order, then otherwise
  loop,          ///< for target in expr if condition: body, else otherwise
  set,           ///< target = expr
  set_block,     ///< target = body | expr (expr may be null)
  macro,         ///< name, parameters, body
  filter_block,  ///< body | expr
  scope,         ///< with: targets[i] = values[i], then body; also the inert generation tag
  stop,          ///< break
  next,          ///< continue
};

struct Parameter {
  std::string name;
  ExprPtr otherwise;  ///< the default, or null
};

/// A target of an assignment: a name, an attribute of a namespace, or several targets.
struct Target {
  std::string name, attribute{};
  int line = 0;
  std::vector<Target> parts{};
};

struct Stmt {
  StmtKind kind = StmtKind::text;
  int line = 0;
  std::string text{};  ///< the text, or the macro's name
  ExprPtr expr{}, condition{};
  Target target{};
  Block body{}, otherwise{};
  std::vector<std::pair<ExprPtr, Block>> branches{};
  std::vector<Parameter> parameters{};
  std::vector<std::pair<Target, ExprPtr>> bindings{};
  bool takes_varargs = false, takes_kwargs = false;  ///< the macro's body names them
};

}  // namespace frugal::jinja
