// Python's operators on values. Pure but for what they charge to the run.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

/// + - * / // % **
Value binary(Run& run, std::string_view op, const Value& a, const Value& b);
Value negated(const Value& value);
Value unary_plus(const Value& value);
/// == != < <= > >= in, not in
bool compared(Run& run, std::string_view op, const Value& a, const Value& b);
bool contains(Run& run, const Value& container, const Value& item);

/// value.name and value[index] as jinja2's sandbox resolves them: undefined where there is neither attribute nor item.
Value attribute_of(const Value& value, std::string_view name);
Value item_of(const Value& value, const Value& index);
/// value[start:stop:step]; none stands for a bound left out.
Value slice_of(Run& run, const Value& value, const Value& start, const Value& stop, const Value& step);

/// The items that a for visits; spends an iterator.
std::vector<Value> iterate(Run& run, const Value& value);
/// len(value).
std::int64_t length_of(const Value& value);

/// A dict of pairs, e.g. for `dict(...)`.
Value make_dict(Dict dict);

}  // namespace frugal::jinja
