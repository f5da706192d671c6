// How values become text: Python's str() and repr(), and json.dumps. Pure; linear in the value's extent.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

/// str(value): what {{ value }} prints. Text keeps its marks; a container that holds any of the caller's text is the
/// caller's as a whole.
MarkedText to_text(const Value& value);
/// repr(value): how a value prints inside a list.
MarkedText to_repr(const Value& value);
/// The shortest digits that read back as the same double, in Python's notation.
std::string real_repr(double number);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent{};  ///< white space of one level; none = one line
  std::string item_separator = ", ", key_separator = ": ";
};

/// json.dumps as Hugging Face's tojson calls it; fails for what JSON has no form for.
std::string to_json(const Value& value, const JsonStyle& style = {});

}  // namespace frugal::jinja
