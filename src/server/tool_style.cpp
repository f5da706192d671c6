#include "server/tool_style.hpp"

#include <frugal/model/prompt.hpp>

#include <optional>
#include <utility>
#include <vector>

#include "server/json.hpp"

namespace frugal::server {

namespace {

constexpr const char* probe_tools =
    R"([{"type": "function", "function": {"name": "frugal_probe", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}}])";

std::optional<std::string> rendered(const Chat& chat, const Model& model) {
  try {
    expected<RenderedPrompt> prompt = render_chat(chat, model);
    if (prompt) return std::move(prompt->text);
  } catch (const Error&) {  // a template that does not compile: said when a request needs it
  }
  return std::nullopt;
}

bool holds(const std::optional<std::string>& text, const char* what) {
  return text && text->find(what) != std::string::npos;
}

Message said(const char* role, std::string content) {
  Message m;
  m.role = role;
  m.content = std::move(content);
  return m;
}

// As the template writes a call that was made.
ToolStyle::Written writing(const Model& model) {
  Chat chat{.messages = {said("user", "q"), said("assistant", ""), said("tool", "r")}, .tools = probe_tools};
  chat.messages[1].tool_calls = {{"call_123456789", "frugal_probe", R"({"x": 1})", {}}};
  chat.messages[2].tool_call_id = "call_123456789";
  chat.messages[2].name = "frugal_probe";
  const std::optional<std::string> text = rendered(chat, model);
  if (holds(text, "<tool_call>")) return ToolStyle::Written::tags;
  const bool bare = holds(text, R"({"name": "frugal_probe", "parameters":)");
  return bare ? ToolStyle::Written::bare_json : ToolStyle::Written::unknown;
}

ToolStyle::Effort effort_of(const Model& model) {
  const auto with = [&](const char* variables) {
    return rendered(Chat{.messages = {said("user", "q")}, .variables = variables}, model);
  };
  if (with(R"({"reasoning_effort": "low"})") != with(R"({"reasoning_effort": "high"})"))
    return ToolStyle::Effort::named;
  const bool reads = with(R"({"enable_thinking": false})") != with(R"({"enable_thinking": true})");
  return reads ? ToolStyle::Effort::on_off : ToolStyle::Effort::unknown;
}

// A system message in the manner of Hermes (NousResearch, Hermes-Function-Calling), which many small models know.
std::string described(const Json& tools) {
  std::string text =
      "You may call one or more functions to help with the user's request.\n\n"
      "The functions, described as JSON inside <tools></tools>:\n<tools>";
  for (const Json& tool : tools) text += "\n" + dumped(tool);
  return text +
         "\n</tools>\n\nTo call a function, answer with its name and arguments as JSON inside "
         "<tool_call></tool_call>:\n"
         "<tool_call>\n{\"name\": <function name>, \"arguments\": <arguments as an object>}\n</tool_call>";
}

std::string written(const ToolCall& call) {
  const Json arguments = Json::parse(call.arguments.empty() ? "{}" : call.arguments, nullptr, false);
  const std::string spelled = arguments.is_discarded() ? dumped(Json(call.arguments)) : dumped(arguments);
  return "<tool_call>\n{\"name\": " + dumped(Json(call.name)) + ", \"arguments\": " + spelled + "}\n</tool_call>";
}

}  // namespace

ToolStyle tool_style(const Model& model) {
  ToolStyle style;
  const std::optional<std::string> plain = rendered(Chat{.messages = {said("user", "q")}}, model);
  if (plain) {
    const std::size_t last = plain->find_last_not_of(" \n");
    style.opens_thought = last != std::string::npos && last >= 6 && plain->compare(last - 6, 7, "<think>") == 0;
  }
  style.effort = effort_of(model);
  if (!holds(rendered(Chat{.messages = {said("user", "q")}, .tools = probe_tools}, model), "frugal_probe"))
    return style;
  style.told = ToolStyle::Told::by_template;
  style.written = writing(model);
  return style;
}

ToolStyle common_style(const std::vector<std::shared_ptr<const Model>>& models) {
  std::optional<ToolStyle> common;
  for (const std::shared_ptr<const Model>& model : models) {
    const ToolStyle style = tool_style(*model);
    if (common && !(*common == style))
      return {.told = ToolStyle::Told::by_template, .written = ToolStyle::Written::unknown};
    common = style;
  }
  return common.value_or(ToolStyle{});
}

void write_tools_as_text(Chat& chat) {
  for (Message& m : chat.messages) {
    for (const ToolCall& call : std::exchange(m.tool_calls, {}))
      m.content += (m.content.empty() ? "" : "\n") + written(call);
    if (!m.content.empty()) m.null_content = false;
    if (m.role != "tool") continue;
    m.role = "user";
    m.content = "<tool_response>\n" + m.content + "\n</tool_response>";
    m.tool_call_id.clear();
    m.name.clear();
  }
  const Json tools = Json::parse(chat.tools.empty() ? "[]" : std::exchange(chat.tools, {}), nullptr, false);
  if (!tools.is_array() || tools.empty()) return;
  if (chat.messages.empty() || chat.messages.front().role != "system")
    chat.messages.insert(chat.messages.begin(), said("system", ""));
  std::string& system = chat.messages.front().content;
  system += (system.empty() ? "" : "\n\n") + described(tools);
}

std::shared_ptr<const ConstraintSource> must_call(const std::string& tools, const std::string& only,
                                                  ToolStyle::Written written) {
  std::vector<grammar::ToolSchema> schemas;
  for (const Json& tool : Json::parse(tools)) {
    const Json& function = tool.at("function");
    std::string name = function.at("name").get<std::string>();
    if (!only.empty() && name != only) continue;
    const auto parameters = function.find("parameters");
    schemas.push_back({std::move(name), parameters == function.end() ? R"({"type": "object"})" : dumped(*parameters)});
  }
  grammar::ToolCallFormat format;
  if (written == ToolStyle::Written::bare_json) format = {R"({"name": ")", R"(", "parameters": )", "}", {}};
  format.arguments.whitespace = grammar::Whitespace::compact;
  return grammar::tools(schemas, format);
}

}  // namespace frugal::server
