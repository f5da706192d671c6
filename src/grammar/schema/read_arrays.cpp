// items, prefixItems, additionalItems, minItems, maxItems, uniqueItems, contains, minContains, maxContains.
#include "grammar/schema/reader.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

void set_prefix(const Reader::Place& at, const Json& value) {
  ArrayRule& rule = at.array_rule();
  rule.prefix.clear();
  for (const Json& item : at.list(value)) rule.prefix.push_back(at.schema_of(item));
}

// A list of schemas was spelled items and additionalItems before 2020, prefixItems and items since.
void items(const Reader::Place& at, const Json& value) {
  if (value.is(Json::Kind::array)) return set_prefix(at, value);
  at.array_rule().rest = at.schema_of(value);
}

void additional_items(const Reader::Place& at, const Json& value) {
  const Json* list = at.source.find("items");
  if (list && list->is(Json::Kind::array) && !at.source.find("prefixItems")) at.array_rule().rest = at.schema_of(value);
}

void min_items(const Reader::Place& at, const Json& value) { at.array_rule().least = at.count(value); }
void max_items(const Reader::Place& at, const Json& value) { at.array_rule().most = at.count(value); }
void unique_items(const Reader::Place& at, const Json& value) {
  if (at.boolean(value)) at.array_rule().unique = true;
}

void contains(const Reader::Place& at, const Json& value) {
  ArrayRule::Contains contains;
  contains.item = at.schema_of(value);
  if (const Json* least = at.source.find("minContains")) contains.least = at.count(*least);
  if (const Json* most = at.source.find("maxContains")) contains.most = at.count(*most);
  at.array_rule().contains = contains;
}

}  // namespace

KeywordReader array_keyword(std::string_view keyword) {
  if (keyword == "items") return items;
  if (keyword == "prefixItems") return set_prefix;
  if (keyword == "additionalItems") return additional_items;
  if (keyword == "minItems") return min_items;
  if (keyword == "maxItems") return max_items;
  if (keyword == "uniqueItems") return unique_items;
  if (keyword == "contains") return contains;
  if (keyword == "unevaluatedItems") return unevaluated_items;
  return nullptr;
}

}  // namespace frugal::grammar
