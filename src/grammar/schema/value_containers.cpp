// Arrays and objects: the negation of a rule is a list of rules, one for each way to break it.
#include "grammar/regex/alphabet.hpp"
#include "grammar/schema/values.hpp"

#include <algorithm>

namespace frugal::grammar {

void Values::member_lits(const ObjectRule& rule, const std::string& name, LitSet& out) {
  bool named = false;
  for (const auto& [property, lit] : rule.properties) {
    if (property != name) continue;
    out.push_back(lit);
    named = true;
  }
  if (!rule.patterns.empty()) {
    const std::string spelled = json_spelling(name, false) + '"';
    for (const auto& [language, lit] : rule.patterns) {
      if (!store_.contains(language, spelled)) continue;
      out.push_back(lit);
      named = true;
    }
  }
  if (!named) out.push_back(rule.additional);
  if (rule.names && !store_.contains(name_language(rule), json_spelling(name, false) + '"')) out.push_back(kFalse);
}

void Values::item_lits(const ArrayRule& rule, std::size_t index, LitSet& out) const {
  out.push_back(index < rule.prefix.size() ? rule.prefix[index] : rule.rest);
}

ExprId Values::name_language(const ObjectRule& rule) { return rule.names ? of(normal({*rule.names})).string : string_; }

std::vector<RuleSet> Values::not_array(const ArrayRule& rule, const std::string& path) {
  if (rule.unique) throw Refusal{"uniqueItems", path, "its negation"};
  std::vector<RuleSet> ways;
  const auto add = [&](ArrayRule way) { ways.push_back({reader_.add(std::move(way))}); };
  if (rule.least > 0) {
    ArrayRule way;
    way.most = rule.least - 1;
    add(way);
  }
  if (rule.most != kUnbounded) {
    ArrayRule way;
    way.least = rule.most + 1;
    add(way);
  }
  for (std::size_t i = 0; i < rule.prefix.size(); ++i) {
    if (rule.prefix[i] == kTrue) continue;
    ArrayRule way;
    way.prefix.assign(i, kTrue);
    way.prefix.push_back(negated(rule.prefix[i]));
    way.least = static_cast<std::uint32_t>(i + 1);
    add(way);
  }
  if (rule.rest != kTrue) {
    ArrayRule way;
    way.contains = ArrayRule::Contains{negated(rule.rest), static_cast<std::uint32_t>(rule.prefix.size())};
    add(way);
  }
  if (!rule.contains) return ways;
  ArrayRule::Contains contains = *rule.contains;
  if (contains.least > 0) {
    ArrayRule way;
    way.contains = ArrayRule::Contains{contains.item, contains.from, 0, contains.least - 1};
    add(way);
  }
  if (contains.most != kUnbounded) {
    ArrayRule way;
    way.contains = ArrayRule::Contains{contains.item, contains.from, contains.most + 1, kUnbounded};
    add(way);
  }
  return ways;
}

std::vector<RuleSet> Values::not_object(const ObjectRule& rule, const std::string&) {
  std::vector<RuleSet> ways;
  const auto add = [&](ObjectRule way) { ways.push_back({reader_.add(std::move(way))}); };
  const auto exists = [&](ExprId names, Lit value) {
    ObjectRule way;
    way.exists.push_back({names, value});
    add(std::move(way));
  };
  for (const std::string& name : rule.required) {
    ObjectRule way;
    way.properties.emplace_back(name, kFalse);
    add(std::move(way));
  }
  std::vector<ExprId> named;  // names that additionalProperties does not speak of
  for (const auto& [name, lit] : rule.properties) {
    named.push_back(text_language(name));
    if (lit == kTrue) continue;
    ObjectRule way;
    way.properties.emplace_back(name, negated(lit));
    way.required.push_back(name);
    add(std::move(way));
  }
  for (const auto& [language, lit] : rule.patterns) {
    named.push_back(language);
    if (lit != kTrue) exists(language, negated(lit));
  }
  if (rule.additional != kTrue) {
    exists(store_.all_of({plain_string_, store_.complement(store_.any_of(std::move(named)))}),
           negated(rule.additional));
  }
  if (rule.names) exists(store_.all_of({plain_string_, of(normal({negated(*rule.names)})).string}), kTrue);
  if (rule.least > 0) {
    ObjectRule way;
    way.most = rule.least - 1;
    add(std::move(way));
  }
  if (rule.most != kUnbounded) {
    ObjectRule way;
    way.least = rule.most + 1;
    add(std::move(way));
  }
  for (const auto& [name, other] : rule.dependents) {
    ObjectRule way;
    way.required.push_back(name);
    way.properties.emplace_back(other, kFalse);
    add(std::move(way));
  }
  for (const ObjectRule::Exists& one : rule.exists) {
    ObjectRule way;
    way.patterns.emplace_back(one.names, negated(one.value));
    add(std::move(way));
  }
  return ways;
}

bool Values::surely_empty(const Value& value, int depth) {
  if (value.null || value.yes || value.no || store_.live(value.number) || store_.live(value.string)) return false;
  if (depth == 0) return value.arrays.empty() && value.objects.empty();
  try {
    return std::all_of(value.arrays.begin(), value.arrays.end(),
                       [&](const RuleSet& r) { return empty_array(r, depth); }) &&
           std::all_of(value.objects.begin(), value.objects.end(),
                       [&](const RuleSet& r) { return empty_object(r, depth); });
  } catch (const Refusal&) {
    return false;  // is reported where it matters
  }
}

bool Values::empty_lits(const LitSet& lits, int depth) {
  if (lits.empty()) return false;
  return surely_empty(of(lits), depth);
}

bool Values::empty_object(const RuleSet& rules, int depth) {
  std::uint32_t least = 0, most = kUnbounded;
  std::vector<std::string> required;
  for (const std::uint32_t r : rules) {
    const ObjectRule& rule = reader_.object(r);
    least = std::max(least, rule.least);
    most = std::min(most, rule.most);
    required.insert(required.end(), rule.required.begin(), rule.required.end());
  }
  std::sort(required.begin(), required.end());
  required.erase(std::unique(required.begin(), required.end()), required.end());
  if (std::max<std::size_t>(least, required.size()) > most) return true;
  for (const std::string& name : required) {
    LitSet lits;
    for (const std::uint32_t r : rules) member_lits(reader_.object(r), name, lits);
    if (empty_lits(normal(std::move(lits)), depth - 1)) return true;
  }
  return false;
}

bool Values::empty_array(const RuleSet& rules, int depth) {
  std::uint32_t least = 0, most = kUnbounded;
  for (const std::uint32_t r : rules) {
    least = std::max(least, reader_.array(r).least);
    most = std::min(most, reader_.array(r).most);
  }
  if (least > most) return true;
  for (std::uint32_t i = 0; i < std::min(least, 8U); ++i) {
    LitSet lits;
    for (const std::uint32_t r : rules) item_lits(reader_.array(r), i, lits);
    if (empty_lits(normal(std::move(lits)), depth - 1)) return true;
  }
  return false;
}

}  // namespace frugal::grammar
