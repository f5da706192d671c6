// One text for all JSON texts of equal values: 1 and 1.0, members in any order, characters however they are escaped.
#pragma once

#include "grammar/limits.hpp"
#include "grammar/schema/json.hpp"

#include <string>
#include <string_view>

namespace frugal::grammar {

std::string canonical_json(std::string_view text, const Limits& limits);
std::string canonical_json(const Json& value);

}  // namespace frugal::grammar
