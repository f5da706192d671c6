// strftime_now: the date is an input, so that the same conversation renders the same prompt every day it is asked to.
#pragma once

#include <string_view>

#include "text/jinja/value.hpp"

namespace frugal::jinja {

/// A function of one format that writes the given moment, "2025-01-31" or "2025-01-31T13:45:00". Throws Failure for
/// another form.
Value strftime_function(std::string_view moment);

}  // namespace frugal::jinja
