// The automata that are given as code: see counter.hpp.
#pragma once

#include "grammar/expr/counter.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::grammar {

/// One of the literals, by binary search: an enum of a million costs its bytes and no automaton.
std::shared_ptr<const Counter> one_of_literals(std::vector<std::string> literals);

/// A finite decimal number: (-1)^negative * digits * 10^-places, without zeros at either end of the digits but for 0.
struct Decimal {
  bool negative = false;
  std::string digits;  ///< of the whole part, at least one, then of the fraction
  std::size_t places = 0;
  bool zero() const { return digits == "0"; }
  std::string_view whole() const { return std::string_view(digits).substr(0, digits.size() - places); }
  std::string plain() const;  ///< without an exponent
  std::string_view fraction() const { return std::string_view(digits).substr(digits.size() - places); }
  /// None where it is no JSON number or its exponent is beyond +-400.
  static std::optional<Decimal> parse(std::string_view json_number);
};

enum class Relation : std::uint8_t { less, at_most, equal, not_equal, at_least, greater };

/// JSON numbers x with `x relation bound`. Numbers with an exponent are compared exactly where they are written in
/// scientific notation (one digit before the point, not 0); others with an exponent are left out unless bound is 0.
std::shared_ptr<const Counter> compare_number(const Decimal& bound, Relation relation);

/// JSON numbers without an exponent that are (or, with `wanted` false, are not) a multiple of `unit`, which is not 0.
/// `whole`: and have no point. None where unit has more than nine digits.
std::shared_ptr<const Counter> multiple_of(const Decimal& unit, bool wanted, bool whole = false);

}  // namespace frugal::grammar
