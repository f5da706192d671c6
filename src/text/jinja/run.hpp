// Run: one rendering of a compiled template, within limits. Used by one thread, once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/ast.hpp"

namespace frugal::jinja {

/// What a template may spend; a hostile one ends in an error soon enough.
struct Limits {
  std::uint64_t steps = 4'000'000;  ///< nodes evaluated, items visited, 64 bytes of text copied or compared
  std::uint64_t bytes = std::uint64_t{128} << 20;  ///< of text and containers made, kept or not
  std::uint32_t nesting = 600;                     ///< of evaluation, macros included
};

/// The names of one block; inner ones hide outer ones and vanish with the block.
struct Scope {
  std::shared_ptr<Scope> outer;
  std::vector<std::pair<std::string_view, Value>> names{};
  std::unordered_map<std::string_view, std::size_t> index{};  ///< used where there are many names

  const Value* find(std::string_view name) const noexcept;
  void set(std::string_view name, Value value);
};

class Run {
 public:
  /// `variables` must outlive the run.
  Run(const Dict& variables, const Limits& limits) : variables_(variables), limits_(limits) {}
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Renders; throws Failure, after which line() tells where.
  MarkedText render(const Block& block);
  /// True where the template looked at the variable `tools`.
  bool asked_for_tools() const noexcept { return asked_for_tools_; }
  int line() const noexcept { return line_; }

  /// Count work and memory; throw Failure past the limits.
  void charge(std::uint64_t steps);
  void charge_bytes(std::uint64_t bytes);
  /// Charges for a value just made, and passes it on.
  Value made(Value value);

  /// Calls a function or macro; fails for anything else.
  Value call(const Value& callee, const Args& args);
  /// A new mutable object, emptied when the run ends.
  std::shared_ptr<Space> make_space(std::string type);

 private:
  enum class Flow { normal, stop, next };
  class Level;
  struct Loop;

  Flow execute(const Block& block);
  Flow execute(const Stmt& stmt);
  Flow branch(const Stmt& stmt);
  Flow loop(const Stmt& stmt);
  Flow loop_body(const Stmt& stmt, const std::shared_ptr<Loop>& state);
  void release(const std::shared_ptr<Space>& space);
  Flow scoped(const Stmt& stmt);
  std::vector<Value> loop_items(const Stmt& stmt);
  void set_block(const Stmt& stmt);
  void emit(const MarkedText& text);
  MarkedText captured(const Block& block);
  void assign(const Target& target, Value value);
  void assign_attribute(const Target& target, Value value);
  Value define(const Stmt& stmt, std::string name);
  Value invoke(const Stmt& stmt, const std::shared_ptr<Scope>& closure, const Args& args);
  void bind_parameters(const Stmt& stmt, const Args& args);
  void push_scope();
  void pop_scope();

  Value eval(const Expr& expr);
  Value compute(const Expr& expr);
  Value name(const Expr& expr);
  Value list(const Expr& expr);
  Value dict(const Expr& expr);
  Value concat(const Expr& expr);
  Value compare(const Expr& expr);
  Value item(const Expr& expr);
  Value conditional(const Expr& expr);
  Value call_expression(const Expr& expr);
  Value apply(const Expr& expr, const Value& input);
  Value filter_text(const Expr& expr, MarkedText text);
  Args arguments(const Arguments& arguments);

  const Dict& variables_;
  Limits limits_;
  std::uint64_t steps_ = 0, bytes_ = 0;
  std::uint32_t nesting_ = 0;
  int line_ = 0;
  MarkedText output_;
  MarkedText* out_ = &output_;
  bool asked_for_tools_ = false;
  std::shared_ptr<Scope> scope_ = std::make_shared<Scope>();
  std::vector<std::shared_ptr<Scope>> closures_;  ///< hold macros that hold them: emptied at the end
  std::vector<std::shared_ptr<Space>> spaces_;    ///< may hold one another: emptied at the end
};

}  // namespace frugal::jinja
