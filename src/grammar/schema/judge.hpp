// Judge: whether a document meets a schema, looked at as a whole after it was written. For schemas of which keywords
// were left out when the constraint was made: what a mask could not enforce may still be checked at the end. Reads the
// schema by the same rules; what those refuse is not known. One thread.
#pragma once

#include "grammar/schema/reader.hpp"

#include <frugal/core/constraint.hpp>

#include <string_view>

namespace frugal::grammar {

class Judge {
 public:
  /// Throws Error where the schema is no JSON.
  Judge(std::string_view schema, const Limits& limits);

  /// Cost: the schemas that apply to each value, at most some millions of steps.
  DocumentVerdict of(std::string_view document);

 private:
  enum class Truth : std::uint8_t { no, unknown, yes };
  static Truth both(Truth a, Truth b) { return a < b ? a : b; }
  static Truth either(Truth a, Truth b) { return a < b ? b : a; }
  static Truth opposite(Truth a) { return static_cast<Truth>(2 - static_cast<int>(a)); }
  static Truth truth(bool b) { return b ? Truth::yes : Truth::no; }

  Truth holds(Lit lit, const Json& value);
  Truth meets(const Schema& schema, const Json& value);
  Truth meets_branches(const Schema& schema, const Json& value);
  Truth exactly_one(const std::vector<Lit>& lits, const Json& value);
  bool meets_number(const NumberRule& rule, const Json& value);
  bool meets_string(const StringRule& rule, const std::string& text);
  Truth meets_array(const ArrayRule& rule, const Json& value);
  Truth meets_object(const ObjectRule& rule, const Json& value);
  Truth meets_member(const ObjectRule& rule, const std::string& name, const Json& value);
  void note(const Schema& schema, Truth found);

  Limits limits_;
  Document document_;
  ExprStore store_;
  Reader reader_;
  std::size_t steps_ = 0, depth_ = 0;
  std::string why_;  // the first schema that was not met, or the first that is not known
};

}  // namespace frugal::grammar
