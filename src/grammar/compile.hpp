// From text to program, one function a kind of constraint.
#pragma once

#include "grammar/program.hpp"

#include <frugal/grammar/grammar.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::grammar {

/// What cannot be exact is in `refusals`; the program is then of no use. Throws Error(invalid_argument) where the text
/// is no JSON, Error(too_large) beyond the limits.
std::unique_ptr<Program> compile_json_schema(std::string_view schema, const JsonSchemaOptions& options,
                                             const Limits& limits);
/// Throws Error(invalid_argument) or Error(unsupported) that names the place in the pattern.
std::unique_ptr<Program> compile_regex(std::string_view pattern, const Limits& limits);
std::unique_ptr<Program> compile_choice(const std::vector<std::string>& texts, const Limits& limits);
/// GBNF or Lark, told apart by their rules' signs.
std::unique_ptr<Program> compile_ebnf(std::string_view grammar, const Limits& limits);
std::unique_ptr<Program> compile_tools(const std::vector<ToolSchema>& tools, const ToolCallFormat& format,
                                       const Limits& limits);

/// Adds a schema to a program that may hold others; the value that it describes.
ValueId add_json_schema(Program& program, std::string_view schema, const JsonSchemaOptions& options);

}  // namespace frugal::grammar
