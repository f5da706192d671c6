// What a schema demands, keyword by keyword, after reading and before its branches are multiplied out.
#pragma once

#include "grammar/expr/counters.hpp"
#include "grammar/expr/store.hpp"
#include "grammar/schema/json.hpp"
#include "grammar/schema/refusal.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace frugal::grammar {

/// A schema by number, or its negation: 2 * number + 1.
using Lit = std::uint32_t;
constexpr Lit kTrue = 0, kFalse = 1;
constexpr Lit negated(Lit lit) { return lit ^ 1U; }

enum Type : std::uint8_t {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kNumber = 8,  ///< with kInteger in a schema's own list
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyType = 127
};

struct NumberRule {
  std::vector<std::pair<Relation, Decimal>> bounds;
  std::vector<Decimal> multiples;
  bool empty() const { return bounds.empty() && multiples.empty(); }
};

struct StringRule {
  std::uint32_t least = 0, most = kUnbounded;  ///< characters
  std::vector<ExprId> languages;               ///< of pattern and format, each with the closing quote
  bool empty() const { return least == 0 && most == kUnbounded && languages.empty(); }
};

struct ArrayRule {
  struct Contains {
    Lit item = kTrue;
    std::uint32_t from = 0;  ///< items before this one do not count
    std::uint32_t least = 1, most = kUnbounded;
  };
  std::vector<Lit> prefix;
  Lit rest = kTrue;
  std::uint32_t least = 0, most = kUnbounded;
  std::optional<Contains> contains;
  bool unique = false;
};

struct ObjectRule {
  /// At least one member whose name is in `names` has a value of `value`.
  struct Exists {
    ExprId names = kNothing;
    Lit value = kTrue;
  };
  std::vector<std::pair<std::string, Lit>> properties;
  std::vector<std::pair<ExprId, Lit>> patterns;
  Lit additional = kTrue;
  std::vector<std::string> required;
  std::optional<Lit> names;
  std::uint32_t least = 0, most = kUnbounded;
  std::vector<std::pair<std::string, std::string>> dependents;  ///< where the first is, the second must be
  std::vector<Exists> exists;
  bool in_order = false;  ///< members come in the order of `properties`
};

struct Schema {
  std::string path;
  const Json* source = nullptr;
  bool read = false;
  std::optional<Refusal> refusal;
  std::optional<bool> constant;  ///< true or false
  std::uint8_t types = kAnyType;
  const std::vector<Json>* one_of_values = nullptr;  ///< enum
  const Json* value = nullptr;                       ///< const
  NumberRule number;
  StringRule string;
  std::optional<std::uint32_t> array, object;  ///< indices of rules
  std::vector<Lit> all_of;
  std::vector<std::vector<Lit>> any_of, one_of;
  std::vector<std::array<Lit, 3>> conditions;  ///< if, then, else
};

}  // namespace frugal::grammar
