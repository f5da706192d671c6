#include "grammar/schema/reader.hpp"

#include "grammar/regex/tree.hpp"

namespace frugal::grammar {

namespace {

// A schema of an older draft may have a member of such a name, and it means nothing there.
int draft_that_added(std::string_view keyword) {
  static constexpr std::pair<std::string_view, int> kAdded[] = {{"const", 6},
                                                                {"contains", 6},
                                                                {"propertyNames", 6},
                                                                {"if", 7},
                                                                {"dependentRequired", 2019},
                                                                {"dependentSchemas", 2019},
                                                                {"unevaluatedItems", 2019},
                                                                {"unevaluatedProperties", 2019},
                                                                {"$recursiveRef", 2019},
                                                                {"$dynamicRef", 2020},
                                                                {"prefixItems", 2020}};
  for (const auto& [name, draft] : kAdded) {
    if (name == keyword) return draft;
  }
  return 0;
}

}  // namespace

Reader::Reader(const Document& document, ExprStore& store, const Limits& limits, ReaderOptions options)
    : document_(document),
      store_(store),
      limits_(limits),
      options_(std::move(options)),
      strings_(store, Alphabet::Spelling::json) {
  Schema all;
  all.read = true;
  all.constant = true;
  schemas_.push_back(all);
}

const Schema& Reader::schema(std::uint32_t id) {
  Schema& schema = schemas_[id];
  if (!schema.read) {
    schema.read = true;
    try {
      read(schema);
    } catch (const Refusal& refusal) {
      schema.refusal = refusal;
    }
  }
  return schema;
}

Lit Reader::lit(const Json& source) {
  if (source.is(Json::Kind::boolean)) return source.truth ? kTrue : kFalse;
  const auto [known, fresh] = by_source_.emplace(&source, 0);
  if (fresh) {
    Schema schema;
    schema.source = &source;
    schema.path = document_.path(source);
    known->second = add(std::move(schema));
  }
  return known->second;
}

Lit Reader::lit_of_value(const Json& value) {
  const auto [known, fresh] = by_value_.emplace(&value, 0);
  if (fresh) {
    Schema schema;
    schema.value = &value;
    schema.read = true;
    known->second = add(std::move(schema));
  }
  return known->second;
}

Lit Reader::add(Schema schema) {
  if (schemas_.size() >= limits_.values) over_limit("more than " + std::to_string(limits_.values) + " schemas");
  schemas_.push_back(std::move(schema));
  return static_cast<Lit>(schemas_.size() - 1) * 2;
}

std::uint32_t Reader::add(ArrayRule rule) {
  arrays_.push_back(std::move(rule));
  return static_cast<std::uint32_t>(arrays_.size() - 1);
}

std::uint32_t Reader::add(ObjectRule rule) {
  objects_.push_back(std::move(rule));
  return static_cast<std::uint32_t>(objects_.size() - 1);
}

void Reader::read(Schema& schema) {
  const Json& source = *schema.source;
  if (!source.is(Json::Kind::object)) throw Refusal{"", schema.path, "a schema is an object or true or false"};
  const bool ref_alone = document_.only_ref() && source.find("$ref") != nullptr;
  for (const auto& [keyword, value] : source.members) {
    if (ref_alone && keyword != "$ref") continue;
    if (options_.lenient.contains(keyword) || document_.draft() < draft_that_added(keyword)) continue;
    if (&value != source.find(keyword)) continue;  // there twice: the last one counts
    const KeywordReader reader = keyword_reader(keyword);
    if (!reader) continue;
    try {
      reader({*this, schema, source, keyword}, value);
    } catch (const Refusal& refusal) {
      if (!options_.partial) throw;
      if (!schema.refusal) schema.refusal = refusal;
    }
  }
}

KeywordReader keyword_reader(std::string_view keyword) {
  for (const auto family : {number_keyword, string_keyword, array_keyword, object_keyword, logic_keyword}) {
    if (const KeywordReader reader = family(keyword)) return reader;
  }
  return nullptr;
}

void Reader::Place::refuse(std::string why) const { throw Refusal{std::string(keyword), schema.path, std::move(why)}; }

std::uint32_t Reader::Place::count(const Json& value) const {
  const auto number = value.is(Json::Kind::number) ? Decimal::parse(value.text) : std::nullopt;
  if (!number || number->negative || number->places > 0) refuse("not a whole number from 0");
  if (number->digits.size() > 10 || std::stoull(number->digits) > reader.limits().repeat)
    refuse("the number is too large");
  return static_cast<std::uint32_t>(std::stoull(number->digits));
}

Decimal Reader::Place::number(const Json& value) const {
  if (!value.is(Json::Kind::number)) refuse("not a number");
  const auto number = Decimal::parse(value.text);
  if (!number) refuse("the number is out of range: " + value.text);
  return *number;
}

bool Reader::Place::boolean(const Json& value) const {
  if (!value.is(Json::Kind::boolean)) refuse("neither true nor false");
  return value.truth;
}

const std::string& Reader::Place::string(const Json& value) const {
  if (!value.is(Json::Kind::string)) refuse("not a string");
  return value.text;
}

const std::vector<Json>& Reader::Place::list(const Json& value) const {
  if (!value.is(Json::Kind::array)) refuse("not an array");
  return value.items;
}

const std::vector<std::pair<std::string, Json>>& Reader::Place::object(const Json& value) const {
  if (!value.is(Json::Kind::object)) refuse("not an object");
  return value.members;
}

Lit Reader::Place::schema_of(const Json& value) const {
  if (!value.is(Json::Kind::object) && !value.is(Json::Kind::boolean)) refuse("not a schema");
  return reader.lit(value);
}

ArrayRule& Reader::Place::array_rule() const {
  if (!schema.array) schema.array = reader.add(ArrayRule{});
  return reader.arrays_[*schema.array];
}

ObjectRule& Reader::Place::object_rule() const {
  if (!schema.object) {
    schema.object = reader.add(ObjectRule{});
    reader.objects_.back().in_order = reader.options().in_order;
  }
  return reader.objects_[*schema.object];
}

ExprId Reader::Place::pattern(const std::string& text) const {
  const auto known = reader.patterns_.find(text);
  if (known != reader.patterns_.end()) return known->second;
  try {
    const ExprId e = regex_search(parse_regex(text, RegexSyntax::ecma, reader.limits()), reader.strings());
    return reader.patterns_[text] = e;
  } catch (const RegexFault& fault) {
    refuse("the pattern has " + fault.text());
  }
}

}  // namespace frugal::grammar
