// Every filter and test, by table. One function each: (run, input, arguments) -> value.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.hpp"

namespace frugal::jinja {

struct Named {
  std::string_view name;
  Builtin builtin;
};

/// The row of a table that bears the name, or null.
template <std::size_t N>
Builtin find_in(const Named (&table)[N], std::string_view name) noexcept {
  for (const Named& row : table) {
    if (row.name == name) return row.builtin;
  }
  return nullptr;
}

Builtin find_text_filter(std::string_view name) noexcept;      ///< text_filters.cpp
Builtin find_sequence_filter(std::string_view name) noexcept;  ///< sequence_filters.cpp
Builtin find_number_filter(std::string_view name) noexcept;    ///< number_filters.cpp

/// An argument that must be a string, an int, or be left out.
std::string text_argument(const Value& value, std::string_view what);
std::int64_t integer_argument(const Value& value, std::string_view what);

/// int(text) and float(text) as Python reads them: white space around, underscores between digits.
std::optional<Value> parse_integer(std::string_view text, int base);
std::optional<double> parse_real(std::string_view text);

/// str.splitlines: at every line end Unicode knows.
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

/// str.replace; a negative count replaces all.
std::string replace_text(Run& run, const std::string& text, const std::string& from, const std::string& to,
                         std::int64_t count);

/// "a.b.0" applied to a value step by step; `otherwise`, unless none, stands for what a step does not find.
Value dotted_attribute(const Value& value, const Value& path, const Value& otherwise = None{});

/// The arguments from the i-th on.
Args arguments_from(const Args& args, std::size_t i);

}  // namespace frugal::jinja
