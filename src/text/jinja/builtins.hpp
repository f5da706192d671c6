// The filters and tests by name, the functions every template sees, and the methods of values. All that real templates
// use, and their nearest kin; what is missing is named when a template reaches it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.hpp"

namespace frugal::jinja {

/// What a function does with the marks of the caller's text. One that does not say `kept` has any text it makes of the
/// caller's text marked as a whole.
enum class Marks { lost, kept };

struct Named {
  std::string_view name;
  Builtin builtin;
  Marks marks = Marks::lost;
};

/// The row of a table that bears the name, or null.
template <std::size_t N>
const Named* find_in(const Named (&table)[N], std::string_view name) noexcept {
  for (const Named& row : table) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

/// Null where there is none.
const Named* find_filter(std::string_view name) noexcept;
const Named* find_test(std::string_view name) noexcept;
const Named* find_text_filter(std::string_view name) noexcept;      ///< text_filters.cpp
const Named* find_sequence_filter(std::string_view name) noexcept;  ///< sequence_filters.cpp

/// Calls it, charges for what it makes, and marks it.
Value call_builtin(Run& run, const Named& named, const Value& input, const Args& args);

/// Fails with the name and kind ("filter", "test") of what is not there.
[[noreturn]] void fail_unknown(std::string_view kind, std::string_view name);

/// range, namespace and raise_exception; undefined for another name.
Value find_global(std::string_view name);

/// A method of a str, list or dict bound to `self`, or undefined.
Value find_method(const Value& self, std::string_view name);

/// An argument that must be a string, an int, or be left out.
const MarkedText& text_argument(const Value& value, std::string_view what);
std::int64_t integer_argument(const Value& value, std::string_view what);

/// What strip, replace and format do, as filters and as methods.
Value strip_text(Run& run, const MarkedText& text, const Value* set, bool left, bool right);
MarkedText replace_text(Run& run, const MarkedText& text, const MarkedText& from, const MarkedText& to,
                        std::int64_t count);
/// text % values, with %s %r %d %i %f %x %% and %(key)s; and text.format(...), with {} {0} {name}.
MarkedText percent_format(Run& run, const MarkedText& format, const Value& values);
MarkedText brace_format(Run& run, const MarkedText& format, const Args& args);
/// The text as HTML shows it.
MarkedText escaped(const MarkedText& text);

}  // namespace frugal::jinja
