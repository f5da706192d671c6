// JSON text to Value: dicts keep the order of their keys, integers beyond 64 bits their digits. All text in it is the
// caller's.
#pragma once

#include <string_view>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

/// Throws Failure for malformed text and for nesting beyond kMaxValueDepth, with `what` and the place. Linear in the
/// text, n log n in the keys of one object.
Value parse_json(std::string_view text, std::string_view what);

}  // namespace frugal::jinja
