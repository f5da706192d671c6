// properties, patternProperties, additionalProperties, required, propertyNames, minProperties, maxProperties,
// dependentRequired, dependentSchemas, dependencies, x-order.
#include "grammar/schema/reader.hpp"

namespace frugal::grammar {

namespace {

void properties(const Reader::Place& at, const Json& value) {
  ObjectRule& rule = at.object_rule();
  for (const auto& [name, schema] : at.object(value)) rule.properties.emplace_back(name, at.schema_of(schema));
}

void pattern_properties(const Reader::Place& at, const Json& value) {
  ObjectRule& rule = at.object_rule();
  for (const auto& [pattern, schema] : at.object(value)) {
    rule.patterns.emplace_back(at.pattern(pattern), at.schema_of(schema));
  }
}

void additional_properties(const Reader::Place& at, const Json& value) {
  at.object_rule().additional = at.schema_of(value);
}

void required(const Reader::Place& at, const Json& value) {
  ObjectRule& rule = at.object_rule();
  for (const Json& name : at.list(value)) rule.required.push_back(at.string(name));
}

void property_names(const Reader::Place& at, const Json& value) { at.object_rule().names = at.schema_of(value); }
void min_properties(const Reader::Place& at, const Json& value) { at.object_rule().least = at.count(value); }
void max_properties(const Reader::Place& at, const Json& value) { at.object_rule().most = at.count(value); }

void dependent_required(const Reader::Place& at, const std::string& name, const Json& list) {
  for (const Json& other : at.list(list)) at.object_rule().dependents.emplace_back(name, at.string(other));
}

// Either the member is not there, or the schema holds.
void dependent_schema(const Reader::Place& at, const std::string& name, const Json& schema) {
  ObjectRule without;
  without.properties.emplace_back(name, kFalse);
  Schema absent;
  absent.read = true;
  absent.object = at.reader.add(std::move(without));
  at.schema.any_of.push_back({at.reader.add(std::move(absent)), at.schema_of(schema)});
}

void all_dependent_required(const Reader::Place& at, const Json& value) {
  for (const auto& [name, list] : at.object(value)) dependent_required(at, name, list);
}

void dependent_schemas(const Reader::Place& at, const Json& value) {
  for (const auto& [name, schema] : at.object(value)) dependent_schema(at, name, schema);
}

void dependencies(const Reader::Place& at, const Json& value) {
  for (const auto& [name, what] : at.object(value)) {
    if (what.is(Json::Kind::array)) {
      dependent_required(at, name, what);
    } else {
      dependent_schema(at, name, what);
    }
  }
}

void order(const Reader::Place& at, const Json& value) {
  const std::string& order = at.string(value);
  if (order != "schema" && order != "any") at.refuse("neither schema nor any");
  at.object_rule().in_order = order == "schema";
}

}  // namespace

KeywordReader object_keyword(std::string_view keyword) {
  if (keyword == "properties") return properties;
  if (keyword == "patternProperties") return pattern_properties;
  if (keyword == "additionalProperties") return additional_properties;
  if (keyword == "required") return required;
  if (keyword == "propertyNames") return property_names;
  if (keyword == "minProperties") return min_properties;
  if (keyword == "maxProperties") return max_properties;
  if (keyword == "dependentRequired") return all_dependent_required;
  if (keyword == "dependentSchemas") return dependent_schemas;
  if (keyword == "dependencies") return dependencies;
  if (keyword == "x-order") return order;
  if (keyword == "unevaluatedProperties") return unevaluated_properties;
  return nullptr;
}

}  // namespace frugal::grammar
