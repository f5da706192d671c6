// A call of one of several functions: fixed texts around the arguments, whose schema goes with the function's name.
#include "grammar/compile.hpp"
#include "grammar/regex/alphabet.hpp"

namespace frugal::grammar {

std::unique_ptr<Program> compile_tools(const std::vector<ToolSchema>& tools, const ToolCallFormat& format,
                                       const Limits& limits) {
  if (tools.empty()) throw Error(Errc::invalid_argument, "tools: none is offered");
  auto program = std::make_unique<Program>(limits);
  program->rules.emplace_back();
  for (const ToolSchema& tool : tools) {
    if (tool.name.empty()) throw Error(Errc::invalid_argument, "tools: one has no name");
    const std::size_t before = program->refusals.size();
    const ValueId arguments = add_json_schema(*program, tool.parameters, format.arguments);
    for (std::size_t i = before; i < program->refusals.size(); ++i) {
      program->refusals[i].why = "tool " + tool.name + ": " + program->refusals[i].why;
    }
    const auto fixed = [&](const std::string& text) {
      return Symbol{Symbol::Kind::terminal, program->store.literal(text)};
    };
    const std::string head = format.before + json_spelling(tool.name, false) + format.between;
    program->rules[0].push_back(static_cast<std::uint32_t>(program->productions.size()));
    program->productions.push_back({fixed(head), {Symbol::Kind::value, arguments}, fixed(format.after)});
  }
  program->start.push_back({Symbol::Kind::rule, 0});
  if (!format.arguments.lenient.empty()) program->judged_by.emplace();
  return program;
}

}  // namespace frugal::grammar
