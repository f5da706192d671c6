#include "grammar/schema/tables.hpp"

#include <algorithm>

namespace frugal::grammar {

ValueId Tables::value_of(LitSet lits) {
  lits = Values::normal(std::move(lits));
  const auto [known, fresh] = known_.emplace(lits, base_ + static_cast<ValueId>(lits_.size()));
  if (fresh) {
    if (lits_.size() >= program_.limits.values) over_limit("the schema has too many kinds of values");
    lits_.push_back(std::move(lits));
  }
  return known->second;
}

bool Tables::finish(ValueId root) {
  for (std::size_t i = 0; i < lits_.size(); ++i) build(base_ + static_cast<ValueId>(i));
  if (!program_.refusals.empty()) return true;
  prune();
  return value_lives_[root];
}

void Tables::build(ValueId id) {
  program_.values.emplace_back();
  try {
    const Value& value = values_.of(lits_[id - base_]);
    ValueNode node;
    node.scalar = scalar_of(value);
    for (const RuleSet& rules : value.arrays) node.arrays.push_back(array_of(rules));
    for (const RuleSet& rules : value.objects) node.objects.push_back(object_of(rules));
    program_.values[id] = std::move(node);
  } catch (const Refusal& refusal) {
    auto& all = program_.refusals;
    if (std::find(all.begin(), all.end(), refusal) == all.end()) all.push_back(refusal);
  }
}

ExprId Tables::scalar_of(const Value& value) {
  std::vector<ExprId> parts;
  if (value.null) parts.push_back(store_.literal("null"));
  if (value.yes) parts.push_back(store_.literal("true"));
  if (value.no) parts.push_back(store_.literal("false"));
  if (store_.live(value.number)) parts.push_back(value.number);
  if (store_.live(value.string)) parts.push_back(store_.concat(store_.byte('"'), value.string));
  return store_.any_of(std::move(parts));
}

std::uint32_t Tables::array_of(const RuleSet& rules) {
  const auto [known, fresh] = arrays_.emplace(rules, static_cast<std::uint32_t>(program_.arrays.size()));
  if (!fresh) return known->second;
  ArrayTable table;
  std::size_t prefix = 0;
  for (const std::uint32_t r : rules) {
    const ArrayRule& rule = values_.reader().array(r);
    prefix = std::max(prefix, rule.prefix.size());
    table.least = std::max(table.least, rule.least);
    table.most = std::min(table.most, rule.most);
    table.unique |= rule.unique;
    if (!rule.contains) continue;
    if (rule.contains->least == 0 && rule.contains->most == kUnbounded) continue;
    constexpr std::uint32_t kMostCounted = 0xFFFF;
    if (rule.contains->least > kMostCounted ||
        (rule.contains->most != kUnbounded && rule.contains->most >= kMostCounted)) {
      throw Refusal{"contains", "", "a count beyond 65,534"};
    }
    table.contains.push_back({rule.contains->from, rule.contains->least, rule.contains->most});
    prefix = std::max<std::size_t>(prefix, rule.contains->from);
  }
  if (table.contains.size() > 2) throw Refusal{"contains", "", "more than two at one place"};
  program_.arrays.emplace_back();  // holds its place: items may be arrays of the same rules
  for (std::uint32_t i = 0; i < prefix; ++i) table.prefix.push_back(item_choices(rules, i));
  table.rest = item_choices(rules, static_cast<std::uint32_t>(prefix));
  program_.arrays[known->second] = std::move(table);
  return known->second;
}

// With a "contains", an item either meets it or, where the meetings have an upper bound, does not; without such a bound
// an item that meets it need not be counted.
std::vector<ArrayTable::Choice> Tables::item_choices(const RuleSet& rules, std::uint32_t index) {
  LitSet lits;
  std::vector<ArrayRule::Contains> contains;
  for (const std::uint32_t r : rules) {
    const ArrayRule& rule = values_.reader().array(r);
    values_.item_lits(rule, index, lits);
    if (rule.contains && (rule.contains->least > 0 || rule.contains->most != kUnbounded))
      contains.push_back(*rule.contains);
  }
  std::vector<ArrayTable::Choice> choices;
  for (std::uint32_t meets = 0; meets < (1U << contains.size()); ++meets) {
    LitSet with = lits;
    bool possible = true;
    for (std::uint32_t c = 0; c < contains.size(); ++c) {
      const bool met = ((meets >> c) & 1) != 0;
      if (index < contains[c].from) {
        possible &= !met;
      } else if (met) {
        with.push_back(contains[c].item);
      } else if (contains[c].most != kUnbounded) {
        with.push_back(negated(contains[c].item));
      }
    }
    if (possible) choices.push_back({meets, value_of(std::move(with))});
  }
  return choices;
}

// What can be met at the least: values by their scalars, then what is made of those, until nothing is added.
void Tables::prune() {
  value_lives_.assign(program_.values.size(), false);
  array_lives_.assign(program_.arrays.size(), false);
  object_lives_.assign(program_.objects.size(), false);
  for (bool changed = true; changed;) {
    changed = false;
    const auto mark = [&](std::vector<bool>& lives, std::size_t i, bool now) {
      if (lives[i] || !now) return;
      lives[i] = true;
      changed = true;
    };
    for (std::size_t i = 0; i < program_.arrays.size(); ++i) mark(array_lives_, i, array_lives(program_.arrays[i]));
    for (std::size_t i = 0; i < program_.objects.size(); ++i) mark(object_lives_, i, object_lives(program_.objects[i]));
    for (std::size_t i = 0; i < program_.values.size(); ++i) {
      const ValueNode& node = program_.values[i];
      const auto any = [](const std::vector<std::uint32_t>& ids, const std::vector<bool>& lives) {
        return std::any_of(ids.begin(), ids.end(), [&](std::uint32_t id) { return lives[id]; });
      };
      mark(value_lives_, i,
           node.scalar != kNothing || any(node.arrays, array_lives_) || any(node.objects, object_lives_));
    }
  }
  drop_dead();
}

// False where it is certain that the items have fewer values than there must be items.
bool Tables::has_different(const ArrayTable& table, std::uint32_t least) {
  std::size_t texts = 0;
  for (const ArrayTable::Choice& choice : table.rest) {
    const ValueNode& node = program_.values[choice.value];
    const auto few = node.arrays.empty() && node.objects.empty() ? store_.texts(node.scalar, 256) : std::nullopt;
    if (!few) return true;
    texts += few->size();
  }
  return texts >= least;
}

bool Tables::array_lives(const ArrayTable& table) {
  std::uint32_t least = table.least;
  for (const ArrayTable::Contains& c : table.contains) {
    if (c.least > c.most) return false;
    if (c.least > 0) least = std::max(least, c.from + c.least);
  }
  if (least > table.most) return false;
  if (table.unique && table.prefix.empty() && least > 1 && !has_different(table, least)) return false;
  const std::uint32_t looked_at = std::min<std::uint32_t>(least, static_cast<std::uint32_t>(table.prefix.size()) + 1);
  for (std::uint32_t i = 0; i < looked_at; ++i) {
    const auto& item = table.item(i);
    if (std::none_of(item.begin(), item.end(), [&](const auto& choice) { return value_lives_[choice.value]; }))
      return false;
  }
  for (std::uint32_t c = 0; c < table.contains.size(); ++c) {
    if (table.contains[c].least == 0) continue;
    const auto meets = [&](const auto& choice) { return ((choice.meets >> c) & 1) != 0 && value_lives_[choice.value]; };
    bool somewhere = std::any_of(table.rest.begin(), table.rest.end(), meets);
    for (const auto& item : table.prefix) somewhere |= std::any_of(item.begin(), item.end(), meets);
    if (!somewhere) return false;
  }
  return true;
}

bool Tables::object_lives(const ObjectTable& table) const {
  const auto live = [&](const ObjectTable::Choice& choice) { return value_lives_[choice.value]; };
  std::size_t required = 0, possible = 0;
  std::uint32_t met = 0;
  const auto look = [&](const std::vector<ObjectTable::Choice>& choices) {
    for (const ObjectTable::Choice& choice : choices) met |= live(choice) ? choice.meets : 0;
    return std::any_of(choices.begin(), choices.end(), live);
  };
  for (const ObjectTable::Member& member : table.members) {
    const bool can = look(member.choices);
    if (member.required && !can) return false;
    required += member.required ? 1 : 0;
    possible += can ? 1 : 0;
  }
  for (const ObjectTable::NameClass& names : table.classes) {
    if (look(names.choices)) possible = kUnbounded;
  }
  return std::max<std::size_t>(required, table.least) <= table.most && possible >= table.least &&
         (table.obligations & ~met) == 0;
}

void Tables::drop_dead() {
  const auto drop = [&](auto& choices) {
    std::erase_if(choices, [&](const auto& choice) { return !value_lives_[choice.value]; });
  };
  for (ArrayTable& table : program_.arrays) {
    for (auto& item : table.prefix) drop(item);
    drop(table.rest);
  }
  for (ObjectTable& table : program_.objects) {
    for (ObjectTable::Member& member : table.members) drop(member.choices);
    for (ObjectTable::NameClass& names : table.classes) drop(names.choices);
    std::erase_if(table.classes, [](const ObjectTable::NameClass& names) { return names.choices.empty(); });
  }
  for (ValueNode& node : program_.values) {
    std::erase_if(node.arrays, [&](std::uint32_t id) { return !array_lives_[id]; });
    std::erase_if(node.objects, [&](std::uint32_t id) { return !object_lives_[id]; });
  }
}

}  // namespace frugal::grammar
