// The table of an object: its known members one by one, and all other names in classes by the patterns they match.
#include "grammar/schema/tables.hpp"

#include <algorithm>
#include <unordered_map>

namespace frugal::grammar {

std::uint32_t Tables::object_of(const RuleSet& rules) {
  const auto [known, fresh] = objects_.emplace(rules, static_cast<std::uint32_t>(program_.objects.size()));
  if (!fresh) return known->second;
  ObjectTable table;
  std::vector<Exists> exists;
  for (const std::uint32_t r : rules) {
    const ObjectRule& rule = values_.reader().object(r);
    table.least = std::max(table.least, rule.least);
    table.most = std::min(table.most, rule.most);
    table.in_order |= rule.in_order;
    for (const ObjectRule::Exists& one : rule.exists) exists.push_back({one.names, one.value});
  }
  constexpr std::size_t kMostObligations = 8;
  if (exists.size() > kMostObligations) throw Refusal{"not", "", "more than eight members that must exist"};
  table.obligations = (1U << exists.size()) - 1;
  program_.objects.emplace_back();  // holds its place: members may be objects of the same rules
  Spelled spelled;
  add_members(rules, exists, table, spelled);
  table.ordered = static_cast<std::uint32_t>(table.members.size());
  add_classes(rules, exists, table);
  name_few(table, spelled);
  table.names = NameTrie::of(spelled);
  table.tied = table.obligations != 0 || !table.dependents.empty() || (table.in_order && table.least > 0);
  program_.objects[known->second] = std::move(table);
  return known->second;
}

// A member meets any of the obligations that its name can, or none: the text is read in each of these ways.
std::vector<ObjectTable::Choice> Tables::choices(const LitSet& lits, const std::vector<Exists>& exists,
                                                 const std::vector<std::uint32_t>& possible) {
  constexpr std::size_t kMostAtOnce = 3;
  if (possible.size() > kMostAtOnce) throw Refusal{"not", "", "a member with more than three roles"};
  std::vector<ObjectTable::Choice> found;
  for (std::uint32_t subset = 0; subset < (1U << possible.size()); ++subset) {
    LitSet with = lits;
    std::uint32_t meets = 0;
    for (std::size_t i = 0; i < possible.size(); ++i) {
      if (((subset >> i) & 1) == 0) continue;
      with.push_back(exists[possible[i]].value);
      meets |= 1U << possible[i];
    }
    found.push_back({meets, value_of(std::move(with))});
  }
  return found;
}

// A class of few names becomes members, so that it is known when all of them have come.
void Tables::name_few(ObjectTable& table, Spelled& spelled) {
  constexpr std::size_t kFew = 256;
  std::erase_if(table.classes, [&](const ObjectTable::NameClass& names) {
    const auto texts = store_.texts(names.name, kFew);
    if (!texts) return false;
    std::unordered_map<std::string, std::uint32_t> known;
    for (const std::string& text : *texts) {
      const std::string name = parse_json(text, program_.limits).text;
      const auto [at, fresh] = known.emplace(name, static_cast<std::uint32_t>(table.members.size()));
      if (fresh) table.members.push_back({name, false, names.choices});
      spelled.emplace_back(text, at->second);
    }
    return true;
  });
}

void Tables::add_members(const RuleSet& rules, const std::vector<Exists>& exists, ObjectTable& table,
                         Spelled& spelled) {
  std::unordered_map<std::string, std::uint32_t> index;
  const auto member = [&](const std::string& name) {
    const auto [at, fresh] = index.emplace(name, static_cast<std::uint32_t>(table.members.size()));
    if (fresh) table.members.push_back({name});
    return at->second;
  };
  std::unordered_map<std::uint32_t, LitSet> named;  // by member: what `properties` say
  std::vector<std::vector<bool>> has;               // by rule: which members it names
  for (const std::uint32_t r : rules) {
    for (const auto& [name, lit] : values_.reader().object(r).properties) named[member(name)].push_back(lit);
  }
  for (const std::uint32_t r : rules) {
    const ObjectRule& rule = values_.reader().object(r);
    for (const std::string& name : rule.required) table.members[member(name)].required = true;
    for (const auto& [name, other] : rule.dependents) table.dependents.emplace_back(member(name), member(other));
  }
  for (const std::uint32_t r : rules) {
    has.emplace_back(table.members.size(), false);
    for (const auto& [name, lit] : values_.reader().object(r).properties) has.back()[index[name]] = true;
  }
  for (std::uint32_t m = 0; m < table.members.size(); ++m) {
    const std::string& name = table.members[m].name;
    const std::string written = json_spelling(name, false) + '"', in_ascii = json_spelling(name, true) + '"';
    spelled.emplace_back('"' + written, m);
    if (in_ascii != written) spelled.emplace_back('"' + in_ascii, m);
    LitSet lits = named[m];
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const ObjectRule& rule = values_.reader().object(rules[i]);
      bool spoken_of = has[i][m];
      for (const auto& [language, lit] : rule.patterns) {
        if (!store_.contains(language, written)) continue;
        lits.push_back(lit);
        spoken_of = true;
      }
      if (!spoken_of) lits.push_back(rule.additional);
      if (rule.names && !store_.contains(values_.name_language(rule), written)) lits.push_back(kFalse);
    }
    std::vector<std::uint32_t> possible;
    for (std::uint32_t e = 0; e < exists.size(); ++e) {
      if (store_.contains(exists[e].names, written)) possible.push_back(e);
    }
    table.members[m].choices = choices(lits, exists, possible);
  }
}

void Tables::add_classes(const RuleSet& rules, const std::vector<Exists>& exists, ObjectTable& table) {
  struct Class {
    ExprId names;
    std::vector<ExprId> in;  // the languages that all of its names are in
  };
  std::vector<ExprId> base{values_.reader().strings().any_text()}, languages;
  std::vector<std::string> plain;
  for (const ObjectTable::Member& member : table.members) {
    const std::string written = json_spelling(member.name, true);
    if (written == member.name) {
      plain.push_back(written + '"');
    } else {
      base.push_back(store_.complement(values_.text_language(member.name)));
    }
  }
  if (!plain.empty()) base.push_back(store_.complement(store_.counter(one_of_literals(std::move(plain)))));
  for (const std::uint32_t r : rules) {
    const ObjectRule& rule = values_.reader().object(r);
    if (rule.names) base.push_back(values_.name_language(rule));
    for (const auto& [language, lit] : rule.patterns) languages.push_back(language);
  }
  for (const Exists& one : exists) languages.push_back(one.names);
  std::sort(languages.begin(), languages.end());
  languages.erase(std::unique(languages.begin(), languages.end()), languages.end());
  std::vector<Class> classes{{store_.all_of(std::move(base)), {}}};
  for (const ExprId language : languages) {
    std::vector<Class> split;
    for (const Class& c : classes) {
      Class in{store_.all_of({c.names, language}), c.in},
          out{store_.all_of({c.names, store_.complement(language)}), c.in};
      in.in.push_back(language);
      if (store_.live(in.names)) split.push_back(std::move(in));
      if (store_.live(out.names)) split.push_back(std::move(out));
    }
    classes = std::move(split);
    if (classes.size() > program_.limits.combinations)
      throw Refusal{"patternProperties", "", "too many overlapping patterns"};
  }
  for (const Class& c : classes) {
    const auto is_in = [&](ExprId language) { return std::find(c.in.begin(), c.in.end(), language) != c.in.end(); };
    LitSet lits;
    for (const std::uint32_t r : rules) {
      const ObjectRule& rule = values_.reader().object(r);
      bool spoken_of = false;
      for (const auto& [language, lit] : rule.patterns) {
        if (!is_in(language)) continue;
        lits.push_back(lit);
        spoken_of = true;
      }
      if (!spoken_of) lits.push_back(rule.additional);
    }
    if (std::find(lits.begin(), lits.end(), kFalse) != lits.end() || !store_.live(c.names)) continue;
    std::vector<std::uint32_t> possible;
    for (std::uint32_t e = 0; e < exists.size(); ++e) {
      if (is_in(exists[e].names)) possible.push_back(e);
    }
    table.classes.push_back({store_.concat(store_.byte('"'), c.names), choices(lits, exists, possible)});
  }
}

}  // namespace frugal::grammar
