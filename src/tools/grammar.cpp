// frugal grammar check: whether a JSON schema can be enforced exactly, and which documents meet it.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"

#include <frugal/grammar/grammar.hpp>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace frugal::tools {

namespace {

struct CheckCommand {
  std::string schema, documents;
  grammar::JsonSchemaOptions options{};
  bool compact = false, in_order = false;
};

constexpr const char* check_examples = R"(Examples:
  frugal grammar check person.schema.json
  frugal grammar check person.schema.json --validate people.jsonl
Prints {"compiled": bool, "refused": [{"keyword", "path", "why"}], "valid": [bool]}: "valid" has one entry a line of the
file. Exits with 1 where the schema is refused.
)";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    std::string line = text.substr(from, end - from);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") != std::string::npos) lines.push_back(std::move(line));
    from = end + 1;
  }
  return lines;
}

int run_check(CheckCommand o) {
  if (o.compact) o.options.whitespace = grammar::Whitespace::compact;
  if (o.in_order) o.options.order = grammar::Order::schema;
  const std::vector<std::string> documents =
      o.documents.empty() ? std::vector<std::string>() : lines_of(read_all(o.documents));
  const grammar::SchemaCheck check = grammar::check_json_schema(read_all(o.schema), documents, o.options);
  nlohmann::ordered_json out{{"compiled", check.compiled}, {"refused", nlohmann::ordered_json::array()}};
  for (const grammar::Refused& r : check.refused)
    out["refused"].push_back({{"keyword", r.keyword}, {"path", r.path}, {"why", r.why}});
  out["valid"] = check.valid;
  print(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  return check.compiled ? 0 : 1;
}

}  // namespace

Command add_grammar(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("grammar", "What structured output can enforce");
  app->require_subcommand(1);
  auto options = std::make_shared<CheckCommand>();
  CLI::App* check = app->add_subcommand("check", "Compiles a JSON schema, and judges documents by it");
  check->add_option("schema", options->schema, "The schema; - = standard input")->required();
  check->add_option("--validate", options->documents, "JSON documents, one a line");
  check->add_flag("--compact", options->compact, "No white space between values and signs");
  check->add_flag("--in-order", options->in_order, "Members in the schema's order");
  check->add_option("--lenient", options->options.lenient, "A keyword to leave out instead of refusing it")
      ->allow_extra_args(false);
  check->footer(check_examples);
  return {app, [options] { return run_check(*options); }};
}

}  // namespace frugal::tools
