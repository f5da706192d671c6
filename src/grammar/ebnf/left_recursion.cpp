// Rules that begin with themselves would be entered without end. They are rewritten (M. Paull's method): a ::= a x | y
// becomes a ::= y r, r ::= | x r, after rules that begin with each other have been put into one another.
#include "grammar/ebnf/tree.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

using Production = std::vector<Symbol>;

bool begins_with(const Production& production, std::uint32_t rule) {
  return !production.empty() && production[0].kind == Symbol::Kind::rule && production[0].id == rule;
}

class Rewriting {
 public:
  explicit Rewriting(Program& program) : program_(program) {
    for (const auto& rule : program.rules) {
      rules_.emplace_back();
      for (const std::uint32_t p : rule) rules_.back().push_back(program.productions[p]);
    }
  }

  void run() {
    const std::size_t count = rules_.size();
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!on_circle(i)) continue;
      for (std::uint32_t j = 0; j < i; ++j) {
        if (on_circle(j)) replace_head(i, j);
      }
      remove_direct(i);
    }
    program_.productions.clear();
    program_.rules.clear();
    for (auto& rule : rules_) {
      program_.rules.emplace_back();
      for (Production& production : rule) {
        program_.rules.back().push_back(static_cast<std::uint32_t>(program_.productions.size()));
        program_.productions.push_back(std::move(production));
      }
    }
  }

 private:
  // The rule can be the first symbol of what it derives.
  bool on_circle(std::uint32_t rule) const {
    std::vector<bool> seen(rules_.size(), false);
    std::vector<std::uint32_t> open{rule};
    while (!open.empty()) {
      const std::uint32_t r = open.back();
      open.pop_back();
      for (const Production& production : rules_[r]) {
        if (production.empty() || production[0].kind != Symbol::Kind::rule) continue;
        const std::uint32_t next = production[0].id;
        if (next == rule) return true;
        if (!seen[next]) open.push_back(next);
        seen[next] = true;
      }
    }
    return false;
  }

  void replace_head(std::uint32_t rule, std::uint32_t head) {
    std::vector<Production> replaced;
    for (const Production& production : rules_[rule]) {
      if (!begins_with(production, head)) {
        replaced.push_back(production);
        continue;
      }
      for (Production longer : rules_[head]) {
        longer.insert(longer.end(), production.begin() + 1, production.end());
        replaced.push_back(std::move(longer));
      }
      if (replaced.size() > 10'000) over_limit("a grammar whose left recursion needs more than 10,000 productions");
    }
    rules_[rule] = std::move(replaced);
  }

  void remove_direct(std::uint32_t rule) {
    std::vector<Production> heads, tails{{}};
    const Symbol rest{Symbol::Kind::rule, static_cast<std::uint32_t>(rules_.size())};
    for (const Production& production : rules_[rule]) {
      Production with_rest(production.begin() + (begins_with(production, rule) ? 1 : 0), production.end());
      if (begins_with(production, rule) && with_rest.empty()) continue;  // a ::= a says nothing
      with_rest.push_back(rest);
      (begins_with(production, rule) ? tails : heads).push_back(std::move(with_rest));
    }
    if (tails.size() == 1) return;
    rules_[rule] = std::move(heads);
    rules_.push_back(std::move(tails));
  }

  Program& program_;
  std::vector<std::vector<Production>> rules_;
};

}  // namespace

void remove_left_recursion(Program& program) { Rewriting(program).run(); }

// Rules that no text can end are taken out, with all productions that need them.
void remove_endless_rules(Program& program) {
  std::vector<bool> ends(program.rules.size(), false);
  const auto symbol_ends = [&](const Symbol& s) {
    if (s.kind == Symbol::Kind::terminal) return program.store.live(s.id);
    return s.kind == Symbol::Kind::value || ends[s.id];
  };
  const auto production_ends = [&](std::uint32_t p) {
    return std::all_of(program.productions[p].begin(), program.productions[p].end(), symbol_ends);
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t r = 0; r < program.rules.size(); ++r) {
      if (ends[r] || !std::any_of(program.rules[r].begin(), program.rules[r].end(), production_ends)) continue;
      ends[r] = changed = true;
    }
  }
  for (auto& rule : program.rules) std::erase_if(rule, [&](std::uint32_t p) { return !production_ends(p); });
  for (const Symbol& s : program.start) {
    if (!symbol_ends(s)) throw Error(Errc::invalid_argument, "grammar: no text is allowed");
  }
}

}  // namespace frugal::grammar
