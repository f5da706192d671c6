// JSON text to Value: dicts keep the order of their keys, integers beyond 64 bits their digits.
#pragma once

#include <string_view>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

/// Throws Failure for malformed text, naming `what` it was and where; linear in the text.
Value parse_json(std::string_view text, std::string_view what);

}  // namespace frugal::jinja
