// Schemas and patterns made to cost: each ends soon, in an error by name or in a constraint that works.
#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>
#include <frugal/core/error.hpp>

#include <chrono>

using namespace frugal;
using namespace frugal::test;

namespace {

/// "" where it compiles and takes `text`, else the error. Fails after ten seconds.
template <class Make>
std::string outcome(const Make& make, std::string_view text = "") {
  const auto start = std::chrono::steady_clock::now();
  std::string what;
  try {
    const auto constraint = open(make());
    if (!text.empty() && !takes(*constraint, text)) what = "rejected";
    std::vector<std::uint32_t> words((json_tokenizer().size() + 31) / 32);
    constraint->mask(words);
  } catch (const Error& error) {
    what = error.message();
  }
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
  return what;
}

std::string repeated(const std::string& text, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("an enum of a million is looked up, not unrolled") {
  std::string schema = "{\"enum\":[\"x\"";
  for (int i = 0; i < 200'000; ++i) schema += ",\"" + std::to_string(i * 7919) + '"';
  CHECK(outcome([&] { return grammar::json_schema(schema + "]}"); }, "\"7919").empty());
}

TEST_CASE("counts of a million are counted, not unrolled") {
  CHECK(outcome([] { return grammar::regex("(ab){1,1000000}c"); }, "abab").empty());
  CHECK(outcome([] { return grammar::json_schema(R"({"type":"string","minLength":5,"maxLength":1000000})"); }, "\"abc")
            .empty());
  CHECK(outcome([] { return grammar::json_schema(R"({"type":"array","minItems":900000000,"items":{"type":"null"}})"); },
                "[null,")
            .empty());
  CHECK(outcome([] { return grammar::regex("(((a{1,1000}){1,1000}){1,1000}){1,1000}"); }, "aaaa").empty());
  CHECK(outcome([] { return grammar::regex("a{1,99999999999}"); }).find("repeat of more than") != std::string::npos);
}

TEST_CASE("automata that explode end at a limit") {
  CHECK(outcome([] { return grammar::regex("(a|b)*a(a|b){400}"); }, repeated("ab", 300)).empty());
  const std::string many = repeated("(?=.*a.{9}b)(?!.*b.{7}a)", 8);
  const std::string what = outcome([&] { return grammar::regex(many + "[ab]{30,}"); });
  CHECK((what.empty() || what.find("not known after") != std::string::npos ||
         what.find("no text is allowed") != std::string::npos));
}

TEST_CASE("nesting is bounded") {
  CHECK(outcome([] {
          return grammar::regex(repeated("(", 5'000) + "a" + repeated(")", 5'000));
        }).find("nested too deep") != std::string::npos);
  CHECK(outcome([] {
          return grammar::json_schema(repeated("{\"not\":", 5'000) + "{}" + repeated("}", 5'000));
        }).find("nested deeper") != std::string::npos);
  CHECK(outcome([] { return grammar::json_schema("{}"); }, repeated("[", 20'000)).empty());
  CHECK(outcome([] { return grammar::regex(repeated("a?", 5'000)); }, "aaaa").empty());
  CHECK(outcome([] { return grammar::regex(repeated("(^", 200) + "a" + repeated(")?", 200)); }, "a")
            .find("nested too deep") != std::string::npos);
}

TEST_CASE("branches that multiply end at a limit") {
  std::string schema = "{\"type\":\"object\",\"allOf\":[{}";
  for (int i = 0; i < 30; ++i) {
    const std::string n = std::to_string(i);
    schema += ",{\"anyOf\":[{\"required\":[\"a" + n + "\"]},{\"required\":[\"b" + n + "\"]}]}";
  }
  CHECK(outcome([&] { return grammar::json_schema(schema + "]}"); }).find("512 cases") != std::string::npos);
  CHECK(outcome([] {
          return grammar::json_schema(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})");
        }).find("leads back to itself") != std::string::npos);
  CHECK(outcome([] {
          return grammar::json_schema(R"({"properties":{"a":{"$ref":"#"}},"required":["a"],"type":"object"})");
        }).find("no value meets") != std::string::npos);
}

TEST_CASE("references elsewhere and texts without end are refused") {
  CHECK(outcome([] { return grammar::json_schema(R"({"$ref":"http://127.0.0.1/secret"})"); }).find("elsewhere") !=
        std::string::npos);
  CHECK(outcome([] { return grammar::json_schema(std::string(100'000'000, ' ')); }).find("more than 16 MiB") !=
        std::string::npos);
  CHECK(outcome([] { return grammar::json_schema("\xFF"); }).find("no JSON at byte") != std::string::npos);
}
