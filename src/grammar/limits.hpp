// Limits: how much a constraint may cost. What goes beyond ends in Error(too_large) that names the limit.
#pragma once

#include <frugal/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace frugal::grammar {

struct Limits {
  std::size_t source_bytes = std::size_t{16} << 20;       ///< of a schema's, pattern's or grammar's text
  std::uint32_t source_depth = 256;                       ///< of nested values, groups and schemas
  std::uint32_t repeat = 1'000'000'000;                   ///< the largest number in {m,n}, minLength, maxItems
  std::size_t expression_bytes = std::size_t{256} << 20;  ///< of the expressions and automata of one constraint
  std::size_t search_states = 20'000;                     ///< visited to learn whether a language is empty
  std::size_t combinations = 512;                         ///< of the branches of allOf, anyOf, oneOf and not
  std::size_t values = 100'000;                           ///< kinds of values that a schema describes
  std::size_t threads = 2'048;                            ///< readings of one text that are followed at once
  std::size_t answer_bytes = std::size_t{256} << 20;      ///< kept for one running answer
};

[[noreturn]] inline void over_limit(const std::string& what) { throw Error(Errc::too_large, "grammar: " + what); }

}  // namespace frugal::grammar
