// See run.hpp: the statements. run_expression.cpp has the expressions.
#include "text/jinja/run.hpp"

#include <algorithm>
#include <utility>

#include "text/jinja/level.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"

namespace frugal::jinja {

namespace {

constexpr std::size_t kIndexed = 16;  // names of a scope; below, a scan is faster

std::size_t place_of(const Scope& scope, std::string_view name) noexcept {
  if (scope.names.size() >= kIndexed) {
    const auto at = scope.index.find(name);
    return at == scope.index.end() ? scope.names.size() : at->second;
  }
  const auto it =
      std::find_if(scope.names.begin(), scope.names.end(), [&](const auto& each) { return each.first == name; });
  return static_cast<std::size_t>(it - scope.names.begin());
}

}  // namespace

const Value* Scope::find(std::string_view name) const noexcept {
  const std::size_t at = place_of(*this, name);
  return at < names.size() ? &names[at].second : nullptr;
}

// The names come from the template's source alone, so a hash table needs no protection from chosen keys.
void Scope::set(std::string_view name, Value value) {
  const std::size_t at = place_of(*this, name);
  if (at < names.size()) {
    names[at].second = std::move(value);
    return;
  }
  names.emplace_back(name, std::move(value));
  if (names.size() < kIndexed) return;
  for (std::size_t i = index.size(); i < names.size(); ++i) index.emplace(names[i].first, i);
}

Run::~Run() {
  for (const auto& scope : closures_) {
    scope->names.clear();
    scope->index.clear();
  }
  for (const auto& space : spaces_) {
    space->attributes.clear();
    space->computed = nullptr;
  }
}

MarkedText Run::render(const Block& block) {
  execute(block);
  return std::move(output_);
}

void Run::charge(std::uint64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps) fail_limit("the template takes more than " + std::to_string(limits_.steps) + " steps");
}

void Run::charge_bytes(std::uint64_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.bytes) fail_limit("the template makes more than " + std::to_string(limits_.bytes) + " bytes");
  charge(bytes / 64);
}

Value Run::made(Value value) {
  if (const std::string* text = value.text()) {
    charge_bytes(text->size());
  } else if (const Sequence* items = value.sequence()) {
    charge_bytes(items->items.size() * sizeof(Value));
  } else if (const Dict* dict = value.dict()) {
    charge_bytes(dict->size() * 3 * sizeof(Value));
  }
  return value;
}

std::shared_ptr<Space> Run::make_space(std::string type) {
  charge_bytes(sizeof(Space));
  spaces_.push_back(std::make_shared<Space>());
  spaces_.back()->type = std::move(type);
  return spaces_.back();
}

// A `loop` that nobody kept gives its items back at once.
void Run::release(const std::shared_ptr<Space>& space) {
  if (space.use_count() > 2) return;
  space->computed = nullptr;
  if (spaces_.back() == space) spaces_.pop_back();
}

void Run::push_scope() {
  auto inner = std::make_shared<Scope>();
  inner->outer = scope_;
  scope_ = std::move(inner);
}

void Run::pop_scope() { scope_ = std::shared_ptr<Scope>(scope_->outer); }

void Run::emit(const MarkedText& text) {
  charge_bytes(text.size());
  out_->append(text);
}

MarkedText Run::captured(const Block& block) {
  MarkedText text;
  MarkedText* outside = std::exchange(out_, &text);
  execute(block);
  out_ = outside;
  return text;
}

Run::Flow Run::execute(const Block& block) {
  for (const Stmt& stmt : block) {
    if (const Flow flow = execute(stmt); flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Run::Flow Run::execute(const Stmt& stmt) {
  const Level level(*this);
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::text:
      charge_bytes(stmt.text.size());
      out_->append(stmt.text);
      break;
    case StmtKind::output:
      emit(to_text(eval(*stmt.expr)));
      break;
    case StmtKind::branch:
      return branch(stmt);
    case StmtKind::loop:
      return loop(stmt);
    case StmtKind::set:
      assign(stmt.target, eval(*stmt.expr));
      break;
    case StmtKind::set_block:
      set_block(stmt);
      break;
    case StmtKind::macro:
      scope_->set(stmt.text, define(stmt, stmt.text));
      break;
    case StmtKind::filter_block: {
      push_scope();
      MarkedText text = captured(stmt.body);
      pop_scope();
      emit(to_text(filter_text(*stmt.expr, std::move(text))));
      break;
    }
    case StmtKind::scope:
      return scoped(stmt);
    case StmtKind::stop:
      return Flow::stop;
    case StmtKind::next:
      return Flow::next;
  }
  return Flow::normal;
}

Run::Flow Run::branch(const Stmt& stmt) {
  for (const auto& [condition, block] : stmt.branches) {
    if (truthy(eval(*condition))) return execute(block);
  }
  return execute(stmt.otherwise);
}

// The values are evaluated outside of the new scope, so that one binding does not see another.
Run::Flow Run::scoped(const Stmt& stmt) {
  std::vector<Value> values;
  for (const auto& binding : stmt.bindings) values.push_back(eval(*binding.second));
  push_scope();
  for (std::size_t i = 0; i < values.size(); ++i) assign(stmt.bindings[i].first, std::move(values[i]));
  const Flow flow = execute(stmt.body);
  pop_scope();
  return flow;
}

// What `loop` tells. `items` never changes while the loop runs.
struct Run::Loop {
  std::vector<Value> items;
  std::size_t index = 0;
  std::vector<Value> last_changed;
  bool changed_before = false;

  std::optional<Value> get(std::string_view name, const std::shared_ptr<Loop>& self) const {
    const auto number = [](std::size_t n) { return Value(static_cast<std::int64_t>(n)); };
    if (name == "index") return number(index + 1);
    if (name == "index0") return number(index);
    if (name == "revindex") return number(items.size() - index);
    if (name == "revindex0") return number(items.size() - index - 1);
    if (name == "first") return Value(index == 0);
    if (name == "last") return Value(index + 1 == items.size());
    if (name == "length") return number(items.size());
    if (name == "depth") return number(1);
    if (name == "depth0") return number(0);
    if (name == "previtem") return index > 0 ? items[index - 1] : Value::undefined("there is no previous item");
    if (name == "nextitem")
      return index + 1 < items.size() ? items[index + 1] : Value::undefined("there is no next item");
    if (name == "cycle" || name == "changed") return method(name == "cycle", self);
    return std::nullopt;
  }

  static Value method(bool cycle, const std::shared_ptr<Loop>& self) {
    return Value(std::make_shared<const Function>(
        Function{cycle ? "loop.cycle" : "loop.changed", [cycle, self](Run&, const Args& args) -> Value {
                   if (cycle && args.positional.empty()) fail("loop.cycle: no items given");
                   if (cycle) return args.positional[self->index % args.positional.size()];
                   return Value(self->changes(args.positional));
                 }}));
  }

  bool changes(const std::vector<Value>& values) {
    const bool same =
        changed_before && std::equal(values.begin(), values.end(), last_changed.begin(), last_changed.end(),
                                     [](const Value& a, const Value& b) { return equal(a, b); });
    last_changed = values;
    changed_before = true;
    return !same;
  }
};

std::vector<Value> Run::loop_items(const Stmt& stmt) {
  std::vector<Value> items = iterate(*this, eval(*stmt.expr));
  if (!stmt.condition) return items;
  std::vector<Value> kept;
  for (Value& each : items) {
    push_scope();
    scope_->set("loop", Value::undefined("'loop' is undefined in the condition of a for"));
    assign(stmt.target, each);
    if (truthy(eval(*stmt.condition))) kept.push_back(std::move(each));
    pop_scope();
  }
  return kept;
}

Run::Flow Run::loop(const Stmt& stmt) {
  auto state = std::make_shared<Loop>();
  state->items = loop_items(stmt);
  const bool completed = loop_body(stmt, state) == Flow::normal;
  if (completed) return Flow::normal;
  push_scope();
  const Flow flow = execute(stmt.otherwise);
  pop_scope();
  return flow;
}

// Returns `next` where no iteration reached its end, which is when jinja2 renders the else block: not only for an
// empty loop, but also where every iteration was cut by a break or continue.
Run::Flow Run::loop_body(const Stmt& stmt, const std::shared_ptr<Loop>& state) {
  const std::shared_ptr<Space> space = make_space("LoopContext");
  space->computed = [state](std::string_view name) { return state->get(name, state); };
  Flow result = Flow::next;
  for (; state->index < state->items.size(); ++state->index) {
    charge(1);
    push_scope();
    scope_->set("loop", Value(space));
    assign(stmt.target, state->items[state->index]);
    const Flow flow = execute(stmt.body);
    pop_scope();
    if (flow == Flow::normal) result = Flow::normal;
    if (flow == Flow::stop) break;
  }
  release(space);
  return result;
}

void Run::set_block(const Stmt& stmt) {
  push_scope();
  MarkedText text = captured(stmt.body);
  pop_scope();
  assign(stmt.target, stmt.expr ? filter_text(*stmt.expr, std::move(text)) : made(Value(std::move(text))));
}

void Run::assign(const Target& target, Value value) {
  if (!target.attribute.empty()) return assign_attribute(target, std::move(value));
  if (target.parts.empty()) return scope_->set(target.name, std::move(value));
  const std::vector<Value> items = iterate(*this, value);
  if (items.size() != target.parts.size()) {
    fail("cannot unpack " + std::to_string(items.size()) + " values into " + std::to_string(target.parts.size()) +
         " names");
  }
  for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
}

void Run::assign_attribute(const Target& target, Value value) {
  Expr reference;
  reference.name = target.name;
  reference.line = target.line;
  const Value object = name(reference);
  if (object.space() == nullptr || object.space()->type != "Namespace") {
    fail("cannot assign attribute '" + target.attribute + "' on '" + target.name + "': not a namespace");
  }
  charge_bytes(sizeof(Value));
  object.space()->attributes[target.attribute] = std::move(value);
}

Value Run::define(const Stmt& stmt, std::string name) {
  if (closures_.empty() || closures_.back() != scope_) closures_.push_back(scope_);
  charge_bytes(sizeof(Function));
  return Value(
      std::make_shared<const Function>(Function{std::move(name), [&stmt, closure = scope_](Run& run, const Args& args) {
                                                  return run.invoke(stmt, closure, args);
                                                }}));
}

Value Run::invoke(const Stmt& stmt, const std::shared_ptr<Scope>& closure, const Args& args) {
  const Level level(*this);
  MarkedText text;
  MarkedText* outside = std::exchange(out_, &text);
  const std::shared_ptr<Scope> back = std::exchange(scope_, closure);
  push_scope();
  bind_parameters(stmt, args);
  execute(stmt.body);
  scope_ = back;
  out_ = outside;
  return made(Value(std::move(text)));
}

void Run::bind_parameters(const Stmt& stmt, const Args& args) {
  const std::string& macro = stmt.text;
  Dict kwargs;
  for (const auto& [name, value] : args.named) kwargs.set(Value(name), value);
  std::vector<std::string_view> taken;
  for (std::size_t i = 0; i < stmt.parameters.size(); ++i) {
    const Parameter& parameter = stmt.parameters[i];
    const Value* given =
        i < args.positional.size() ? &args.positional[i] : kwargs.find(std::string_view(parameter.name));
    if (i >= args.positional.size() && given != nullptr) taken.push_back(parameter.name);
    if (given != nullptr) {
      scope_->set(parameter.name, *given);
    } else if (parameter.otherwise) {
      scope_->set(parameter.name, eval(*parameter.otherwise));
    } else {
      scope_->set(parameter.name, Value::undefined("parameter '" + parameter.name + "' was not provided"));
    }
  }
  Dict rest;
  for (const auto& [key, value] : kwargs.entries()) {
    if (std::find(taken.begin(), taken.end(), *key.text()) != taken.end()) continue;
    if (stmt.takes_kwargs) {
      rest.set(key, value);
    } else {
      fail("macro '" + macro + "' takes no argument '" + *key.text() + "'");
    }
  }
  if (args.positional.size() > stmt.parameters.size() && !stmt.takes_varargs) {
    fail("macro '" + macro + "' takes at most " + std::to_string(stmt.parameters.size()) + " arguments");
  }
  if (stmt.takes_kwargs) scope_->set("kwargs", made(make_dict(std::move(rest))));
  if (!stmt.takes_varargs) return;
  const auto from =
      args.positional.begin() + static_cast<std::ptrdiff_t>(std::min(stmt.parameters.size(), args.positional.size()));
  scope_->set("varargs", made(make_sequence({from, args.positional.end()}, Flavor::tuple)));
}

}  // namespace frugal::jinja
