// What the differential test against jinja2 does not reach: the public API, errors, limits, and input that is ours
// alone.
#include <frugal/text/chat_template.hpp>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace {

using frugal::Chat;
using frugal::ChatTemplate;
using frugal::ChatTemplateContext;
using frugal::Errc;

std::string rendered(std::string_view source, const Chat& chat = {}, const ChatTemplateContext& context = {}) {
  return ChatTemplate(source).render(chat, context).value().text;
}

frugal::Error failed(std::string_view source, const Chat& chat = {}, const ChatTemplateContext& context = {}) {
  const auto text = ChatTemplate(source, "demo").render(chat, context);
  REQUIRE_FALSE(text.has_value());
  return text.error();
}

frugal::Error refused(std::string_view source) {
  try {
    ChatTemplate compiled(source, "demo");
  } catch (const frugal::Error& error) {
    return error;
  }
  FAIL("the template was accepted");
  return {Errc::internal, ""};
}

Chat hello() {
  Chat chat;
  chat.messages = {{"user", "Hi"}};
  return chat;
}

}  // namespace

TEST_CASE("ChatML renders turns and the header of the answer") {
  CHECK(rendered(ChatTemplate::chatml(), hello()) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  Chat closed = hello();
  closed.add_generation_prompt = false;
  CHECK(rendered(ChatTemplate::chatml(), closed) == "<|im_start|>user\nHi<|im_end|>\n");
}

TEST_CASE("a message shows only the fields it has, and a call's arguments as an object") {
  Chat chat;
  chat.messages = {{"assistant", "", "", "", {{"c1", "add", R"({"z": 1, "a": [2.50, 18446744073709551616]})"}}}};
  CHECK(rendered("{{ messages[0] | tojson }}", chat) ==
        R"({"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": )"
        R"({"name": "add", "arguments": {"z": 1, "a": [2.5, 18446744073709551616]}}}]})");
  chat.messages[0].tool_calls[0].arguments.clear();
  CHECK(rendered("{{ messages[0].tool_calls[0].function.arguments }}", chat) == "{}");
}

TEST_CASE("tools are none unless given") {
  CHECK(rendered("{{ tools is none }}") == "True");
  Chat chat;
  chat.tools = R"([{"b": 1, "a": 2}])";
  CHECK(rendered("{{ tools[0] | tojson }}", chat) == R"({"b": 1, "a": 2})");
}

TEST_CASE("malformed JSON ends in an error that says which JSON it was") {
  Chat chat = hello();
  chat.tools = "[{]";
  CHECK(failed("x", chat).message().find("list of tools is not valid JSON: byte 2") != std::string::npos);
  chat.tools = "{}";
  CHECK(failed("x", chat).message().find("must be a JSON array") != std::string::npos);
  chat.tools.clear();
  chat.messages[0].tool_calls = {{"c", "add", "{\"a\": "}};
  CHECK(failed("x", chat).message().find("tool call 'add'") != std::string::npos);
  CHECK(failed("x", hello(), {"", "", "[1]"}).message().find("extra must be a JSON object") != std::string::npos);
  CHECK(failed("x", hello(), {"", "", std::string(100000, '[')}).code() == Errc::too_large);
}

TEST_CASE("the date comes from the caller or not at all") {
  const ChatTemplateContext dated{"", "", R"({"strftime_now": "2024-07-04T15:09:00"})"};
  CHECK(rendered("{{ strftime_now('%d %b %Y, %A, day %-j, %I:%M %p') }}", {}, dated) ==
        "04 Jul 2024, Thursday, day 186, 03:09 PM");
  CHECK(rendered("{{ strftime_now is defined }}") == "False");
  CHECK(failed("{{ strftime_now('%Y') }}").message().find("needs a date") != std::string::npos);
  CHECK(failed("x", {}, {"", "", R"({"strftime_now": "2024-02-30"})"}).message().find("must be a date") !=
        std::string::npos);
}

TEST_CASE("an error at run time names template and line") {
  const frugal::Error error = failed("a\n{% if true %}\n{{ missing.x }}{% endif %}");
  CHECK(error.code() == Errc::invalid_argument);
  CHECK(error.message() == "demo:3: 'missing' is undefined");
  CHECK(failed("\n\n{{ raise_exception('roles must alternate') }}").message() == "demo:3: roles must alternate");
}

TEST_CASE("Jinja we lack is told apart from text that is no Jinja, with its line") {
  CHECK(refused("\n{% include 'x' %}").code() == Errc::unsupported);
  CHECK(refused("\n{% include 'x' %}").message() == "demo:2: tag 'include' is not supported");
  CHECK(refused("{% call m() %}{% endcall %}").code() == Errc::unsupported);
  CHECK(refused("{% for x in y recursive %}{% endfor %}").code() == Errc::unsupported);
  for (const char* wrong :
       {"{{ x", "{% if %}{% endif %}", "{% for x in y %}", "{% endif %}", "{{ 'x }}", "{% raw %}", "{# x"}) {
    INFO(wrong);
    CHECK(refused(wrong).code() == Errc::bad_model);
  }
}

TEST_CASE("a hostile template ends in an error soon, without much memory and without a deep stack") {
  for (const char* hostile :
       {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='abcdefgh') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{{ 'x' * 99999999999 }}", "{{ [0] * 99999999999 }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(190) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
        // searches of long texts in long texts, which a naive search does in n times m steps
        "{% set a = 'a' * 4000000 %}{% set b = 'a' * 2000000 ~ 'b' %}{% for i in range(99999) %}{{ b in a }}{% endfor "
        "%}",
        "{% set a = 'a' * 4000000 %}{% set b = 'a' * 2000000 ~ 'b' %}{% for i in range(99999) %}{{ a.split(b)|length }}"
        "{% endfor %}",
        "{% set a = 'a' * 4000000 %}{% for i in range(99999) %}{{ a.strip(a) }}{% endfor %}",
        "{% set a = 'a' * 4000000 %}{% for i in range(99999) %}{{ {a: 1}[a] }}{% endfor %}"}) {
    INFO(hostile);
    CHECK(failed(hostile).code() == Errc::too_large);
  }
  CHECK(refused("{{ " + std::string(100000, '(') + " }}").code() == Errc::bad_model);
  CHECK(refused("{{ 1" +
                [] {
                  std::string s;
                  for (int i = 0; i < 5000; ++i) s += "+1";
                  return s;
                }() +
                " }}")
            .code() == Errc::bad_model);
}

TEST_CASE("namespaces and macros that refer to themselves are given back") {
  CHECK(rendered("{% set a = namespace() %}{% set a.self = a %}{% macro m() %}{{ m is defined }}{% endmacro %}{% set "
                 "a.m = m %}{{ a.m() }}") == "True");
}

TEST_CASE("a byte that is no UTF-8 passes through as it is") {
  Chat chat;
  chat.messages = {{"user", "a\xFF\xC3z"}};
  CHECK(rendered("{{ messages[0].content | trim }}{{ messages[0].content | length }}", chat) == "a\xFF\xC3z4");
}

TEST_CASE("a long conversation stays within the limits") {
  Chat chat;
  for (int i = 0; i < 4000; ++i) chat.messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(500, 'x')});
  const std::string source =
      "{% for m in messages %}{% if loop.index0 == messages|length - 1 or 'tool_calls' in m %}!{% endif %}{{ "
      "m.content|trim + '\n' }}{% endfor %}";
  CHECK(rendered(source, chat).size() == 4000 * 501 + 1);
}

TEST_CASE("one compiled template renders on many threads at once") {
  const ChatTemplate shared(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for i in [1, 'a', none] %}{{ m(i) }}{% endfor %}{{ "
      "messages[0].content }}");
  std::vector<std::string> texts(8);
  std::vector<std::thread> threads;
  for (std::string& text : texts)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) text = shared.render(hello()).value().text;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(texts == std::vector<std::string>(8, "<1><a><None>Hi"));
}

TEST_CASE("what no branch reaches needs not be known; what is reached is named, with its line") {
  CHECK(rendered("{% if false %}{{ 'x' | no_such_filter }}{{ 1 is no_such_test }}{% endif %}hi") == "hi");
  CHECK(failed("\n{{ 'x' | no_such_filter }}").message() == "demo:2: there is no filter 'no_such_filter'");
  CHECK(failed("{{ 1 is no_such_test }}").message() == "demo:1: there is no test 'no_such_test'");
  CHECK(failed("{{ [1] | groupby('a') }}").code() == Errc::unsupported);
  CHECK(failed("{{ [1] | groupby('a') }}").message() == "demo:1: the filter 'groupby' is not supported");
  CHECK(failed("{{ 'x'.zfill(9) }}").message() == "demo:1: the method 'zfill' of a str is not supported");
}

TEST_CASE("a template with a hundred thousand names costs no more than they are long") {
  std::string source;
  for (int i = 0; i < 100000; ++i) source += "{% set n" + std::to_string(i) + " = 1 %}";
  CHECK(rendered(source + "{{ n0 + n99999 }}") == "2");
}

TEST_CASE("the date comes from the context, or from a variable that says another") {
  ChatTemplateContext context;
  context.now = std::chrono::sys_days(std::chrono::year(2026) / 3 / 1) + std::chrono::hours(13);
  CHECK(rendered("{{ strftime_now('%d %b %Y %H:%M') }}", {}, context) == "01 Mar 2026 13:00");
  Chat chat;
  chat.variables = R"({"strftime_now": "2024-07-04"})";
  CHECK(rendered("{{ strftime_now('%d %b %Y') }}", chat, context) == "04 Jul 2024");
}

TEST_CASE("variables of the chat reach the template and go before those of the context") {
  Chat chat = hello();
  chat.variables = R"({"enable_thinking": false, "n": 123456789012345678901234567890})";
  CHECK(rendered("{{ enable_thinking }} {{ n }} {{ other }}", chat,
                 {"", "", R"({"enable_thinking": true, "other": 1})"}) == "False 123456789012345678901234567890 1");
  chat.variables = R"({"messages": []})";
  CHECK(failed("x", chat).message() == "demo: Chat::variables must not hold 'messages', which is a field of its own");
  chat.variables = "[1]";
  CHECK(failed("x", chat).message() == "demo: Chat::variables must be a JSON object, not a list");
}

TEST_CASE("tools that the template never looks at are refused, not dropped") {
  Chat chat = hello();
  chat.tools = R"([{"name": "a"}, {"name": "b"}])";
  const frugal::Error error = failed("{{ messages[0].content }}", chat);
  CHECK(error.code() == Errc::unsupported);
  CHECK(error.message() == "demo: the template does not look at tools; the request has 2 of them");
  CHECK(rendered("{% if tools %}{{ tools | length }}{% endif %}", chat) == "2");
  chat.tools = "[]";
  CHECK(rendered("{{ messages[0].content }}", chat) == "Hi");
}

TEST_CASE("fields that contradict each other are refused") {
  Chat chat = hello();
  chat.messages[0].null_content = true;
  CHECK(failed("x", chat).message() == "demo: a message has null_content and a content");
  chat = hello();
  chat.messages[0].parts = {"a"};
  CHECK(failed("x", chat).message() == "demo: a message has a content and parts");
  chat = hello();
  chat.messages[0].extra = R"({"role": "system"})";
  CHECK(failed("x", chat).message() == "demo: extra of a message must not hold the field 'role'");
}

TEST_CASE("safe makes what jinja2 makes: text is added to it only escaped") {
  CHECK(rendered("{{ '<a>' | safe }}{{ '<b>' + ('<a>' | safe) }}{{ ('<a>' | safe) ~ '<b>' }}") ==
        "<a>&lt;b&gt;<a><a><b>");
}
