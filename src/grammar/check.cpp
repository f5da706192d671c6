#include "grammar/compile.hpp"
#include "grammar/parser/parser.hpp"
#include "grammar/regex/alphabet.hpp"
#include "grammar/schema/judge.hpp"

namespace frugal::grammar {

namespace {

void write(const Json& value, bool spaced, std::string& out) {
  switch (value.kind) {
    case Json::Kind::null:
      out += "null";
      break;
    case Json::Kind::boolean:
      out += value.truth ? "true" : "false";
      break;
    case Json::Kind::number:
      out += value.text;
      break;
    case Json::Kind::string:
      out += '"' + json_spelling(value.text, false) + '"';
      break;
    case Json::Kind::array:
      out += '[';
      for (std::size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) out += spaced ? ", " : ",";
        write(value.items[i], spaced, out);
      }
      out += ']';
      break;
    case Json::Kind::object:
      out += '{';
      for (std::size_t i = 0; i < value.members.size(); ++i) {
        if (i > 0) out += spaced ? ", " : ",";
        out += '"' + json_spelling(value.members[i].first, false) + (spaced ? "\": " : "\":");
        write(value.members[i].second, spaced, out);
      }
      out += '}';
      break;
  }
}

}  // namespace

SchemaCheck check_json_schema(std::string_view schema, const std::vector<std::string>& documents,
                              const JsonSchemaOptions& options) {
  const Limits limits;
  const std::unique_ptr<Program> program = compile_json_schema(schema, options, limits);
  SchemaCheck check;
  for (const Refusal& r : program->refusals) check.refused.push_back({r.keyword, r.path, r.why});
  check.compiled = check.refused.empty();
  if (!check.compiled) return check;
  Parser parser(*program);
  std::optional<Judge> judge;
  if (!options.lenient.empty()) judge.emplace(schema, limits);
  const auto accepts = [&](const Json& document, bool spaced) {
    std::string text;
    write(document, spaced, text);
    parser.reset();
    return parser.state(parser.run(parser.start(), text)).complete;
  };
  for (const std::string& document : documents) {
    const Json json = parse_json(document, limits);
    const bool enforced = accepts(json, false) && (options.whitespace == Whitespace::compact || accepts(json, true));
    check.valid.push_back(enforced && (!judge || judge->of(document).valid.value_or(true)));
  }
  return check;
}

}  // namespace frugal::grammar
