// Json: a JSON text as a tree that keeps the order of members and numbers as they are written.
#pragma once

#include "grammar/limits.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal::grammar {

struct Json {
  enum class Kind : std::uint8_t { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool truth = false;
  std::string text{};  ///< of a string; a number as written
  std::vector<Json> items{};
  std::vector<std::pair<std::string, Json>> members{};

  bool is(Kind k) const { return kind == k; }
  /// The member of this name (the last, where it is there twice); null where there is none.
  const Json* find(std::string_view name) const {
    for (auto i = members.rbegin(); i != members.rend(); ++i) {
      if (i->first == name) return &i->second;
    }
    return nullptr;
  }
};

/// Throws Error(invalid_argument) with the place of the fault, or Error(too_large).
Json parse_json(std::string_view text, const Limits& limits);

}  // namespace frugal::grammar
