// Numbers on the command line: what is none, not finite or too large is refused with what would do.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "core/short_number.hpp"

namespace frugal::tools {

/// A finite number, both ends included.
inline CLI::Validator number_in(double low = -std::numeric_limits<double>::infinity(),
                                double high = std::numeric_limits<double>::infinity()) {
  return {[low, high](const std::string& text) -> std::string {
            double value = 0;
            if (CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value >= low && value <= high)
              return {};
            const bool any = std::isinf(low) && std::isinf(high);
            return text + " is no " +
                   (any ? "finite number" : "number from " + short_number(low) + " to " + short_number(high));
          },
          ""};
}

/// A whole number of 64 bits, which CLI11 would cut down to the largest one.
inline CLI::Validator whole_number() {
  return {[](const std::string& text) -> std::string {
            std::uint64_t value = 0;
            const char* const end = text.data() + text.size();
            const auto read = std::from_chars(text.data(), end, value);
            if (read.ec == std::errc::result_out_of_range) return text + " is above 18446744073709551615";
            return text.empty() || text.front() != '-' ? "" : text + " is below 0";
          },
          ""};
}

/// For all options of the command and its commands, by what they hold.
inline void check_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_type_name().rfind("UINT", 0) == 0) option->check(whole_number());
    if (option->get_type_name().rfind("FLOAT", 0) == 0) option->check(number_in());
  }
  for (CLI::App* command : app.get_subcommands({})) check_numbers(*command);
}

}  // namespace frugal::tools
