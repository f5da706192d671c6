// unevaluatedProperties, unevaluatedItems: what they speak of depends on which schemas at the same place hold. So the
// schema becomes a choice between cases. In each case it is known which branches hold, and so which members and items
// are evaluated; the keyword is additionalProperties or items for the rest.
//
// A case asks for the branches it counts on and does not forbid the others: where more of them hold, more is evaluated,
// and the case that counts on them as well allows more. Only `if` has to fail for `else`.
#include "grammar/schema/reader.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

struct Evaluated {
  std::vector<std::string> names{}, patterns{};
  std::uint32_t items = 0;       ///< the first so many
  std::vector<Lit> contained{};  ///< and those that meet one of these
  bool all_members = false, all_items = false;
};

struct Case {
  std::vector<Lit> lits{};  ///< that must hold
  Evaluated evaluated{};
};
using Cases = std::vector<Case>;

Case both(const Case& a, const Case& b) {
  Case c = a;
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(c.lits, b.lits);
  append(c.evaluated.names, b.evaluated.names);
  append(c.evaluated.patterns, b.evaluated.patterns);
  append(c.evaluated.contained, b.evaluated.contained);
  c.evaluated.items = std::max(a.evaluated.items, b.evaluated.items);
  c.evaluated.all_members |= b.evaluated.all_members;
  c.evaluated.all_items |= b.evaluated.all_items;
  return c;
}

class Finder {
 public:
  explicit Finder(const Reader::Place& at) : at_(at) {}

  /// The cases of a schema that is at hand anyway; `nested`: its own unevaluated... count.
  Cases of(const Json& schema, bool nested) {
    Cases cases{Case{}};
    if (!schema.is(Json::Kind::object)) return cases;
    constexpr std::size_t kDeepest = 64;
    if (++depth_ > kDeepest) at_.refuse("schemas at the same place are nested too deep, or lead back to themselves");
    add_members(schema, nested, cases[0].evaluated);
    add_items(schema, nested, cases[0].evaluated);
    add_references(schema, cases);
    if (const Json* list = keyword(schema, "allOf")) {
      for (const Json& branch : list->items) multiply(cases, of(branch, true));
    }
    if (const Json* list = keyword(schema, "anyOf")) {
      for (const Json& branch : list->items) multiply(cases, perhaps(at_.schema_of(branch), branch));
    }
    if (const Json* list = keyword(schema, "oneOf")) add_one_of(*list, cases);
    if (const Json* test = keyword(schema, "if")) add_condition(schema, *test, cases);
    if (const Json* by_name = keyword(schema, "dependentSchemas")) {
      for (const auto& [name, branch] : by_name->members) multiply(cases, perhaps(required(name), branch));
    }
    --depth_;
    return cases;
  }

 private:
  const Json* keyword(const Json& schema, std::string_view name) const {
    return at_.reader.options().lenient.contains(std::string(name)) ? nullptr : schema.find(name);
  }

  void add_members(const Json& schema, bool nested, Evaluated& out) const {
    if (const Json* by_name = keyword(schema, "properties")) {
      for (const auto& [name, value] : by_name->members) out.names.push_back(name);
    }
    if (const Json* by_pattern = keyword(schema, "patternProperties")) {
      for (const auto& [pattern, value] : by_pattern->members) out.patterns.push_back(pattern);
    }
    out.all_members |= keyword(schema, "additionalProperties") || (nested && keyword(schema, "unevaluatedProperties"));
  }

  void add_items(const Json& schema, bool nested, Evaluated& out) const {
    const Json *items = keyword(schema, "items"), *prefix = keyword(schema, "prefixItems");
    const bool list = items && items->is(Json::Kind::array);
    if (list) prefix = items;
    if (prefix) out.items = static_cast<std::uint32_t>(prefix->items.size());
    out.all_items |= (items && !list) || (list && keyword(schema, "additionalItems")) ||
                     (nested && keyword(schema, "unevaluatedItems"));
    const Json* contains = at_.reader.document().draft() >= 2020 ? keyword(schema, "contains") : nullptr;
    if (contains) out.contained.push_back(at_.schema_of(*contains));
  }

  void add_references(const Json& schema, Cases& cases) {
    for (const char* name : {"$ref", "$dynamicRef", "$recursiveRef"}) {
      const Json* ref = keyword(schema, name);
      if (!ref) continue;
      const Refusal fault{name, at_.reader.document().path(schema), ""};
      const Document& document = at_.reader.document();
      const bool fixed = std::string_view(name) == "$ref";
      multiply(cases, of(fixed ? document.resolve(schema, at_.string(*ref), fault)
                               : document.resolve_dynamic(schema, at_.string(*ref), fault),
                         true));
    }
  }

  void add_one_of(const Json& list, Cases& cases) {
    Cases one;
    for (const Json& branch : list.items) {
      Cases found = of(branch, true);
      for (Case& c : found) c.lits.push_back(at_.schema_of(branch)), one.push_back(std::move(c));
    }
    multiply(cases, one);
  }

  void add_condition(const Json& schema, const Json& test, Cases& cases) {
    const Json *then = keyword(schema, "then"), *otherwise = keyword(schema, "else");
    Cases holds = of(test, true), fails{Case{}};
    if (then) multiply(holds, of(*then, true));
    if (otherwise) fails = of(*otherwise, true);
    for (Case& c : holds) c.lits.push_back(at_.schema_of(test));
    for (Case& c : fails) c.lits.push_back(negated(at_.schema_of(test)));
    holds.insert(holds.end(), fails.begin(), fails.end());
    multiply(cases, holds);
  }

  /// The branch is counted on, under a condition, or it is not.
  Cases perhaps(Lit condition, const Json& branch) {
    Cases cases = of(branch, true);
    for (Case& c : cases) c.lits.insert(c.lits.end(), {condition, at_.schema_of(branch)});
    cases.push_back({});
    return cases;
  }

  Lit required(const std::string& name) const {
    ObjectRule rule;
    rule.required.push_back(name);
    Schema schema;
    schema.read = true;
    schema.types = kObject;
    schema.object = at_.reader.add(std::move(rule));
    return at_.reader.add(std::move(schema));
  }

  void multiply(Cases& cases, const Cases& by) const {
    const std::size_t most = at_.reader.limits().combinations;
    if (cases.size() * by.size() > most)
      at_.refuse("the branches at the same place make more than " + std::to_string(most) + " cases");
    Cases all;
    for (const Case& a : cases) {
      for (const Case& b : by) all.push_back(both(a, b));
    }
    cases = std::move(all);
  }

  const Reader::Place& at_;
  std::size_t depth_ = 0;
};

// The rule for one case: what is not evaluated meets `rest`.
using Restrict = void (*)(const Reader::Place& at, const Evaluated& evaluated, Lit rest, Schema& out);

void restrict_members(const Reader::Place& at, const Evaluated& evaluated, Lit rest, Schema& out) {
  if (evaluated.all_members) return;
  ObjectRule rule;
  for (const std::string& name : evaluated.names) rule.properties.emplace_back(name, kTrue);
  for (const std::string& pattern : evaluated.patterns) rule.patterns.emplace_back(at.pattern(pattern), kTrue);
  rule.additional = rest;
  out.object = at.reader.add(std::move(rule));
}

void restrict_items(const Reader::Place& at, const Evaluated& evaluated, Lit rest, Schema& out) {
  if (evaluated.all_items) return;
  ArrayRule rule;
  rule.prefix.assign(evaluated.items, kTrue);
  rule.rest = rest;
  if (!evaluated.contained.empty()) {
    Schema either;
    either.read = true;
    either.any_of.push_back(evaluated.contained);
    either.any_of.back().push_back(rest);
    rule.rest = at.reader.add(std::move(either));
  }
  out.array = at.reader.add(std::move(rule));
}

void add_cases(const Reader::Place& at, const Json& value, Restrict restrict) {
  const Lit rest = at.schema_of(value);
  if (rest == kTrue) return;
  std::vector<Lit> branches;
  for (const Case& c : Finder(at).of(at.source, false)) {
    Schema one;
    one.read = true;
    one.path = at.schema.path;
    one.all_of = c.lits;
    restrict(at, c.evaluated, rest, one);
    branches.push_back(at.reader.add(std::move(one)));
  }
  at.schema.any_of.push_back(std::move(branches));
}

}  // namespace

void unevaluated_properties(const Reader::Place& at, const Json& value) { add_cases(at, value, restrict_members); }
void unevaluated_items(const Reader::Place& at, const Json& value) { add_cases(at, value, restrict_items); }

}  // namespace frugal::grammar
