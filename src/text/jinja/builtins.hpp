// The filters and tests by name, the functions every template sees, and the methods of values.
#pragma once

#include <string_view>

#include "text/jinja/ast.hpp"

namespace frugal::jinja {

/// Null where there is none.
Builtin find_filter(std::string_view name) noexcept;
Builtin find_test(std::string_view name) noexcept;

/// range, dict, namespace, joiner, cycler and raise_exception; undefined for another name.
Value find_global(std::string_view name);

/// A method of a str, list or dict bound to `self`, or undefined.
Value find_method(const Value& self, std::string_view name);

/// Names that jinja2 knows as a filter or test and we do not: "unsupported" rather than "wrong".
bool known_elsewhere(std::string_view name) noexcept;

}  // namespace frugal::jinja
