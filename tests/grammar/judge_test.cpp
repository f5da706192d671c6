// Whole documents, judged after they were written, where keywords were left out of the constraint.
#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace frugal;
using namespace frugal::test;

namespace {

std::optional<DocumentVerdict> verdict(const char* schema, const char* text, const char* left_out) {
  const auto c = open(grammar::json_schema(schema, {.lenient = {left_out}}));
  REQUIRE(takes(*c, text));
  REQUIRE(c->state() != ConstraintState::open);
  return c->judge();
}

std::string said(const char* schema, const char* text, const char* left_out) {
  const std::optional<DocumentVerdict> v = verdict(schema, text, left_out);
  REQUIRE(v);
  return !v->valid ? "unknown: " + v->why : (*v->valid ? "valid" : "invalid: " + v->why);
}

}  // namespace

TEST_CASE("a document is judged by the keywords that were left out of its constraint") {
  CHECK(said(R"({"type":"string","pattern":"^a"})", "\"ab\"", "pattern") == "valid");
  CHECK(said(R"({"type":"string","pattern":"^a"})", "\"b\"", "pattern") == "invalid: the schema is not met");
  const char* nested =
      R"({"properties":{"n":{"type":"integer","multipleOf":3},"s":{"enum":["x"]}},"not":{"required":["z"]},"oneOf":[{"required":["n"]},{"required":["s"]}]})";
  CHECK(said(nested, R"({"n":9})", "multipleOf") == "valid");
  CHECK(said(nested, R"({"n":10})", "multipleOf") == "invalid: the schema at /properties/n is not met");
  CHECK(said(nested, R"({"n":9,"s":"x"})", "oneOf") == "invalid: the schema is not met");
  CHECK(said(nested, R"({"n":9,"z":1})", "not") == "invalid: the schema is not met");
  CHECK(said(R"({"uniqueItems":true,"contains":{"const":1}})", "[1,2,1.0]", "uniqueItems") ==
        "invalid: the schema is not met");
  CHECK(said(R"({"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#"}}],"maxItems":1})", "[[],[null]]",
             "maxItems") == "invalid: the schema is not met");
  CHECK(said(R"({"properties":{"a":{}},"unevaluatedProperties":{"minimum":3}})", R"({"b":2})",
             "unevaluatedProperties") == "invalid: the schema at /unevaluatedProperties is not met");
}

TEST_CASE("what cannot be judged is not known, unless something else decides") {
  const char* back = R"s({"properties":{"a":{"pattern":"^(x)\\1$"},"b":{"type":"integer"}}})s";
  CHECK(said(back, R"({"a":"xx"})", "pattern") ==
        "unknown: pattern at /properties/a: the pattern has a back reference (at byte 4)");
  CHECK(said(back, R"({"b":1})", "pattern") == "valid");
  CHECK(said(R"({"anyOf":[{"format":"regex"},{"const":"ab"}]})", "\"ab\"", "format") == "valid");
}

TEST_CASE("nothing is judged where nothing was left out") {
  const auto c = open(grammar::json_schema(R"({"type":"null"})"));
  REQUIRE(takes(*c, "null"));
  CHECK_FALSE(c->judge());
  const auto tool =
      open(grammar::tools({{"f", R"({"type":"null","format":"regex"})"}},
                          {.before = "", .between = ":", .after = "", .arguments = {.lenient = {"format"}}}));
  REQUIRE(takes(*tool, "f:null"));
  REQUIRE(tool->judge());
  CHECK_FALSE(tool->judge()->valid);
}

TEST_CASE("checking documents counts the keywords that were left out") {
  const auto check = grammar::check_json_schema(R"({"type":"integer","multipleOf":7})", {"14", "15", "null"},
                                                {.lenient = {"multipleOf"}});
  CHECK(check.compiled);
  CHECK(check.valid == std::vector<bool>{true, false, false});
}
