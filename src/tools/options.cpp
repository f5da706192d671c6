#include "tools/options.hpp"

#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace frugal::tools {

namespace {

/// What is wrong with `text` as a number of this kind; empty = nothing.
std::string fault_of_real(std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0') return "must be a number, not " + text;
  if (!(std::abs(value) <= std::numeric_limits<float>::max())) return "must be a finite number, not " + text;
  return {};
}

template <class Whole>
std::string fault_of_whole(std::string& text) {
  using Limits = std::numeric_limits<Whole>;
  Whole value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure == std::errc{} && end == text.data() + text.size()) return {};
  return "must be a whole number from " + std::to_string(Limits::min()) + " to " + std::to_string(Limits::max()) +
         ", not " + text;
}

}  // namespace

// As transforms, for these come before the checks that the option has.
void check_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("FLOAT")) option->transform(CLI::Validator(fault_of_real, ""));
    if (type.starts_with("UINT")) option->transform(CLI::Validator(fault_of_whole<std::uint64_t>, ""));
    if (type.starts_with("INT")) option->transform(CLI::Validator(fault_of_whole<std::int64_t>, ""));
  }
  for (CLI::App* command : app.get_subcommands(nullptr)) check_numbers(*command);
}

void refuse_without_effect(const CLI::App& app, std::initializer_list<const char*> options, const std::string& why) {
  for (const char* option : options)
    if (app.count(option) > 0)
      throw Error(Errc::invalid_argument, std::string(option) + " has no effect " + why + "; leave it out");
}

}  // namespace frugal::tools
