#include <frugal/text/chat_template.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "support/error_of.hpp"

using namespace frugal;
using frugal::testing::error_of;
using frugal::testing::mentions;

namespace {

std::string rendered(const char* source, const Chat& chat) { return ChatTemplate(source).render(chat).value().text; }

std::string error(const std::string& json) {
  return error_of([&] { chat_from_json(json, "m.json"); }).message();
}

}  // namespace

TEST_CASE("a conversation is an array of messages or an object that holds one") {
  const std::string bare = R"([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])";
  const Chat chat = chat_from_json(bare);
  REQUIRE(chat.messages.size() == 2);
  CHECK(chat.messages[1].role == "user");
  CHECK(chat.messages[1].content == "u");
  CHECK(chat.tools.empty());
  CHECK(chat.add_generation_prompt);
  const Chat more =
      chat_from_json(R"({"messages": )" + bare +
                     R"(, "tools": [{"name": "t"}], "add_generation_prompt": false, "template_name": "rag",
                                      "chat_template_kwargs": {"enable_thinking": false}})");
  CHECK(more.messages.size() == 2);
  CHECK(more.tools == R"([{"name": "t"}])");
  CHECK_FALSE(more.add_generation_prompt);
  CHECK(more.template_name == "rag");
  CHECK(more.variables == R"({"enable_thinking": false})");
}

TEST_CASE("tools and arguments keep the order of their keys and all digits of their integers") {
  const Chat chat = chat_from_json(R"({"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function":
      {"name": "move", "arguments": {"zone": "b", "at": "a", "n": 123456789012345678901234567890}}}]}],
      "tools": [{"type": "function", "function": {"name": "move", "description": "Moves"}}]})");
  CHECK(chat.messages[0].tool_calls[0].arguments == R"({"zone": "b", "at": "a", "n": 123456789012345678901234567890})");
  CHECK(rendered("{{ tools | tojson }}{{ messages[0].tool_calls[0].function.arguments | tojson }}", chat) ==
        R"([{"type": "function", "function": {"name": "move", "description": "Moves"}}])"
        R"({"zone": "b", "at": "a", "n": 123456789012345678901234567890})");
}

TEST_CASE("null content is not an empty text, and stays null on the way to the template") {
  const Chat chat = chat_from_json(R"([{"role": "user", "content": ""}, {"role": "assistant", "content": null,
      "tool_calls": [{"id": "c", "type": "function", "function": {"name": "move", "arguments": "{\"a\": 1}"}}]}])");
  CHECK_FALSE(chat.messages[0].null_content);
  CHECK(chat.messages[1].null_content);
  CHECK(rendered("{% for m in messages %}{{ m.content is none }} {% endfor %}", chat) == "False True ");
  CHECK(rendered("{% for m in messages %}{% if m.content is none %}CALL {{ m.tool_calls[0].function.name + ' ' + "
                 "m.tool_calls[0].function.arguments }}{% else %}SAY {{ m.content }}{% endif %};{% endfor %}",
                 chat) == "SAY ;CALL move {\"a\": 1};");
}

TEST_CASE("arguments reach the template in the form that it can print") {
  Chat chat;
  chat.messages = {{"user", "x"}, {"assistant", "", "", "", {{"c", "f", R"({"a":1.50})"}}}};
  // a template that prints an object, one that takes whichever it is given, one that knows texts only
  CHECK(rendered("{{ messages[1].tool_calls[0].function.arguments | tojson }}", chat) == R"({"a": 1.5})");
  CHECK(
      rendered("{% for m in messages %}{% for c in m.tool_calls %}{% set a = c.function.arguments %}{% if a is string "
               "%}{{ a }}{% else %}{{ a | tojson }}{% endif %}{% endfor %}{% endfor %}",
               chat) == R"({"a":1.50})");
  chat.messages[1].tool_calls[0].arguments = "{\"a\": \"\xC3\xA9\"}";
  CHECK(
      rendered("{% for m in messages %}{% for c in m.tool_calls %}{% set a = c.function.arguments %}{% if a is string "
               "%}{{ a }}{% else %}{{ a | tojson(ensure_ascii=true) }}{% endif %}{% endfor %}{% endfor %}",
               chat) == "{\"a\": \"\\u00e9\"}");
  chat.messages[1].tool_calls[0].arguments = R"({"a":1.50})";
  CHECK(rendered("{% for m in messages %}{% for c in m.tool_calls %}{{ '<' + c.function.arguments + '>' }}{% endfor %}"
                 "{% endfor %}",
                 chat) == R"(<{"a":1.50}>)");
  CHECK(
      rendered("{% for m in messages %}{% for c in m.tool_calls %}{% set a = c.function.arguments %}{% if a is mapping "
               "%}{% for k in a %}<{{ k }}>{% endfor %}{% else %}{{ a }}{% endif %}{% endfor %}{% endfor %}",
               chat) == "<a>");
}

TEST_CASE("content may be a list of text parts; a template that knows no lists gets them joined") {
  const Chat chat = chat_from_json(
      R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, "c"]}])");
  CHECK(chat.messages[0].parts == std::vector<std::string>{"a", "b", "c"});
  CHECK(rendered("{{ '[' + messages[0].content + ']' }}", chat) == "[a\nb\nc]");
  CHECK(rendered("{{ messages[0].content }}", chat) == "a\nb\nc");
  CHECK(rendered("{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
                 "<{{ p.text }}>{% endfor %}{% endif %}{% endfor %}",
                 chat) == "<a><b><c>");
  const std::string image = R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])";
  CHECK(error(image) ==
        "m.json: message 0: content part 0: parts of type \"image_url\" are not supported, only \"text\"");
}

TEST_CASE("fields of messages and calls that are not known reach the template") {
  const Chat chat = chat_from_json(R"([{"role": "assistant", "content": "x", "reasoning_content": "why", "prefix": true,
      "tool_calls": [{"id": "1", "index": 7, "function": {"name": "f", "arguments": {}}}]}])");
  CHECK(rendered("{% set m = messages[0] %}{{ m.reasoning_content }} {{ m.prefix }} {{ m.tool_calls[0].index }}",
                 chat) == "why True 7");
}

TEST_CASE("reasoning is called what the template calls it") {
  Chat chat;
  chat.messages = {{.role = "assistant", .content = "x", .reasoning = "why"}};
  CHECK(rendered("{{ messages[0].reasoning_content }}", chat) == "why");
  CHECK(rendered("{{ messages[0]['thinking'] }}", chat) == "why");
  CHECK(rendered("{{ messages[0].reasoning }}", chat) == "why");
}

TEST_CASE("an error in a conversation names file, message and field") {
  CHECK(error(R"([{"role": "user", "content": "a"}, {"role": "user"}])") ==
        "m.json: message 1: \"content\" is missing");
  CHECK(error(R"([{"content": "a"}])") == "m.json: message 0: \"role\" is missing");
  CHECK(error(R"([{"role": 1, "content": "a"}])") == "m.json: message 0: \"role\" must be a string");
  CHECK(error(R"([{"role": "user", "content": 5}])") ==
        "m.json: message 0: \"content\" must be a string, null or a list of parts");
  CHECK(error("[7]") == "m.json: message 0: must be an object with role and content");
  CHECK(error("[]") == "m.json: holds no message");
  CHECK(error("{}") == "m.json: must be an array of messages, or an object with a \"messages\" array");
  CHECK(error(R"({"messages": [], "temperature": 1})") == "m.json: the field \"temperature\" is not known");
  CHECK(error(R"([{"role": "user", "content": "a")") == "m.json: the text is not valid JSON: byte 32");
  CHECK(
      error(
          R"([{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "", "x": 1}}]}])") ==
      "m.json: message 0: tool call 0: the field \"x\" is not known");
}

TEST_CASE("a conversation nested beyond all need ends in an error") {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const std::string& json :
       {deep, R"({"messages": [{"role": "user", "content": "a"}], "tools": )" + deep + "}",
        R"([{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": )" +
            deep + "}}}]}]"})
    CHECK(error(json) == "m.json: the text is nested deeper than 200");
}
