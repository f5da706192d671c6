// Tables: from what schemas accept to the tables that the parser walks, for every kind of value that can be reached.
#pragma once

#include "grammar/program.hpp"
#include "grammar/schema/values.hpp"

#include <map>

namespace frugal::grammar {

class Tables {
 public:
  Tables(Program& program, Values& values)
      : program_(program), values_(values), store_(program.store), base_(static_cast<ValueId>(program.values.size())) {}

  /// The value that all of the schemas accept; it and all it holds are built by finish().
  ValueId value_of(LitSet lits);
  /// Builds what is missing. What cannot be exact is added to the program's refusals; values that nothing can meet are
  /// taken out, so that no text is begun that cannot be ended. False where `root` is one of them.
  bool finish(ValueId root);

 private:
  struct Exists {
    ExprId names;
    Lit value;
  };
  void build(ValueId id);
  ExprId scalar_of(const Value& value);
  std::uint32_t array_of(const RuleSet& rules);
  std::uint32_t object_of(const RuleSet& rules);
  std::vector<ArrayTable::Choice> item_choices(const RuleSet& rules, std::uint32_t index);
  using Spelled = std::vector<std::pair<std::string, std::uint32_t>>;  ///< names as written, and their members
  void add_members(const RuleSet& rules, const std::vector<Exists>& exists, ObjectTable& table, Spelled& spelled);
  void add_classes(const RuleSet& rules, const std::vector<Exists>& exists, ObjectTable& table);
  void name_few(ObjectTable& table, Spelled& spelled);
  std::vector<ObjectTable::Choice> choices(const LitSet& lits, const std::vector<Exists>& exists,
                                           const std::vector<std::uint32_t>& possible);
  void prune();
  bool array_lives(const ArrayTable& table);
  bool has_different(const ArrayTable& table, std::uint32_t least);
  bool object_lives(const ObjectTable& table) const;
  void drop_dead();

  Program& program_;
  Values& values_;
  ExprStore& store_;
  ValueId base_;  // values from here on are this schema's
  std::map<LitSet, ValueId> known_;
  std::vector<LitSet> lits_;                           // by value, from base_ on
  std::map<RuleSet, std::uint32_t> arrays_, objects_;  // equal rules, one table
  std::vector<bool> value_lives_, array_lives_, object_lives_;
};

}  // namespace frugal::grammar
