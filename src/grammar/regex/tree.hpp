// The syntax tree of a regular expression, its parser, and its translation to an expression over bytes.
#pragma once

#include "grammar/limits.hpp"
#include "grammar/regex/alphabet.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::grammar {

/// What a pattern has that cannot be translated exactly, or is no pattern at all.
struct RegexFault {
  std::string what;
  std::size_t at;  ///< byte in the pattern
  std::string text() const { return what + " (at byte " + std::to_string(at) + ")"; }
};

struct RegexNode {
  enum class Kind : std::uint8_t { empty, set, concat, any_of, repeat, begin, end, ahead, not_ahead };
  Kind kind = Kind::empty;
  CodePoints set{};
  std::vector<RegexNode> parts{};
  std::uint32_t least = 0, most = 0;
  // Learned by the parser:
  bool zero_width = false;  ///< holds ^, $ or a lookahead somewhere
  bool has_begin = false;   ///< holds ^ somewhere
  bool nullable = false;    ///< may match nothing
};

enum class RegexSyntax : std::uint8_t {
  ecma,  ///< of JSON Schema: ECMA-262 with the u flag, and what other dialects write without ambiguity
  re2
};

/// Throws RegexFault. Look-behind, back references and word borders are faults.
RegexNode parse_regex(std::string_view pattern, RegexSyntax syntax, const Limits& limits);

/// The texts, with the alphabet's end, in which the pattern is found somewhere. Throws RegexFault.
ExprId regex_search(const RegexNode& node, const Alphabet& alphabet);
/// The texts, with the alphabet's end, that the pattern matches from beginning to end. Throws RegexFault.
ExprId regex_match(const RegexNode& node, const Alphabet& alphabet);

/// A Unicode property of \p{...}; throws RegexFault where the tables lack it.
CodePoints unicode_property(std::string_view name, std::size_t at);
CodePoints digits();        ///< 0 to 9
CodePoints word();          ///< ASCII letters, digits and _
CodePoints blanks();        ///< ECMA-262's white space and line ends
CodePoints ascii_blanks();  ///< RE2's

}  // namespace frugal::grammar
