// AnswerSplitter: thoughts, text and calls out of one text, whatever the pieces it comes in.
#include "server/answer_splitter.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

using namespace frugal::server;

namespace {

struct Parts {
  std::string text{}, thought{};
  std::vector<std::string> calls{};
  friend bool operator==(const Parts&, const Parts&) = default;
};

Parts split(const std::string& answer, std::size_t piece, ToolStyle style = {},
            std::vector<std::string> tools = {"f", "g"}) {
  AnswerSplitter splitter(style, std::move(tools));
  std::vector<AnswerPiece> out;
  for (std::size_t at = 0; at < answer.size(); at += piece) splitter.feed(answer.substr(at, piece), out);
  splitter.end(out);
  Parts parts;
  for (const AnswerPiece& p : out) {
    if (p.kind == AnswerPiece::Kind::call)
      parts.calls.push_back(p.call.name + p.call.arguments);
    else
      (p.kind == AnswerPiece::Kind::text ? parts.text : parts.thought) += p.text;
  }
  return parts;
}

void check(const std::string& answer, const Parts& parts, ToolStyle style = {},
           std::vector<std::string> tools = {"f", "g"}) {
  for (const std::size_t piece : {1, 2, 3, 7, 1000}) {
    INFO(answer << " in pieces of " << piece);
    CHECK(split(answer, piece, style, tools) == parts);
  }
}

}  // namespace

TEST_CASE("an answer without marks is text") {
  check("Hello <b>there</b> <tool", {"Hello <b>there</b> <tool", "", {}});
  check("  spaced ", {"  spaced ", "", {}});
  check("", {});
}

TEST_CASE("calls in tags are taken out of the text") {
  check(
      "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n"
      "<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>\n",
      {"Let me see.\n", "", {"f{\"x\":1}", "g{}"}});
  check("<tool_call>[{\"name\": \"f\", \"arguments\": {\"b\": 2, \"a\": 1}}]</tool_call>",
        {"", "", {"f{\"b\":2,\"a\":1}"}});
  check("<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"</tool\"}}", {"", "", {"f{\"x\":\"</tool\"}"}});
}

TEST_CASE("what only looks like a call stays text") {
  for (const char* text : {"<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
                           "<tool_call>no JSON</tool_call>", "<tool_call>{\"name\": \"f\", \"arg",
                           "<tool_call>{\"name\": \"f\", \"arguments\": 3}</tool_call>", "<tool_call>[]</tool_call>"})
    check(text, {text, "", {}});
  check("<tool_call>{\"name\": \"f\"}</tool_call>", {"<tool_call>{\"name\": \"f\"}</tool_call>", "", {}}, {}, {});
}

TEST_CASE("thoughts are told apart, whether the model or its template opens them") {
  check("<think>\nhm\n</think>\n\nYes.", {"Yes.", "\nhm\n", {}});
  check("\n<think>hm", {"", "hm", {}});
  check("hm</think>Yes.", {"Yes.", "hm", {}}, {.opens_thought = true});
  check("<thin", {"<thin", "", {}});
  check("Yes <think>no</think>", {"Yes <think>no</think>", "", {}});
}

TEST_CASE("a bare JSON call is the whole answer") {
  const ToolStyle llama{.written = ToolStyle::Written::bare_json};
  check("{\"name\": \"f\", \"parameters\": {\"x\": 1}}", {"", "", {"f{\"x\":1}"}}, llama);
  check("{\"name\": \"other\", \"parameters\": {}}", {"{\"name\": \"other\", \"parameters\": {}}", "", {}}, llama);
  check("Hello {\"name\"", {"Hello {\"name\"", "", {}}, llama);
}
