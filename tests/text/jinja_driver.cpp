// Renders cases for jinja_differential.py: one JSON object a line in, one JSON object a line out.
// Tools, extra and the arguments of calls are JSON text inside the JSON, so that nothing but frugal reads their
// numbers. In: {"template", "messages"?, "tools"?, "add_generation_prompt"?, "bos"?, "eos"?, "extra"?}. Out: {"text"}
// or
// {"error"}.
#include <frugal/text/chat_template.hpp>

#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::ordered_json;

frugal::Message message_of(const Json& row) {
  frugal::Message message{row.value("role", ""), ""};
  if (row.at("content").is_string()) message.content = row["content"];
  if (row.at("content").is_null()) message.null_content = true;
  if (row.at("content").is_array())
    for (const Json& part : row["content"]) message.parts.push_back(part.at("text"));
  if (row.contains("reasoning_content")) message.extra = Json{{"reasoning_content", row["reasoning_content"]}}.dump();
  message.name = row.value("name", "");
  message.tool_call_id = row.value("tool_call_id", "");
  for (const Json& call : row.value("tool_calls", Json::array())) {
    const Json& function = call.at("function");
    message.tool_calls.push_back({call.value("id", ""), function.at("name"), function.at("arguments")});
  }
  return message;
}

frugal::Chat chat_of(const Json& row) {
  frugal::Chat chat;
  for (const Json& message : row.value("messages", Json::array())) chat.messages.push_back(message_of(message));
  chat.tools = row.value("tools", "");
  chat.add_generation_prompt = row.value("add_generation_prompt", true);
  return chat;
}

// Compiles each template once, as a service does.
const frugal::ChatTemplate& compiled(const std::string& source) {
  static std::map<std::string, std::unique_ptr<frugal::ChatTemplate>> all;
  auto& slot = all[source];
  if (!slot) slot = std::make_unique<frugal::ChatTemplate>(source, "case");
  return *slot;
}

Json rendered(const Json& row) {
  try {
    const frugal::ChatTemplateContext context{row.value("bos", ""), row.value("eos", ""), row.value("extra", "")};
    const auto text = compiled(row.at("template")).render(chat_of(row), context);
    if (!text) return Json{{"error", text.error().message()}};
    Json content = Json::array();
    for (const frugal::TextRange& r : text->content) content.push_back({r.begin, r.end});
    return Json{{"text", text->text}, {"content", content}};
  } catch (const frugal::Error& error) {
    return Json{{"error", error.message()}};
  }
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << rendered(Json::parse(line)).dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  }
  return 0;
}
