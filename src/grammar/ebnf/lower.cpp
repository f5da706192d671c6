// From rules to productions.
#include "grammar/compile.hpp"
#include "grammar/ebnf/tree.hpp"

#include <algorithm>
#include <functional>
#include <set>

namespace frugal::grammar {

namespace {

using Kind = EbnfNode::Kind;

class Lowering {
 public:
  Lowering(const Ebnf& grammar, Program& program) : grammar_(grammar), program_(program), store_(program.store) {}

  Symbol start() {
    const auto rule = grammar_.rules.find(grammar_.start);
    if (rule == grammar_.rules.end())
      throw Error(Errc::invalid_argument, "grammar: the rule " + grammar_.start + " is missing");
    ignored_ = grammar_.ignored.parts.empty() ? kEmptyText : store_.star(expression(grammar_.ignored, false));
    find_recursive();
    Symbol whole = symbol_of(rule->first);
    if (ignored_ == kEmptyText) return whole;
    return rule_of({{{Symbol::Kind::terminal, ignored_}, whole}});
  }

 private:
  // Rules that a rule can lead to; those that lead to themselves are recursive, and so is what leads to them.
  void find_recursive() {
    enum class Mark { open, done };
    std::map<std::string, Mark> marks;
    std::function<bool(const std::string&)> visit;
    std::function<bool(const EbnfNode&)> look = [&](const EbnfNode& node) {
      bool found = node.kind == Kind::rule && visit(node.rule);
      for (const EbnfNode& part : node.parts) found |= look(part);
      return found;
    };
    std::size_t depth = 0;
    visit = [&](const std::string& name) {
      const auto rule = grammar_.rules.find(name);
      if (rule == grammar_.rules.end())
        throw Error(Errc::invalid_argument, "grammar: the rule " + name + " is missing");
      const auto [mark, fresh] = marks.emplace(name, Mark::open);
      if (!fresh) return mark->second == Mark::open || recursive_.contains(name);
      if (++depth > 2'000) over_limit("rules nested deeper than 2,000");
      if (look(rule->second)) recursive_.insert(name);
      --depth;
      mark->second = Mark::done;
      return recursive_.contains(name);
    };
    for (const auto& [name, rule] : grammar_.rules) (void)visit(name);
    // A rule that was done before another on its circle was known to be recursive.
    for (bool changed = true; changed;) {
      changed = false;
      std::function<bool(const EbnfNode&)> leads = [&](const EbnfNode& node) {
        bool found = node.kind == Kind::rule && recursive_.contains(node.rule);
        for (const EbnfNode& part : node.parts) found |= leads(part);
        return found;
      };
      for (const auto& [name, rule] : grammar_.rules) changed |= leads(rule) && recursive_.insert(name).second;
    }
  }

  bool is_regular(const EbnfNode& node) const {
    if (node.kind == Kind::rule) return !recursive_.contains(node.rule);
    return std::all_of(node.parts.begin(), node.parts.end(), [&](const EbnfNode& part) { return is_regular(part); });
  }

  // Of a regular node. `spaced`: what is ignored may follow each terminal.
  ExprId expression(const EbnfNode& node, bool spaced) {
    switch (node.kind) {
      case Kind::text:
        return spaced ? store_.concat(node.text, ignored_) : node.text;
      case Kind::rule: {
        const bool terminal = node.rule[0] >= 'A' && node.rule[0] <= 'Z' && ignored_ != kEmptyText;
        const auto key = std::pair(node.rule, spaced);
        if (const auto known = expressions_.find(key); known != expressions_.end()) return known->second;
        const auto rule = grammar_.rules.find(node.rule);
        if (rule == grammar_.rules.end()) ebnf_missing(node.rule);
        ExprId e = expression(rule->second, spaced && !terminal);
        if (spaced && terminal) e = store_.concat(e, ignored_);
        return expressions_[key] = e;
      }
      case Kind::repeat:
        return store_.repeat(expression(node.parts[0], spaced), node.least, node.most);
      default:
        break;
    }
    std::vector<ExprId> parts;
    for (const EbnfNode& part : node.parts) parts.push_back(expression(part, spaced));
    if (node.kind == Kind::choice) return store_.any_of(std::move(parts));
    ExprId e = kEmptyText;
    for (std::size_t i = parts.size(); i-- > 0;) e = store_.concat(parts[i], e);
    return e;
  }

  [[noreturn]] static void ebnf_missing(const std::string& name) {
    throw Error(Errc::invalid_argument, "grammar: the rule " + name + " is missing");
  }

  Symbol symbol_of(const std::string& name) {
    EbnfNode reference{Kind::rule};
    reference.rule = name;
    return symbol(reference);
  }

  Symbol symbol(const EbnfNode& node) {
    if (is_regular(node)) return {Symbol::Kind::terminal, expression(node, true)};
    switch (node.kind) {
      case Kind::rule: {
        const auto [known, fresh] = rules_.emplace(node.rule, static_cast<std::uint32_t>(program_.rules.size()));
        if (fresh) {
          program_.rules.emplace_back();
          fill(known->second, alternatives(grammar_.rules.at(node.rule)));
        }
        return {Symbol::Kind::rule, rules_[node.rule]};
      }
      case Kind::repeat:
        return repeat(node);
      default:
        return rule_of(alternatives(node));
    }
  }

  std::vector<std::vector<Symbol>> alternatives(const EbnfNode& node) {
    std::vector<std::vector<Symbol>> found;
    if (node.kind == Kind::choice) {
      for (const EbnfNode& part : node.parts) {
        for (auto& production : alternatives(part)) found.push_back(std::move(production));
      }
    } else if (node.kind == Kind::sequence) {
      found.emplace_back();
      for (const EbnfNode& part : node.parts) found.back().push_back(symbol(part));
    } else {
      found.push_back({symbol(node)});
    }
    return found;
  }

  void fill(std::uint32_t rule, std::vector<std::vector<Symbol>> productions) {
    constexpr std::size_t kMostProductions = 100'000;
    if (program_.productions.size() + productions.size() > kMostProductions)
      over_limit("a grammar of more than 100,000 productions");
    for (auto& production : productions) {
      program_.rules[rule].push_back(static_cast<std::uint32_t>(program_.productions.size()));
      program_.productions.push_back(std::move(production));
    }
  }

  Symbol rule_of(std::vector<std::vector<Symbol>> productions) {
    const auto rule = static_cast<std::uint32_t>(program_.rules.size());
    program_.rules.emplace_back();
    fill(rule, std::move(productions));
    return {Symbol::Kind::rule, rule};
  }

  // x{m,n}: m times x, then n - m nested options, or a list without end.
  Symbol repeat(const EbnfNode& node) {
    constexpr std::uint32_t kMostUnrolled = 1'000;
    const Symbol item = symbol(node.parts[0]);
    const std::uint32_t counted = node.most == kUnbounded ? node.least : node.most;
    if (counted > kMostUnrolled) over_limit("a repeat of more than 1,000 of a rule that leads to itself");
    Symbol rest{Symbol::Kind::terminal, kEmptyText};
    if (node.most == kUnbounded) {
      rest = rule_of({{}});
      fill(rest.id, {{item, rest}});
    }
    for (std::uint32_t i = counted; i-- > node.least;) rest = rule_of({{}, {item, rest}});
    std::vector<Symbol> all(node.least, item);
    all.push_back(rest);
    return rule_of({all});
  }

  const Ebnf& grammar_;
  Program& program_;
  ExprStore& store_;
  ExprId ignored_ = kEmptyText;
  std::set<std::string> recursive_;
  std::map<std::string, std::uint32_t> rules_;
  std::map<std::pair<std::string, bool>, ExprId> expressions_;
};

}  // namespace

Symbol lower_ebnf(const Ebnf& grammar, Program& program) { return Lowering(grammar, program).start(); }

std::unique_ptr<Program> compile_ebnf(std::string_view text, const Limits& limits) {
  auto program = std::make_unique<Program>(limits);
  if (text.size() > limits.source_bytes)
    over_limit("a text of more than " + std::to_string(limits.source_bytes >> 20) + " MiB");
  const bool gbnf = text.find("::=") != std::string_view::npos;
  const Ebnf grammar = gbnf ? parse_gbnf(text, *program) : parse_lark(text, *program);
  program->start.push_back(lower_ebnf(grammar, *program));
  remove_endless_rules(*program);
  remove_left_recursion(*program);
  return program;
}

}  // namespace frugal::grammar
