// Numbers, strings, enum and const, and what they leave out.
#include "grammar/schema/values.hpp"

#include "text/unicode.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

Relation opposite(Relation relation) {
  switch (relation) {
    case Relation::less:
      return Relation::at_least;
    case Relation::at_most:
      return Relation::greater;
    case Relation::equal:
      return Relation::not_equal;
    case Relation::not_equal:
      return Relation::equal;
    case Relation::at_least:
      return Relation::less;
    case Relation::greater:
      break;
  }
  return Relation::at_most;
}

// Has one spelling inside quotes: the characters themselves.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; });
}

}  // namespace

ExprId Values::numbers(const NumberRule& rule, bool whole) {
  std::vector<ExprId> parts;
  for (const auto& [relation, bound] : rule.bounds) parts.push_back(store_.counter(compare_number(bound, relation)));
  for (const Decimal& unit : rule.multiples) parts.push_back(store_.counter(multiple_of(unit, true, whole)));
  return store_.all_of(std::move(parts));
}

ExprId Values::not_numbers(const NumberRule& rule) {
  std::vector<ExprId> parts;
  for (const auto& [relation, bound] : rule.bounds) {
    parts.push_back(store_.counter(compare_number(bound, opposite(relation))));
  }
  for (const Decimal& unit : rule.multiples) parts.push_back(store_.counter(multiple_of(unit, false)));
  return store_.any_of(std::move(parts));
}

ExprId Values::strings(const StringRule& rule) {
  std::vector<ExprId> parts = rule.languages;
  if (rule.least > 0 || rule.most != kUnbounded) {
    parts.push_back(store_.concat(store_.repeat(character_, rule.least, rule.most), store_.byte('"')));
  }
  return store_.all_of(std::move(parts));
}

ExprId Values::not_strings(const StringRule& rule) {
  std::vector<ExprId> parts;
  const auto length = [&](std::uint32_t least, std::uint32_t most) {
    parts.push_back(store_.concat(store_.repeat(character_, least, most), store_.byte('"')));
  };
  if (rule.least > 0) length(0, rule.least - 1);
  if (rule.most != kUnbounded) length(rule.most + 1, kUnbounded);
  for (const ExprId language : rule.languages)
    parts.push_back(store_.all_of({plain_string_, store_.complement(language)}));
  return store_.any_of(std::move(parts));
}

ExprId Values::text_language(std::string_view text) {
  return store_.concat(reader_.strings().literal(text), store_.byte('"'));
}

Value Values::number_of(const Json& json, bool wanted) {
  const auto number = Decimal::parse(json.text);
  if (!number) throw Refusal{"const", "", "the number is out of range: " + json.text};
  Value v;
  v.number = store_.counter(compare_number(*number, wanted ? Relation::equal : Relation::not_equal));
  return v;
}

// The value alone, or, with `wanted` false, everything else.
Value Values::of_json(const Json& json, bool wanted) {
  Value same;
  switch (json.kind) {
    case Json::Kind::null:
      same.null = wanted;
      break;
    case Json::Kind::boolean:
      same.yes = json.truth == wanted;
      same.no = json.truth != wanted;
      break;
    case Json::Kind::number:
      same = number_of(json, wanted);
      break;
    case Json::Kind::string:
      same.string = text_language(json.text);
      if (!wanted) same.string = store_.all_of({plain_string_, store_.complement(same.string)});
      break;
    case Json::Kind::array:
      same.arrays = wanted ? std::vector<RuleSet>{{reader_.add(array_of(json))}} : not_array(array_of(json), "");
      break;
    case Json::Kind::object:
      same.objects = wanted ? std::vector<RuleSet>{{reader_.add(object_of(json))}} : not_object(object_of(json), "");
      break;
  }
  if (wanted) return same;
  static constexpr int kTypeOf[] = {kNull, kBoolean, kNumber | kInteger, kString, kArray, kObject};
  return join(of_types(static_cast<std::uint8_t>(kAnyType & ~kTypeOf[static_cast<int>(json.kind)])), same);
}

Value Values::of_enum(const std::vector<Json>& values) {
  Value sum;
  strings_of(values, sum);
  std::vector<ExprId> numbers;
  for (const Json& value : values) {
    if (value.is(Json::Kind::number)) {
      numbers.push_back(number_of(value, true).number);
    } else if (!value.is(Json::Kind::string)) {
      sum = join(sum, of_json(value, true));
    }
  }
  sum.number = store_.any_of(std::move(numbers));
  return sum;
}

// Strings with one spelling are looked up in a sorted list; only the others need an automaton.
void Values::strings_of(const std::vector<Json>& values, Value& out) {
  std::vector<std::string> plain;
  std::vector<ExprId> parts;
  for (const Json& value : values) {
    if (!value.is(Json::Kind::string)) continue;
    if (is_plain(value.text)) {
      plain.push_back(value.text + '"');
    } else {
      parts.push_back(text_language(value.text));
    }
  }
  if (!plain.empty()) parts.push_back(store_.counter(one_of_literals(std::move(plain))));
  out.string = store_.any_of(std::move(parts));
}

ObjectRule Values::object_of(const Json& json) {
  ObjectRule rule;
  for (const auto& [name, value] : json.members) {
    if (&value != json.find(name)) continue;
    rule.properties.emplace_back(name, reader_.lit_of_value(value));
    rule.required.push_back(name);
  }
  rule.additional = kFalse;
  return rule;
}

ArrayRule Values::array_of(const Json& json) {
  ArrayRule rule;
  for (const Json& value : json.items) rule.prefix.push_back(reader_.lit_of_value(value));
  rule.rest = kFalse;
  rule.least = static_cast<std::uint32_t>(json.items.size());
  return rule;
}

}  // namespace frugal::grammar
