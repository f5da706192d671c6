// Which bytes of a rendered prompt are the caller's.
#include <frugal/text/chat_template.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>

using namespace frugal;

namespace {

/// The prompt with the caller's bytes in brackets.
std::string marked(const char* source, const Chat& chat) {
  const RenderedPrompt prompt = ChatTemplate(source).render(chat).value();
  std::string out;
  std::size_t at = 0;
  for (const TextRange& r : prompt.content) {
    out += prompt.text.substr(at, r.begin - at) + "[" + prompt.text.substr(r.begin, r.end - r.begin) + "]";
    at = r.end;
  }
  return out + prompt.text.substr(at);
}

Chat says(std::string content) {
  Chat chat;
  chat.messages = {{"user", std::move(content)}};
  return chat;
}

std::string of(const std::string& expression, const char* content = " a-b ") {
  return marked(("{% set c = messages[0].content %}{{ " + expression + " }}").c_str(), says(content));
}

}  // namespace

TEST_CASE("text of the template and text of a message stay apart through what templates do with them") {
  CHECK(of("c") == "[ a-b ]");
  CHECK(of("'<' + c + '>'") == "<[ a-b ]>");
  CHECK(of("'<' ~ c ~ 1") == "<[ a-b ]1");
  CHECK(of("'<' + c | trim + '>'") == "<[a-b]>");
  CHECK(of("('<' + c + '>') | trim") == "<[ a-b ]>");
  CHECK(of("c.strip() + c.lstrip() + c.rstrip()") == "[a-ba-b  a-b]");
  CHECK(of("c | replace('-', '<|>')") == "[ a]<|>[b ]");
  CHECK(of("'x-y-' | replace('-', c)") == "x[ a-b ]y[ a-b ]");
  CHECK(of("c.split('-')[0] + '|' + c.split('-')[-1]") == "[ a]|[b ]");
  CHECK(of("[c, 'x', c] | join('+')") == "[ a-b ]+x+[ a-b ]");
  CHECK(of("'+'.join([c, c])") == "[ a-b ]+[ a-b ]");
  CHECK(of("c[1:2] + '/' + c[-2]") == "[a]/[b]");
  CHECK(of("('<' ~ c)[::-1]") == "[ b-a ]<");
  CHECK(of("c * 2") == "[ a-b  a-b ]");
  CHECK(of("'%s<%s' % (c, 1)") == "[ a-b ]<1");
  CHECK(of("'{}<{}'.format(c, 1)") == "[ a-b ]<1");
  CHECK(of("'<%s>' | format(c)") == "<[ a-b ]>");
  CHECK(of("c | default('x')") == "[ a-b ]");
  CHECK(of("missing | default('x')") == "x");
  CHECK(of("('a\\n' ~ c) | indent(2)") == "a\n  [ a-b ]");
  CHECK(of("c | e", "<") == "[&lt;]");
  CHECK(of("c.removeprefix(' ')") == "[a-b ]");
  CHECK(of("c if c else 'x'") == "[ a-b ]");
}

TEST_CASE("what is made of the caller's text in a way that loses its place is the caller's as a whole") {
  CHECK(of("('<' ~ c) | upper") == "[< A-B ]");
  CHECK(of("{'k': c}") == "[{'k': ' a-b '}]");
  CHECK(of("{'k': c} | tojson") == R"([{"k": " a-b "}])");
  CHECK(of("{'k': 1} | tojson") == R"({"k": 1})");
  CHECK(of("('\"' ~ c ~ '\"') | from_json") == "[ a-b ]");
}

TEST_CASE("marks live through variables, blocks, macros, namespaces and loops") {
  CHECK(marked("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(messages[0].content) }}", says("a")) == "<[a]>");
  CHECK(marked("{% set x %}<{{ messages[0].content }}>{% endset %}{{ x }}", says("a")) == "<[a]>");
  CHECK(marked("{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t ~ '<' ~ m.content %}{% endfor "
               "%}{{ ns.t }}",
               says("a")) == "<[a]");
  CHECK(marked("{% filter trim %} <{{ messages[0].content }}> {% endfilter %}", says("a")) == "<[a]>");
  CHECK(marked("{% for x in messages[0].content %}{{ x }}.{% endfor %}", says("ab")) == "[a].[b].");
}

TEST_CASE("all that a request says is the caller's, but for the roles that everybody knows") {
  Chat chat;
  chat.messages = {{"user", "c", "n", "i"},
                   {.role = "<|x|>", .content = "", .parts = {"p"}, .reasoning = "r", .extra = R"({"k": "e"})"},
                   {.role = "assistant", .content = "", .tool_calls = {{"d", "f", R"({"k": "v"})"}}}};
  chat.tools = R"([{"name": "t"}])";
  chat.variables = R"({"v": "w"})";
  CHECK(
      marked(
          "{{ v }},{{ tools[0].name }},{% for m in messages %}{{ m.role }},{{ m.content is string and m.content }}"
          "{% if m.content is not string %}{{ m.content[0].text }}{% endif %},"
          "{{ m.name }},{{ m.tool_call_id }},{{ m.reasoning_content }},{{ m.k }},{% for c in m.tool_calls %}{{ c.id }},"
          "{{ c.function.name }},{{ c.function.arguments.k }}{% endfor %};{% endfor %}",
          chat) == "[w],[t],user,[c],[n],[i],,,;[<|x|>],False[p],,,[r],[e],;assistant,,,,,,[d],[f],[v];");
  CHECK(marked("{{ '<|' + messages[0].role + '|>' }}", says("a")) == "<|user|>");
}

TEST_CASE("tokens of the template are not the caller's") {
  Chat chat = says("a");
  const RenderedPrompt prompt = ChatTemplate("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
                                    .render(chat, {"<s>", "</s>", {}, {}})
                                    .value();
  CHECK(prompt.text == "<s>a</s>");
  CHECK(prompt.content == std::vector<TextRange>{{3, 4}});
}
