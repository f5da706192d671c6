// Structured output: constraints that let no text through but what a JSON schema, a regular expression, a list of texts
// or a grammar allows. Give one to Request::constraint.
//
// A constraint is compiled once and kept, by its content, for later calls with the same text; both calls are safe from
// any thread. Nothing is approximated: what a constraint asks for and cannot be enforced exactly is refused by name and
// place. Every cost is bounded, and what would go beyond is an Error(too_large). docs/grammar.md has the whole story.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/constraint.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::grammar {

/// White space between the values and signs of JSON. At most 64 characters at one place in any case, so that a model
/// cannot go on with blanks for ever.
enum class Whitespace { compact, flexible };

/// The order of an object's members. A schema can say its own: "x-order": "schema" or "any".
enum class Order {
  any,    ///< any order that the schema allows
  schema  ///< as the schema names them, then all others: fewer choices, more tokens that are forced
};

struct JsonSchemaOptions {
  Whitespace whitespace = Whitespace::flexible;
  Order order = Order::any;
  /// Keywords that are left out instead of refused. What they ask for is then not enforced; the finished document is
  /// judged by the whole schema, and Finish::document says how it came out.
  std::vector<std::string> lenient{};
};

/// JSON that a schema accepts, drafts 4 to 2020-12. Throws Error(unsupported) that names each keyword that cannot be
/// enforced exactly and its place, Error(invalid_argument) where the schema is malformed or nothing meets it.
FRUGAL_API std::shared_ptr<const ConstraintSource> json_schema(std::string_view schema,
                                                               const JsonSchemaOptions& options = {});

/// Texts that match `pattern` from beginning to end, in the syntax of RE2, with lookaheads. Throws Error(unsupported)
/// for look-behinds, back references and word borders.
FRUGAL_API std::shared_ptr<const ConstraintSource> regex(std::string_view pattern);

/// One of the texts, none of which may be empty.
FRUGAL_API std::shared_ptr<const ConstraintSource> choice(const std::vector<std::string>& texts);

/// Texts of a context-free grammar, in llama.cpp's GBNF or in Lark's spelling; the first is recognised by its "::=".
/// The first rule (GBNF: root, Lark: start) is the whole text. Left recursion is allowed.
FRUGAL_API std::shared_ptr<const ConstraintSource> ebnf(std::string_view grammar);

/// A function that may be called, and the JSON schema of its arguments.
struct ToolSchema {
  std::string name;
  std::string parameters = "{}";
};

/// How a model writes a call: before + name + between + arguments as JSON + after.
struct ToolCallFormat {
  std::string before = "<tool_call>\n{\"name\": \"";
  std::string between = "\", \"arguments\": ";
  std::string after = "}\n</tool_call>";
  JsonSchemaOptions arguments{};
};

/// A call of one of the tools with arguments that its schema accepts.
FRUGAL_API std::shared_ptr<const ConstraintSource> tools(const std::vector<ToolSchema>& tools,
                                                         const ToolCallFormat& format = {});

/// What a schema asks for that cannot be enforced exactly.
struct Refused {
  std::string keyword;
  std::string path;  ///< of the schema that has it, as a JSON pointer
  std::string why;
};

struct SchemaCheck {
  bool compiled = false;
  std::vector<Refused> refused{};  ///< empty where compiled
  std::vector<bool> valid{};       ///< one a document
};

/// Compiles a schema and judges JSON documents by it, byte by byte, each in its compact spelling and, where white space
/// is allowed, with a blank after commas and colons; a document is valid where both are, and where keywords were left
/// out, if the whole document is not known to break them. Throws as json_schema does for malformed texts.
FRUGAL_API SchemaCheck check_json_schema(std::string_view schema, const std::vector<std::string>& documents,
                                         const JsonSchemaOptions& options = {});

/// The bytes that compiled constraints may keep for later calls; what was used longest ago goes first. 64 MiB at first.
FRUGAL_API void set_cache_bytes(std::size_t bytes);

}  // namespace frugal::grammar
