// See run.hpp: the expressions.
#include <string>
#include <utility>

#include "text/jinja/builtins.hpp"
#include "text/jinja/level.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"

namespace frugal::jinja {

Value Run::eval(const Expr& expr) {
  const Level level(*this);
  line_ = expr.line;
  return compute(expr);
}

Value Run::compute(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::literal:
      return expr.value;
    case ExprKind::name:
      return name(expr);
    case ExprKind::list:
    case ExprKind::tuple:
      return list(expr);
    case ExprKind::dict:
      return dict(expr);
    case ExprKind::negate:
      return negated(eval(*expr.parts[0]));
    case ExprKind::plus:
      return unary_plus(eval(*expr.parts[0]));
    case ExprKind::binary: {
      const Value left = eval(*expr.parts[0]), right = eval(*expr.parts[1]);
      line_ = expr.line;
      return made(binary(*this, expr.name, left, right));
    }
    case ExprKind::compare:
      return compare(expr);
    case ExprKind::concat:
      return concat(expr);
    case ExprKind::both: {
      Value left = eval(*expr.parts[0]);
      return truthy(left) ? eval(*expr.parts[1]) : left;
    }
    case ExprKind::either: {
      Value left = eval(*expr.parts[0]);
      return truthy(left) ? left : eval(*expr.parts[1]);
    }
    case ExprKind::negation:
      return Value(!truthy(eval(*expr.parts[0])));
    case ExprKind::conditional:
      return conditional(expr);
    case ExprKind::attribute: {
      const Value object = eval(*expr.parts[0]);
      line_ = expr.line;
      return attribute_of(object, expr.name);
    }
    case ExprKind::item:
      return item(expr);
    case ExprKind::slice:
      fail("a slice must be alone in its brackets");
    case ExprKind::call:
      return call_expression(expr);
    case ExprKind::filter:
    case ExprKind::test:
      return apply(expr, eval(*expr.parts[0]));
  }
  return {};
}

Value Run::name(const Expr& expr) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->outer.get()) {
    if (const Value* found = scope->find(expr.name)) return *found;
  }
  if (const Value* found = variables_.find(std::string_view(expr.name))) {
    if (expr.name == "tools") asked_for_tools_ = true;
    return *found;
  }
  return find_global(expr.name);
}

Value Run::list(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.parts.size());
  for (const ExprPtr& part : expr.parts) items.push_back(eval(*part));
  return made(make_sequence(std::move(items), expr.kind == ExprKind::list ? Flavor::list : Flavor::tuple));
}

Value Run::dict(const Expr& expr) {
  Dict out;
  for (std::size_t i = 0; i + 1 < expr.parts.size(); i += 2) {
    Value key = eval(*expr.parts[i]);
    out.set(std::move(key), eval(*expr.parts[i + 1]));
  }
  return made(make_dict(std::move(out)));
}

Value Run::concat(const Expr& expr) {
  MarkedText text;
  for (const ExprPtr& part : expr.parts) {
    const MarkedText piece = to_text(eval(*part));
    charge_bytes(piece.size());
    text.append(piece);
  }
  return Value(std::move(text));
}

Value Run::compare(const Expr& expr) {
  Value left = eval(*expr.parts[0]);
  for (std::size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = eval(*expr.parts[i + 1]);
    line_ = expr.line;
    if (!compared(*this, expr.ops[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Run::item(const Expr& expr) {
  const Value object = eval(*expr.parts[0]);
  const Expr& index = *expr.parts[1];
  if (index.kind != ExprKind::slice) {
    const Value key = eval(index);
    line_ = expr.line;
    charge(key.extent().weight);
    if (object.text() != nullptr) charge(object.extent().weight);
    return item_of(object, key);
  }
  const auto bound = [&](const ExprPtr& part) { return part ? eval(*part) : Value(None{}); };
  const Value start = bound(index.parts[0]), stop = bound(index.parts[1]), step = bound(index.parts[2]);
  line_ = expr.line;
  return made(slice_of(*this, object, start, stop, step));
}

Value Run::conditional(const Expr& expr) {
  if (truthy(eval(*expr.parts[1]))) return eval(*expr.parts[0]);
  if (expr.parts[2]) return eval(*expr.parts[2]);
  return Value::undefined("the inline if of line " + std::to_string(expr.line) + " is false and has no else");
}

Value Run::call_expression(const Expr& expr) {
  const Value callee = eval(*expr.parts[0]);
  const Args args = arguments(expr.arguments);
  line_ = expr.line;
  return call(callee, args);
}

Value Run::call(const Value& callee, const Args& args) {
  const Level level(*this);
  if (callee.is_undefined()) fail(callee.hint());
  if (callee.function() == nullptr) fail("'" + callee.type_name() + "' object is not callable");
  return made(callee.function()->call(*this, args));
}

Args Run::arguments(const Arguments& given) {
  Args out;
  for (const ExprPtr& each : given.positional) out.positional.push_back(eval(*each));
  for (const auto& [name, each] : given.named) out.named.emplace_back(name, eval(*each));
  if (given.spread) {
    for (Value& each : iterate(*this, eval(*given.spread))) out.positional.push_back(std::move(each));
  }
  if (given.named_spread) {
    const Value named = eval(*given.named_spread);
    if (named.dict() == nullptr) fail("the argument after ** must be a mapping, not " + named.type_name());
    for (const auto& [key, value] : named.dict()->entries()) {
      if (key.text() == nullptr) fail("keywords must be strings");
      out.named.emplace_back(*key.text(), value);
    }
  }
  return out;
}

Value Run::apply(const Expr& expr, const Value& input) {
  const Args args = arguments(expr.arguments);
  line_ = expr.line;
  if (expr.builtin == nullptr) fail_unknown(expr.kind == ExprKind::filter ? "filter" : "test", expr.name);
  return call_builtin(*this, *expr.builtin, input, args);
}

// The filters of a block; the innermost one has no input of its own.
Value Run::filter_text(const Expr& expr, MarkedText text) {
  const Level level(*this);
  const Value input = expr.parts[0] ? filter_text(*expr.parts[0], std::move(text)) : made(Value(std::move(text)));
  return apply(expr, input);
}

}  // namespace frugal::jinja
