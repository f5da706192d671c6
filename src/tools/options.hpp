// What holds for the options of every command: numbers are numbers, and an option that changes nothing is refused.
#pragma once

#include <initializer_list>
#include <string>

namespace CLI {
class App;
}

namespace frugal::tools {

/// Adds a check to every numeric option of `app` and its subcommands that says which numbers there are: infinity, NaN,
/// a sign before a count and too many digits are refused by the option's name. Call it when all options are declared.
void check_numbers(CLI::App& app);

/// Throws Error(invalid_argument) where one of these options was given: it would have no effect. `why` ends the
/// sentence, e.g. "without --provider".
void refuse_without_effect(const CLI::App& app, std::initializer_list<const char*> options, const std::string& why);

}  // namespace frugal::tools
