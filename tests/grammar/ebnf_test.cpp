#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>
#include <frugal/core/error.hpp>

using namespace frugal;
using namespace frugal::test;

namespace {

void check(const char* grammar, const std::vector<const char*>& yes, const std::vector<const char*>& no) {
  const auto source = grammar::ebnf(grammar);
  for (const char* text : yes) {
    CAPTURE(grammar, text);
    CHECK(accepts(source, text));
  }
  for (const char* text : no) {
    CAPTURE(grammar, text);
    CHECK_FALSE(accepts(source, text));
  }
}

std::string fault_of(const std::string& grammar) {
  try {
    (void)grammar::ebnf(grammar);
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

}  // namespace

TEST_CASE("GBNF: literals, classes, groups, repeats and recursion") {
  check("root ::= \"a\" [0-9]+ (\"x\" | \"y\"){2} # a comment\n  | \"z\"?", {"a1xy", "a22yy", "z", ""},
        {"a", "axy", "a1x", "zz"});
  check("root ::= \"(\" root* \")\"", {"()", "(()())"}, {"", "(", "())"});
  check("root ::= expr\nexpr ::= expr \"+\" term | term\nterm ::= term \"*\" num | num\nnum ::= [1-9] [0-9]*",
        {"1", "1+2*30", "4*5+6"}, {"", "1+", "+1", "01"});
  check("root ::= a \"c\"\na ::= b \"x\" | \"y\"\nb ::= a \"z\" | \"w\"", {"yc", "wxc", "yzxc", "wxzxc"}, {"c", "yzc"});
  check("root ::= \"\\x41\\u00e9\" . [^\\n]", {"A\xC3\xA9!b"}, {"A\xC3\xA9!\n", "Ab!b"});
  check("root ::= p{2,3}\np ::= \"(\" p? \")\"", {"()()", "(())()()"}, {"()", "()()()()"});
}

TEST_CASE("Lark: terminals, patterns, options and what is ignored between terminals") {
  check(R"(start: pair ("," pair)*
pair: NAME "=" (NUMBER | start_list)
start_list: "[" [NUMBER ("," NUMBER)*] "]"
NAME: /[a-z]+/
%import common.NUMBER
%import common.WS
%ignore WS
)",
        {"a=1", "a = 1.5 , b=[1,2]", " a=[] "}, {"a=", "a1=1", "a=1,"});
  check("start: \"ab\"i \"0\"..\"3\"~2 -> x\n     | /x\\/y/", {"AB03", "ab12", "x/y"}, {"ab4", "ab1", "xy"});
  check("?start: start \"-\" ATOM | ATOM\nATOM.2: \"n\" | \"(\" start2 \")\"\nstart2: \"m\"", {"n", "n-n-(m)"},
        {"-n", "n-"});
}

TEST_CASE("an ambiguous grammar is followed in all its readings") {
  const auto source = grammar::ebnf("root ::= e\ne ::= e \"+\" e | \"n\"");
  std::string text = "n";
  for (int i = 0; i < 60; ++i) text += "+n";
  CHECK(accepts(source, text));
  CHECK_FALSE(accepts(source, text + "+"));
  CHECK(accepts(grammar::ebnf("root ::= (\"a\"* \"b\"*)* c\nc ::= \"(\" c \")\" | \"x\""), "abba((x))"));
}

TEST_CASE("a malformed grammar is refused with its line") {
  CHECK(fault_of("root ::= \"a\"\nx ::= (\"b\"").find("line 2") != std::string::npos);
  CHECK(fault_of("root ::= y").find("the rule y is missing") != std::string::npos);
  CHECK(fault_of("a ::= \"b\"").find("the rule root is missing") != std::string::npos);
  CHECK(fault_of("root ::= \"a\" root").find("no text is allowed") != std::string::npos);
  CHECK(fault_of("root ::= \"a\"\nroot ::= \"b\"").find("twice") != std::string::npos);
  CHECK(fault_of("start: %x").find("line 1") != std::string::npos);
  CHECK(fault_of("root ::= [a").find("without its ]") != std::string::npos);
}

TEST_CASE("a tool call names an offered function and has arguments of its schema") {
  const auto source = grammar::tools(
      {{"get_time",
        R"({"type":"object","properties":{"zone":{"type":"string"}},"required":["zone"],"additionalProperties":false})"},
       {"add",
        R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false})"}});
  CHECK(accepts(source, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"));
  CHECK(accepts(source, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"zone\": \"x\"}}\n</tool_call>"));
  CHECK_FALSE(accepts(source, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"zone\": \"x\"}}\n</tool_call>"));
  CHECK_FALSE(accepts(source, "<tool_call>\n{\"name\": \"sub\", \"arguments\": {\"a\": 1}}\n</tool_call>"));
  CHECK_THROWS_AS(grammar::tools({}), Error);
  CHECK_THROWS_AS(grammar::tools({{"f", R"({"$ref":"http://x/y"})"}}), Error);
}
