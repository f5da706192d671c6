#include "grammar/schema/judge.hpp"

#include "grammar/parser/canonical.hpp"

#include <algorithm>
#include <set>

namespace frugal::grammar {

namespace {

ReaderOptions all_that_can_be_read() {
  ReaderOptions options;
  options.partial = true;
  return options;
}

std::uint32_t characters(const std::string& utf8) {
  return static_cast<std::uint32_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::uint8_t type_of(const Json& value) {
  switch (value.kind) {
    case Json::Kind::null:
      return kNull;
    case Json::Kind::boolean:
      return kBoolean;
    case Json::Kind::string:
      return kString;
    case Json::Kind::array:
      return kArray;
    case Json::Kind::object:
      return kObject;
    case Json::Kind::number:
      break;
  }
  const auto number = Decimal::parse(value.text);
  return number && number->places == 0 ? kInteger : kNumber;
}

}  // namespace

Judge::Judge(std::string_view schema, const Limits& limits)
    : limits_(limits),
      document_(schema, limits),
      store_(limits),
      reader_(document_, store_, limits, all_that_can_be_read()) {}

DocumentVerdict Judge::of(std::string_view document) {
  steps_ = depth_ = 0;
  why_.clear();
  try {
    const Json value = parse_json(document, limits_);
    const Truth found = holds(reader_.lit(document_.root()), value);
    if (found == Truth::yes) return {true, {}};
    return {found == Truth::no ? std::optional(false) : std::nullopt, why_};
  } catch (const Refusal& refusal) {
    return {std::nullopt, refusal.keyword + (refusal.path.empty() ? "" : " at " + refusal.path) + ": " + refusal.why};
  } catch (const Error& error) {
    return {std::nullopt, error.message()};
  }
}

// A schema nested in others that were not met is the one to name.
void Judge::note(const Schema& schema, Truth found) {
  if (found == Truth::yes || !why_.empty()) return;
  if (found == Truth::unknown && schema.refusal) {
    why_ = schema.refusal->keyword + (schema.path.empty() ? "" : " at " + schema.path) + ": " + schema.refusal->why;
  } else {
    why_ = "the schema" + (schema.path.empty() ? std::string() : " at " + schema.path) +
           (found == Truth::no ? " is not met" : " cannot be judged");
  }
}

Judge::Truth Judge::holds(Lit lit, const Json& value) {
  constexpr std::size_t kMostSteps = 4'000'000, kDeepest = 1'000;
  if (++steps_ > kMostSteps) over_limit("judging the document takes more than 4,000,000 steps");
  if (depth_ > kDeepest) over_limit("the schema leads back to itself before any value");
  const Schema& schema = reader_.schema(lit / 2);
  ++depth_;
  Truth found = meets(schema, value);
  --depth_;
  if ((lit & 1U) != 0) return opposite(found);
  note(schema, found);
  return found;
}

Judge::Truth Judge::meets(const Schema& schema, const Json& value) {
  if (schema.constant) return truth(*schema.constant);
  Truth found = schema.refusal ? Truth::unknown : Truth::yes;
  const std::uint8_t type = type_of(value);
  const bool number = value.is(Json::Kind::number);
  if ((schema.types & (type == kInteger ? kInteger | kNumber : type)) == 0) return Truth::no;
  const auto same = [&](const Json& other) { return canonical_json(other) == canonical_json(value); };
  if (schema.value && !same(*schema.value)) return Truth::no;
  if (schema.one_of_values && std::none_of(schema.one_of_values->begin(), schema.one_of_values->end(), same))
    return Truth::no;
  if (number && !meets_number(schema.number, value)) return Truth::no;
  if (value.is(Json::Kind::string) && !meets_string(schema.string, value.text)) return Truth::no;
  if (schema.array && value.is(Json::Kind::array))
    found = both(found, meets_array(reader_.array(*schema.array), value));
  if (schema.object && value.is(Json::Kind::object))
    found = both(found, meets_object(reader_.object(*schema.object), value));
  return found == Truth::no ? found : both(found, meets_branches(schema, value));
}

Judge::Truth Judge::meets_branches(const Schema& schema, const Json& value) {
  Truth found = Truth::yes;
  for (const Lit lit : schema.all_of) found = both(found, holds(lit, value));
  const std::string before = why_;
  for (const auto& branches : schema.any_of) {
    Truth any = Truth::no;
    for (const Lit lit : branches) any = either(any, holds(lit, value));
    if (any == Truth::yes) why_ = before;
    found = both(found, any);
  }
  for (const auto& branches : schema.one_of) {
    const Truth one = exactly_one(branches, value);
    if (one == Truth::yes) why_ = before;
    found = both(found, one);
  }
  for (const auto& [test, then, otherwise] : schema.conditions) {
    const Truth tested = holds(test, value);
    why_ = before;
    found = both(found, both(either(opposite(tested), holds(then, value)), either(tested, holds(otherwise, value))));
  }
  return found;
}

Judge::Truth Judge::exactly_one(const std::vector<Lit>& lits, const Json& value) {
  std::size_t met = 0, unknown = 0;
  for (const Lit lit : lits) {
    const Truth found = holds(lit, value);
    met += found == Truth::yes ? 1 : 0;
    unknown += found == Truth::unknown ? 1 : 0;
  }
  if (met > 1 || met + unknown == 0) return Truth::no;
  return unknown == 0 ? Truth::yes : Truth::unknown;
}

bool Judge::meets_number(const NumberRule& rule, const Json& value) {
  if (rule.empty()) return true;
  const auto number = Decimal::parse(value.text);
  if (!number) over_limit("a number that is too large to be judged");
  const std::string text = number->plain();
  for (const auto& [relation, bound] : rule.bounds) {
    if (!store_.contains(store_.counter(compare_number(bound, relation)), text)) return false;
  }
  return std::all_of(rule.multiples.begin(), rule.multiples.end(), [&](const Decimal& unit) {
    return store_.contains(store_.counter(multiple_of(unit, true)), text);
  });
}

bool Judge::meets_string(const StringRule& rule, const std::string& text) {
  const std::uint32_t length = characters(text);
  if (length < rule.least || length > rule.most) return false;
  const std::string written = json_spelling(text, false) + '"';
  return std::all_of(rule.languages.begin(), rule.languages.end(),
                     [&](ExprId language) { return store_.contains(language, written); });
}

Judge::Truth Judge::meets_array(const ArrayRule& rule, const Json& value) {
  if (value.items.size() < rule.least || value.items.size() > rule.most) return Truth::no;
  Truth found = Truth::yes;
  std::set<std::string> seen;
  std::size_t met = 0, unknown = 0;
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    const Json& item = value.items[i];
    found = both(found, holds(i < rule.prefix.size() ? rule.prefix[i] : rule.rest, item));
    if (rule.unique && !seen.insert(canonical_json(item)).second) return Truth::no;
    if (!rule.contains || i < rule.contains->from) continue;
    const std::string before = why_;
    const Truth contained = holds(rule.contains->item, item);
    why_ = before;
    met += contained == Truth::yes ? 1 : 0;
    unknown += contained == Truth::unknown ? 1 : 0;
  }
  if (!rule.contains) return found;
  if (met > rule.contains->most || met + unknown < rule.contains->least) return Truth::no;
  const bool certain = met >= rule.contains->least && met + unknown <= rule.contains->most;
  return both(found, certain ? Truth::yes : Truth::unknown);
}

Judge::Truth Judge::meets_member(const ObjectRule& rule, const std::string& name, const Json& value) {
  Truth found = Truth::yes;
  bool named = false;
  for (const auto& [property, lit] : rule.properties) {
    if (property != name) continue;
    found = both(found, holds(lit, value));
    named = true;
  }
  const std::string written = json_spelling(name, false) + '"';
  for (const auto& [language, lit] : rule.patterns) {
    if (!store_.contains(language, written)) continue;
    found = both(found, holds(lit, value));
    named = true;
  }
  if (!named) found = both(found, holds(rule.additional, value));
  if (!rule.names) return found;
  return both(found, holds(*rule.names, {Json::Kind::string, false, name}));
}

Judge::Truth Judge::meets_object(const ObjectRule& rule, const Json& value) {
  if (value.members.size() < rule.least || value.members.size() > rule.most) return Truth::no;
  const auto has = [&](const std::string& name) { return value.find(name) != nullptr; };
  if (!std::all_of(rule.required.begin(), rule.required.end(), has)) return Truth::no;
  for (const auto& [one, other] : rule.dependents) {
    if (has(one) && !has(other)) return Truth::no;
  }
  Truth found = Truth::yes;
  for (const auto& [name, member] : value.members) found = both(found, meets_member(rule, name, member));
  return found;
}

}  // namespace frugal::grammar
