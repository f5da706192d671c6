// strftime_now: the date is an input, so that the same conversation renders the same prompt for as long as its caller
// says the same date.
#pragma once

#include <chrono>
#include <string_view>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

/// A function of one format that writes the given moment.
Value strftime_function(std::chrono::sys_seconds moment);

/// The moment that "2025-01-31" or "2025-01-31T13:45:00" names. Throws Failure for another form.
std::chrono::sys_seconds parse_moment(std::string_view text);

}  // namespace frugal::jinja
