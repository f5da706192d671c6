// Grammars as their authors write them, in either spelling, and their way to productions.
#pragma once

#include "grammar/program.hpp"
#include "grammar/regex/tree.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::grammar {

struct EbnfNode {
  enum class Kind : std::uint8_t { text, rule, sequence, choice, repeat };
  Kind kind = Kind::sequence;
  ExprId text = kEmptyText;
  std::string rule{};
  std::size_t at = 0;  ///< byte in the grammar
  std::vector<EbnfNode> parts{};
  std::uint32_t least = 1, most = 1;
};

struct Ebnf {
  std::map<std::string, EbnfNode> rules;
  std::string start;
  EbnfNode ignored{EbnfNode::Kind::choice};  ///< Lark's %ignore: may stand between terminals
};

/// Throws Error(invalid_argument) with the line of the fault.
Ebnf parse_gbnf(std::string_view text, Program& program);
Ebnf parse_lark(std::string_view text, Program& program);

/// Adds rules and productions to the program. Rules that do not lead back to themselves become one expression each;
/// left recursion is rewritten.
Symbol lower_ebnf(const Ebnf& grammar, Program& program);
void remove_left_recursion(Program& program);
void remove_endless_rules(Program& program);

[[noreturn]] void ebnf_fault(std::string_view text, std::size_t at, const std::string& what);

}  // namespace frugal::grammar
