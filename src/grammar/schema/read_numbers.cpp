// minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf.
#include "grammar/schema/reader.hpp"

namespace frugal::grammar {

namespace {

// In draft 4 exclusiveMinimum is a switch beside minimum.
bool is_exclusive(const Reader::Place& at, std::string_view keyword) {
  const Json* flag = at.source.find(keyword);
  return flag && flag->is(Json::Kind::boolean) && flag->truth;
}

void minimum(const Reader::Place& at, const Json& value) {
  const Relation relation = is_exclusive(at, "exclusiveMinimum") ? Relation::greater : Relation::at_least;
  at.schema.number.bounds.emplace_back(relation, at.number(value));
}

void maximum(const Reader::Place& at, const Json& value) {
  const Relation relation = is_exclusive(at, "exclusiveMaximum") ? Relation::less : Relation::at_most;
  at.schema.number.bounds.emplace_back(relation, at.number(value));
}

void exclusive_minimum(const Reader::Place& at, const Json& value) {
  if (!value.is(Json::Kind::boolean)) at.schema.number.bounds.emplace_back(Relation::greater, at.number(value));
}

void exclusive_maximum(const Reader::Place& at, const Json& value) {
  if (!value.is(Json::Kind::boolean)) at.schema.number.bounds.emplace_back(Relation::less, at.number(value));
}

void multiple(const Reader::Place& at, const Json& value) {
  const Decimal unit = at.number(value);
  if (unit.zero() || unit.negative) at.refuse("not a number above 0");
  if (!multiple_of(unit, true)) at.refuse("a number of more than nine digits");
  at.schema.number.multiples.push_back(unit);
}

}  // namespace

KeywordReader number_keyword(std::string_view keyword) {
  if (keyword == "minimum") return minimum;
  if (keyword == "maximum") return maximum;
  if (keyword == "exclusiveMinimum") return exclusive_minimum;
  if (keyword == "exclusiveMaximum") return exclusive_maximum;
  if (keyword == "multipleOf") return multiple;
  return nullptr;
}

}  // namespace frugal::grammar
