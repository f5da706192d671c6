// Values: what a schema accepts, type by type: a language for numbers, one for strings, and for arrays and objects a
// list of alternatives, each a set of rules that hold together. allOf is an intersection of these, anyOf a union, and
// not is pushed down to the rules, so nothing is approximated. What has no exact form throws Refusal.
#pragma once

#include "grammar/schema/reader.hpp"

#include <map>
#include <optional>

namespace frugal::grammar {

using RuleSet = std::vector<std::uint32_t>;  ///< sorted; empty: any

struct Value {
  bool null = false, yes = false, no = false;
  ExprId number = kNothing;
  ExprId string = kNothing;  ///< after the opening quote, with the closing one
  std::vector<RuleSet> arrays, objects;
};

using LitSet = std::vector<Lit>;  ///< sorted, without kTrue; empty: anything

class Values {
 public:
  explicit Values(Reader& reader);

  /// What all of the schemas accept. Remembered.
  const Value& of(const LitSet& lits);
  /// The schemas for a member or an item under a rule.
  void member_lits(const ObjectRule& rule, const std::string& name, LitSet& out);
  void item_lits(const ArrayRule& rule, std::size_t index, LitSet& out) const;
  static LitSet normal(LitSet lits);
  /// True where it is certain that nothing is accepted; looks a few levels deep.
  bool surely_empty(const Value& value, int depth = 3);

  Reader& reader() { return reader_; }
  ExprId any_number() const { return number_; }
  ExprId any_string() const { return string_; }
  ExprId integer() const { return integer_; }
  ExprId any_character() const { return character_; }
  ExprId name_language(const ObjectRule& rule);  ///< of propertyNames; any_string() where there is none
  ExprId text_language(std::string_view utf8);   ///< one string, in every spelling, with the closing quote

 private:
  const Value& of(Lit lit);
  Value positive(const Schema& schema);
  Value negative(const Schema& schema);
  Value any() const;
  Value of_types(std::uint8_t types) const;
  Value of_json(const Json& json, bool wanted);
  Value of_enum(const std::vector<Json>& values);
  void strings_of(const std::vector<Json>& values, Value& out);
  Value number_of(const Json& json, bool wanted);
  ExprId numbers(const NumberRule& rule, bool whole);
  ExprId strings(const StringRule& rule);
  ExprId not_numbers(const NumberRule& rule);
  ExprId not_strings(const StringRule& rule);
  std::vector<RuleSet> not_array(const ArrayRule& rule, const std::string& path);
  std::vector<RuleSet> not_object(const ObjectRule& rule, const std::string& path);
  ObjectRule object_of(const Json& json);
  ArrayRule array_of(const Json& json);
  Value exactly_one(const Value& base, const std::vector<Lit>& lits, const std::string& path);
  Value not_exactly_one(const std::vector<Lit>& lits);
  Value condition(const std::array<Lit, 3>& parts);

  Value meet(const Value& a, const Value& b);
  Value join(const Value& a, const Value& b);
  ExprId meet_strings(ExprId a, ExprId b);
  std::vector<RuleSet> meet_rules(const std::vector<RuleSet>& a, const std::vector<RuleSet>& b);
  void join_rules(std::vector<RuleSet>& a, const std::vector<RuleSet>& b);
  bool empty_object(const RuleSet& rules, int depth);
  bool empty_array(const RuleSet& rules, int depth);
  bool empty_lits(const LitSet& lits, int depth);

  Reader& reader_;
  ExprStore& store_;
  ExprId character_, number_, integer_, fraction_, string_, plain_string_;
  std::map<Lit, std::optional<Value>> known_;  // none: being worked out
  std::map<LitSet, Value> sets_;
};

}  // namespace frugal::grammar
