// type, enum, const, $ref, $dynamicRef, $recursiveRef, allOf, anyOf, oneOf, not, if, then, else.
#include "grammar/schema/reader.hpp"

namespace frugal::grammar {

namespace {

std::uint8_t type_of(const Reader::Place& at, const std::string& name) {
  static constexpr std::pair<std::string_view, int> kTypes[] = {
      {"null", kNull},     {"boolean", kBoolean}, {"integer", kInteger}, {"number", kNumber | kInteger},
      {"string", kString}, {"array", kArray},     {"object", kObject},   {"any", kAnyType}};
  for (const auto& [known, type] : kTypes) {
    if (known == name) return static_cast<std::uint8_t>(type);
  }
  at.refuse("an unknown type: " + name);
}

void type(const Reader::Place& at, const Json& value) {
  if (value.is(Json::Kind::string)) {
    at.schema.types = type_of(at, value.text);
    return;
  }
  std::uint8_t types = 0;
  for (const Json& name : at.list(value)) types = static_cast<std::uint8_t>(types | type_of(at, at.string(name)));
  at.schema.types = types;
}

void one_of_values(const Reader::Place& at, const Json& value) { at.schema.one_of_values = &at.list(value); }
void constant(const Reader::Place& at, const Json& value) { at.schema.value = &value; }

Refusal fault(const Reader::Place& at) { return {std::string(at.keyword), at.schema.path, ""}; }

void ref(const Reader::Place& at, const Json& value) {
  const Json& target = at.reader.document().resolve(at.source, at.string(value), fault(at));
  at.schema.all_of.push_back(at.reader.lit(target));
}

void dynamic_ref(const Reader::Place& at, const Json& value) {
  const Json& target = at.reader.document().resolve_dynamic(at.source, at.string(value), fault(at));
  at.schema.all_of.push_back(at.reader.lit(target));
}

std::vector<Lit> schemas(const Reader::Place& at, const Json& value) {
  std::vector<Lit> lits;
  for (const Json& schema : at.list(value)) lits.push_back(at.schema_of(schema));
  return lits;
}

void all_of(const Reader::Place& at, const Json& value) {
  for (const Lit lit : schemas(at, value)) at.schema.all_of.push_back(lit);
}
void any_of(const Reader::Place& at, const Json& value) { at.schema.any_of.push_back(schemas(at, value)); }
void one_of(const Reader::Place& at, const Json& value) { at.schema.one_of.push_back(schemas(at, value)); }
void not_of(const Reader::Place& at, const Json& value) { at.schema.all_of.push_back(negated(at.schema_of(value))); }

void condition(const Reader::Place& at, const Json& value) {
  const Json* then = at.source.find("then");
  const Json* otherwise = at.source.find("else");
  if (!then && !otherwise) return;
  const auto lit = [&](const Json* schema) { return schema ? at.schema_of(*schema) : kTrue; };
  at.schema.conditions.push_back({at.schema_of(value), lit(then), lit(otherwise)});
}

}  // namespace

KeywordReader logic_keyword(std::string_view keyword) {
  if (keyword == "type") return type;
  if (keyword == "enum") return one_of_values;
  if (keyword == "const") return constant;
  if (keyword == "$ref") return ref;
  if (keyword == "$dynamicRef" || keyword == "$recursiveRef") return dynamic_ref;
  if (keyword == "allOf") return all_of;
  if (keyword == "anyOf") return any_of;
  if (keyword == "oneOf") return one_of;
  if (keyword == "not") return not_of;
  if (keyword == "if") return condition;
  return nullptr;
}

}  // namespace frugal::grammar
