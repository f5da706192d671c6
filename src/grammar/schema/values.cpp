#include "grammar/schema/values.hpp"

#include "grammar/regex/tree.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

ExprId plain_regex(ExprStore& store, std::string_view pattern) {
  return regex_match(parse_regex(pattern, RegexSyntax::ecma, {}), Alphabet(store, Alphabet::Spelling::utf8));
}

}  // namespace

Values::Values(Reader& reader) : reader_(reader), store_(reader.store()) {
  character_ = json_character(store_);
  string_ = store_.concat(store_.star(character_), store_.byte('"'));
  plain_string_ = reader.strings().any_text();
  number_ = plain_regex(store_, "-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?");
  integer_ = plain_regex(store_, "-?(?:0|[1-9][0-9]*)");
  fraction_ = plain_regex(store_, "-?(?:0|[1-9][0-9]*)\\.[0-9]*[1-9][0-9]*");
}

LitSet Values::normal(LitSet lits) {
  std::sort(lits.begin(), lits.end());
  lits.erase(std::unique(lits.begin(), lits.end()), lits.end());
  if (!lits.empty() && lits.front() == kTrue) lits.erase(lits.begin());
  if (!lits.empty() && lits.front() == kFalse) lits = {kFalse};
  return lits;
}

const Value& Values::of(const LitSet& lits) {
  if (const auto known = sets_.find(lits); known != sets_.end()) return known->second;
  Value value = any();
  for (const Lit lit : lits) value = meet(value, of(lit));
  return sets_.emplace(lits, std::move(value)).first->second;
}

const Value& Values::of(Lit lit) {
  const auto [place, fresh] = known_.emplace(lit, std::nullopt);
  std::optional<Value>& value = place->second;
  if (value) return *value;
  const Schema& schema = reader_.schema(lit / 2);
  if (!fresh) throw Refusal{"$ref", schema.path, "the schema leads back to itself before any value"};
  try {
    value = (lit & 1U) != 0 ? negative(schema) : positive(schema);
  } catch (...) {
    known_.erase(lit);
    throw;
  }
  return *value;
}

Value Values::any() const { return of_types(kAnyType); }

Value Values::of_types(std::uint8_t types) const {
  Value v;
  v.null = (types & kNull) != 0;
  v.yes = v.no = (types & kBoolean) != 0;
  v.number = (types & kNumber) != 0 ? number_ : ((types & kInteger) != 0 ? integer_ : kNothing);
  v.string = (types & kString) != 0 ? string_ : kNothing;
  if ((types & kArray) != 0) v.arrays.emplace_back();
  if ((types & kObject) != 0) v.objects.emplace_back();
  return v;
}

Value Values::positive(const Schema& schema) {
  if (schema.refusal) throw *schema.refusal;
  if (schema.constant) return *schema.constant ? any() : Value{};
  Value v = of_types(schema.types);
  if (schema.value) v = meet(v, of_json(*schema.value, true));
  if (schema.one_of_values) v = meet(v, of_enum(*schema.one_of_values));
  if (!schema.number.empty() && v.number != kNothing) {
    const bool whole = v.number == integer_ && !schema.number.multiples.empty();  // a multiple sees to it by itself
    const ExprId number = numbers(schema.number, whole);
    v.number = v.number == number_ || whole ? number : store_.all_of({v.number, number});
  }
  if (!schema.string.empty() && v.string != kNothing) v.string = meet_strings(v.string, strings(schema.string));
  if (schema.array) v.arrays = meet_rules(v.arrays, {{*schema.array}});
  if (schema.object) v.objects = meet_rules(v.objects, {{*schema.object}});
  for (const Lit lit : schema.all_of) v = meet(v, of(lit));
  for (const auto& branches : schema.any_of) {
    Value sum;
    for (const Lit lit : branches) sum = join(sum, meet(v, of(lit)));
    v = std::move(sum);
  }
  for (const auto& condition_parts : schema.conditions) v = meet(v, condition(condition_parts));
  for (const auto& branches : schema.one_of) v = exactly_one(v, branches, schema.path);
  return v;
}

Value Values::negative(const Schema& schema) {
  if (schema.refusal) throw *schema.refusal;
  if (schema.constant) return *schema.constant ? Value{} : any();
  Value v = of_types(static_cast<std::uint8_t>(~schema.types & kAnyType));
  if ((schema.types & kNumber) == 0) v.number = (schema.types & kInteger) != 0 ? fraction_ : number_;
  if (schema.value) v = join(v, of_json(*schema.value, false));
  if (schema.one_of_values) {
    Value none = any();
    for (const Json& value : *schema.one_of_values) none = meet(none, of_json(value, false));
    v = join(v, none);
  }
  Value part;
  if (!schema.number.empty()) part.number = not_numbers(schema.number);
  if (!schema.string.empty()) part.string = not_strings(schema.string);
  if (schema.array) part.arrays = not_array(reader_.array(*schema.array), schema.path);
  if (schema.object) part.objects = not_object(reader_.object(*schema.object), schema.path);
  v = join(v, part);
  for (const Lit lit : schema.all_of) v = join(v, of(negated(lit)));
  for (const auto& branches : schema.any_of) {
    Value none = any();
    for (const Lit lit : branches) none = meet(none, of(negated(lit)));
    v = join(v, none);
  }
  for (const auto& [test, then, otherwise] : schema.conditions) {
    v = join(v, join(meet(of(test), of(negated(then))), meet(of(negated(test)), of(negated(otherwise)))));
  }
  for (const auto& branches : schema.one_of) v = join(v, not_exactly_one(branches));
  return v;
}

Value Values::condition(const std::array<Lit, 3>& parts) {
  return join(meet(of(parts[0]), of(parts[1])), meet(of(negated(parts[0])), of(parts[2])));
}

// A branch must be told apart only from those it shares a value with.
Value Values::exactly_one(const Value& base, const std::vector<Lit>& lits, const std::string& path) {
  if (lits.size() > reader_.limits().combinations) throw Refusal{"oneOf", path, "too many branches"};
  std::vector<Value> branches;
  for (const Lit lit : lits) branches.push_back(meet(base, of(lit)));
  std::vector<Value> only = branches;
  for (std::size_t i = 0; i < lits.size(); ++i) {
    for (std::size_t j = 0; j < lits.size(); ++j) {
      if (i == j || surely_empty(meet(branches[i], branches[j]))) continue;
      try {
        only[i] = meet(only[i], of(negated(lits[j])));
      } catch (Refusal refusal) {
        refusal.why = "two branches of oneOf overlap, and one of them cannot be negated: " + refusal.why;
        throw refusal;
      }
    }
  }
  Value sum;
  for (const Value& value : only) sum = join(sum, value);
  return sum;
}

Value Values::not_exactly_one(const std::vector<Lit>& lits) {
  Value none = any();
  for (const Lit lit : lits) none = meet(none, of(negated(lit)));
  for (std::size_t i = 0; i < lits.size(); ++i) {
    for (std::size_t j = i + 1; j < lits.size(); ++j) none = join(none, meet(of(lits[i]), of(lits[j])));
  }
  return none;
}

Value Values::meet(const Value& a, const Value& b) {
  Value v;
  v.null = a.null && b.null;
  v.yes = a.yes && b.yes;
  v.no = a.no && b.no;
  const bool any_a = a.number == number_, any_b = b.number == number_;
  v.number = any_a ? b.number : (any_b ? a.number : store_.all_of({a.number, b.number}));
  v.string = meet_strings(a.string, b.string);
  v.arrays = meet_rules(a.arrays, b.arrays);
  v.objects = meet_rules(a.objects, b.objects);
  return v;
}

Value Values::join(const Value& a, const Value& b) {
  Value v = a;
  v.null |= b.null;
  v.yes |= b.yes;
  v.no |= b.no;
  v.number = a.number == number_ || b.number == number_ ? number_ : store_.any_of({a.number, b.number});
  v.string = a.string == string_ || b.string == string_ ? string_ : store_.any_of({a.string, b.string});
  join_rules(v.arrays, b.arrays);
  join_rules(v.objects, b.objects);
  return v;
}

// Two lengths make one, so that the commonest strings stay of the form the vocabulary has slices for.
ExprId Values::meet_strings(ExprId a, ExprId b) {
  if (a == string_) return b;
  if (b == string_) return a;
  const auto length = [&](ExprId e) -> const ExprStore::Node* {
    const ExprStore::Node& n = store_.node(e);
    if (n.kind != ExprStore::Kind::concat || store_.node(n.a).kind != ExprStore::Kind::repeat) return nullptr;
    return store_.node(n.a).a == character_ && n.b == store_.byte('"') ? &store_.node(n.a) : nullptr;
  };
  const ExprStore::Node *one = length(a), *other = length(b);
  if (!one || !other) return store_.all_of({a, b});
  const std::uint32_t least = std::max(one->least(), other->least()), most = std::min(one->most(), other->most());
  return store_.concat(store_.repeat(character_, least, most), store_.byte('"'));
}

std::vector<RuleSet> Values::meet_rules(const std::vector<RuleSet>& a, const std::vector<RuleSet>& b) {
  if (a.size() * b.size() > reader_.limits().combinations) {
    throw Refusal{"allOf", "",
                  "the branches make more than " + std::to_string(reader_.limits().combinations) + " cases"};
  }
  std::vector<RuleSet> both;
  for (const RuleSet& x : a) {
    for (const RuleSet& y : b) {
      RuleSet rules;
      std::set_union(x.begin(), x.end(), y.begin(), y.end(), std::back_inserter(rules));
      join_rules(both, {rules});
    }
  }
  return both;
}

// A set of rules that contains another one accepts less than that one, and adds nothing to it.
void Values::join_rules(std::vector<RuleSet>& a, const std::vector<RuleSet>& b) {
  for (const RuleSet& y : b) {
    const auto holds = [&](const RuleSet& big, const RuleSet& small) {
      return std::includes(big.begin(), big.end(), small.begin(), small.end());
    };
    if (std::any_of(a.begin(), a.end(), [&](const RuleSet& x) { return holds(y, x); })) continue;
    a.erase(std::remove_if(a.begin(), a.end(), [&](const RuleSet& x) { return holds(x, y); }), a.end());
    a.push_back(y);
  }
  if (a.size() > reader_.limits().combinations) {
    throw Refusal{"anyOf", "",
                  "the branches make more than " + std::to_string(reader_.limits().combinations) + " cases"};
  }
}

}  // namespace frugal::grammar
