// No text that a constraint has let through so far leads to a place where nothing may follow.
#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>

using namespace frugal;
using namespace frugal::test;

namespace {

// What a model with a liking for short texts and for what it has said before would write: small alphabets repeat.
std::string dead_end_of(const char* schema, unsigned seed, const grammar::JsonSchemaOptions& options) {
  const auto c = open(grammar::json_schema(schema, options));
  std::mt19937 random(seed);
  std::string text;
  std::vector<std::uint32_t> words((json_tokenizer().size() + 31) / 32);
  for (int step = 0; step < 120 && c->state() != ConstraintState::finished; ++step) {
    c->mask(words);
    std::vector<Token> all, liked;
    for (std::size_t t = 0; t < json_tokenizer().size(); ++t) {
      if (((words[t / 32] >> (t % 32)) & 1) == 0 || json_tokenizer().is_end(static_cast<Token>(t))) continue;
      all.push_back(static_cast<Token>(t));
      const std::string_view bytes = json_tokenizer().bytes(static_cast<Token>(t));
      if (bytes.find_first_not_of("ab01\"{}[],:truefalsn") == std::string_view::npos) liked.push_back(all.back());
    }
    if (all.empty()) return c->state() == ConstraintState::open ? "dead: " + text : "";
    const std::vector<Token>& from = liked.empty() || random() % 16 == 0 ? all : liked;
    const Token t = from[random() % from.size()];
    if (!c->advance(t)) return "refused: " + text + std::string(json_tokenizer().bytes(t));
    text += json_tokenizer().bytes(t);
  }
  return "";
}

}  // namespace

TEST_CASE("no schema leads to a place where nothing may follow: names, members and items that run out") {
  const char* const schemas[] = {
      R"({"type":"object","propertyNames":{"enum":["a","b","ab"]}})",
      R"({"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"string"},"minProperties":1})",
      R"s({"type":"object","patternProperties":{"^a[01]{1,2}$":{"type":"null"}},"additionalProperties":false})s",
      R"s({"type":"object","patternProperties":{"^[ab]{12}$":{}},"additionalProperties":false})s",
      R"({"type":"array","uniqueItems":true,"items":{"type":"boolean"}})",
      R"({"type":"array","uniqueItems":true,"items":{"enum":["a","ab","abc",1,10,null]}})",
      R"({"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":11},"minItems":2})",
      R"s({"type":"array","uniqueItems":true,"items":{"type":"string","pattern":"^[ab]{9}$"}})s",
      R"({"type":"array","contains":{"const":"a"},"maxItems":2})",
      R"({"type":"array","contains":{"type":"string","minLength":2},"minContains":2,"maxContains":2,"maxItems":3})",
      R"({"type":"array","allOf":[{"contains":{"const":"a"}},{"contains":{"const":"b"}}],"maxItems":2})",
      R"({"type":"array","prefixItems":[{"type":"string"},{"type":"string"}],"contains":{"const":"a"},"items":false})",
      R"({"type":"object","dependentRequired":{"a":["b"]},"properties":{"b":false}})",
      R"({"type":"object","dependentRequired":{"a":["b"]},"maxProperties":1})",
      R"({"type":"object","dependentRequired":{"b":["a"]},"properties":{"a":{},"b":{}},"x-order":"schema"})",
      R"({"type":"object","properties":{"a":{},"b":{}},"minProperties":2,"additionalProperties":false,"x-order":"schema"})",
      R"({"type":"object","maxProperties":2,"not":{"propertyNames":{"not":{"pattern":"a"}}},"minProperties":1})",
      R"({"type":"object","maxProperties":2,"allOf":[{"not":{"propertyNames":{"not":{"pattern":"a"}}}},{"not":{"propertyNames":{"not":{"pattern":"b"}}}},{"not":{"propertyNames":{"not":{"pattern":"0"}}}}]})",
      R"({"type":"object","not":{"patternProperties":{"^a$":{"type":"string"}}}})"};
  for (const char* schema : schemas) {
    for (unsigned seed = 0; seed < 60; ++seed) {
      const auto space = seed % 2 == 0 ? grammar::Whitespace::compact : grammar::Whitespace::flexible;
      CAPTURE(schema, seed);
      REQUIRE(dead_end_of(schema, seed, {.whitespace = space}) == "");
    }
  }
}

TEST_CASE("members of few names, and lists of few values, end where they are used up") {
  const auto names = grammar::json_schema(R"({"type":"object","propertyNames":{"enum":["a","b"]}})");
  CHECK(accepts(names, R"({"b":1,"a":2})"));
  CHECK_FALSE(accepts(names, R"({"a":1,"a":2})"));
  CHECK_FALSE(takes(*open(names), R"({"a":1,"b":2,)"));
  const auto flags = grammar::json_schema(R"({"type":"array","uniqueItems":true,"items":{"type":"boolean"}})");
  CHECK(accepts(flags, "[true,false]"));
  CHECK_FALSE(takes(*open(flags), "[true,false,"));
  CHECK_FALSE(takes(*open(flags), "[true,t"));
  CHECK_THROWS(grammar::json_schema(R"({"type":"array","uniqueItems":true,"items":{"type":"boolean"},"minItems":3})"));
  const auto order = grammar::json_schema(
      R"({"type":"object","properties":{"x":{}},"patternProperties":{"^[ab]$":{}},"additionalProperties":false,"x-order":"schema"})");
  CHECK(accepts(order, R"({"x":1,"b":1,"a":2})"));
  CHECK_FALSE(accepts(order, R"({"b":1,"x":1})"));
}
