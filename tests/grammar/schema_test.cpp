#include "grammar/schema_cases.hpp"

#include <frugal/grammar/object_schema.hpp>

#include <catch2/catch_test_macros.hpp>
#include <frugal/core/error.hpp>

using namespace frugal;
using namespace frugal::test;

TEST_CASE("the empty schema takes any JSON and nothing else") {
  check({{"{}",
          {"null", "true", "-0", "1e5", "\"\"", "\"\\u00e9\\n\\\"\"", "[]", "[ ]", "{}", "[1, [2,{\"a\":null}]]",
           "{\"a\":{\"a\":1},\"b\":[]}"},
          {"", "nul", "01", "1.", ".5", "+1", "\"", "\"\n\"", "\"\\x\"", "[1,]", "[,]", "{\"a\"}", "{\"a\":1,}",
           "{a:1}", "1 2", "'a'", "{\"a\":1,\"a\":2}", "\"\\ud800\""}}});
  CHECK_THROWS_AS(grammar::json_schema("false"), Error);
  CHECK_THROWS_AS(grammar::json_schema("{"), Error);
}

TEST_CASE("type, enum and const") {
  check({{R"({"type":"integer"})", {"0", "-12"}, {"1.5", "1e2", "\"1\"", "null"}},
         {R"({"type":["null","boolean"]})", {"null", "true", "false"}, {"0", "\"null\""}},
         {R"({"enum":["a","ab",1,null,{"x":[1]}]})",
          {"\"a\"", "\"ab\"", "1", "1.0", "null", "{\"x\":[1]}", "{ \"x\": [1.0]}"},
          {"\"b\"", "\"\"", "10", "true", "{}", "{\"x\":[2]}", "{\"x\":[1],\"y\":1}"}},
         {R"({"const":"\u00e9\n"})",
          {"\"\xC3\xA9\\n\"", "\"\\u00e9\\n\"", "\"\\u00E9\\u000a\""},
          {"\"e\\n\"", "\"\\n\""}},
         {R"({"const":0.1})", {"0.1", "0.10", "1e-1", "1.0E-01"}, {"0.11", "0", "-0.1", "1e-2"}}});
}

TEST_CASE("numbers within bounds, exactly, however they are written") {
  check({{R"({"minimum":-1.5,"maximum":20})",
          {"-1.5", "-1.50", "0", "20", "20.000", "19.999999999999999999999", "2e1", "1.9e1"},
          {"-1.51", "20.0000000000000000000001", "21", "-2", "2.1e1", "100", "1e2"}},
         {R"({"exclusiveMinimum":0})", {"1", "1e-300", "0.0001", "12e5"}, {"0", "-1", "-0", "0.000", "0e5"}},
         {R"({"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":12})", {"10", "11"}, {"9", "12", "100", "-10"}},
         {R"({"$schema":"http://json-schema.org/draft-04/schema#","minimum":5,"exclusiveMinimum":true})",
          {"5.1", "6"},
          {"5", "5.0"}},
         {R"({"multipleOf":0.01})", {"1.25", "3", "0.10", "-7.1"}, {"1.255", "0.001"}},
         {R"({"type":"integer","multipleOf":7,"minimum":100})", {"105", "700"}, {"98", "106", "7"}},
         {R"({"minimum":123456789012345678901234567890})",
          {"123456789012345678901234567890", "2e29"},
          {"123456789012345678901234567889", "1e29"}}});
}

TEST_CASE("strings by length, pattern and format together") {
  check(
      {{R"({"type":"string","minLength":2,"maxLength":3})",
        {"\"ab\"", "\"\xC3\xA9\\u00e9\\n\"", "\"\\ud83d\\ude00a\""},
        {"\"a\"", "\"abcd\""}},
       {R"({"type":"string","pattern":"b+","minLength":3})", {"\"abc\"", "\"bbb\""}, {"\"ab\"", "\"aaa\""}},
       {R"({"type":"string","pattern":"^[^/]+$","maxLength":2})",
        {"\"a\"", "\"\\\"b\""},
        {"\"\"", "\"a/\"", "\"abc\""}},
       {R"({"type":"string","format":"date"})",
        {"\"2024-02-29\""},
        {"\"2023-02-29\"", "\"2024-13-01\"", "\"2024-1-01\""}},
       {R"({"type":"string","format":"date-time"})",
        {"\"2024-01-31T23:59:59.5Z\"", "\"2024-01-31T00:00:00+01:00\""},
        {"\"2024-01-31\"", "\"2024-01-31T24:00:00Z\""}},
       {R"({"type":"string","format":"ipv6"})",
        {"\"::1\"", "\"fe80::1:2\"", "\"1:2:3:4:5:6:7:8\"", "\"::\""},
        {"\"1:2:3\"", "\"::1::\"", "\"12345::\""}},
       {R"({"type":"string","format":"uuid"})", {"\"01234567-89ab-cdef-0123-456789abcdef\""}, {"\"0123456789abcdef\""}},
       {R"({"type":"string","format":"email"})", {"\"a.b@c.de\""}, {"\"a@\"", "\"@b\"", "\"a b@c\""}},
       {R"({"type":"string","format":"own"})", {"\"anything\""}, {"1"}}});
}

TEST_CASE("arrays: items, lengths, contains and different items") {
  check({{R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":2})",
          {"[1]", "[1, 2]"},
          {"[]", "[1,2,3]", "[\"a\"]"}},
         {R"({"type":"array","prefixItems":[{"type":"string"},{"type":"null"}],"items":false})",
          {"[]", "[\"a\"]", "[\"a\",null]"},
          {"[null]", "[\"a\",null,1]"}},
         {R"({"type":"array","contains":{"type":"null"},"minContains":2,"maxContains":3})",
          {"[null,1,null]", "[null,null,null]"},
          {"[null]", "[null,null,null,null]", "[]"}},
         {R"({"type":"array","uniqueItems":true})",
          {"[]", "[1,2]", "[[1],[2]]", "[\"a\",\"ab\"]", "[{\"a\":1,\"b\":2},{\"a\":2,\"b\":1}]"},
          {"[1,1]", "[1,1.0]", "[\"a\",2,\"a\"]", "[\"\\u0061\",\"a\"]", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]",
           "[[1],[1]]", "[1e2,100]"}},
         {R"({"type":"array","items":{"type":"array","uniqueItems":true}})",
          {"[[1],[1]]", "[[1,2],[2,1]]"},
          {"[[1,1]]"}}});
}

TEST_CASE("objects: names in any order, patterns, counts and dependencies") {
  check(
      {{R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"}},"required":["a"],"additionalProperties":false})",
        {"{\"a\":1}", "{\"b\":null,\"a\":1}", "{ \"a\" : 1 , \"b\" : null }"},
        {"{}", "{\"b\":null}", "{\"a\":1,\"c\":1}", "{\"a\":1,\"a\":1}", "{\"a\":null}"}},
       {R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
        {"{\"a\":1,\"aa\":\"x\",\"\":\"\"}"},
        {"{\"a\":\"x\"}", "{\"b\":1}", "{\"b\":\"x\",\"b\":\"y\"}"}},
       {R"({"type":"object","patternProperties":{"^x":{"type":"integer"},"y$":{"minimum":5}},"additionalProperties":false})",
        {"{\"x\":1,\"y\":\"s\",\"xy\":5}"},
        {"{\"xy\":4}", "{\"z\":1}", "{\"x\":\"s\"}"}},
       {R"({"type":"object","minProperties":2,"maxProperties":3,"required":["r"]})",
        {"{\"r\":1,\"a\":2}", "{\"a\":1,\"b\":2,\"r\":3}"},
        {"{\"r\":1}", "{\"a\":1,\"b\":2,\"c\":3}"}},
       {R"({"type":"object","propertyNames":{"maxLength":2},"properties":{"long":true}})",
        {"{\"ab\":1}"},
        {"{\"abc\":1}", "{\"long\":1}"}},
       {R"({"type":"object","dependentRequired":{"a":["b"]}})",
        {"{}", "{\"b\":1}", "{\"b\":1,\"a\":2}", "{\"a\":1,\"b\":2}"},
        {"{\"a\":1}"}},
       {R"({"type":"object","dependentSchemas":{"a":{"required":["b"],"properties":{"b":{"type":"null"}}}}})",
        {"{\"b\":1}", "{\"b\":null,\"a\":1}"},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}"}}});
}

TEST_CASE("an order of members can be asked for by options or by the schema") {
  const char* schema = R"({"type":"object","properties":{"b":{},"a":{},"c":{}},"required":["a"]})";
  const grammar::JsonSchemaOptions in_order{.order = grammar::Order::schema};
  CHECK(schema_accepts(schema, "{\"a\":1,\"b\":2}"));
  CHECK_FALSE(schema_accepts(schema, "{\"a\":1,\"b\":2}", in_order));
  CHECK(schema_accepts(schema, "{\"b\":1,\"a\":2,\"x\":3}", in_order));
  CHECK_FALSE(schema_accepts(schema, "{\"x\":3,\"a\":2}", in_order));
  CHECK_FALSE(schema_accepts(R"({"x-order":"schema","properties":{"b":{},"a":{}}})", "{\"a\":1,\"b\":2}"));
}

TEST_CASE("allOf, anyOf, oneOf, not and if are exact") {
  check(
      {{R"({"allOf":[{"required":["a"]},{"properties":{"a":{"type":"integer"}}},{"properties":{"a":{"minimum":3}}}],"type":"object"})",
        {"{\"a\":3}"},
        {"{\"a\":2}", "{}"}},
       {R"({"anyOf":[{"type":"string","maxLength":1},{"type":"integer"}]})", {"\"a\"", "5"}, {"\"ab\"", "null"}},
       {R"({"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}]})",
        {"{\"a\":1}", "{\"b\":1,\"c\":2}"},
        {"{}", "{\"a\":1,\"b\":1}"}},
       {R"({"oneOf":[{"type":"integer"},{"minimum":2}]})", {"1", "2.5"}, {"3", "1.5"}},
       {R"({"oneOf":[{"properties":{"a":{}},"additionalProperties":false,"type":"object"},{"properties":{"b":{}},"additionalProperties":false,"type":"object"}]})",
        {"{\"a\":1}", "{\"b\":1}"},
        {"{}", "{\"a\":1,\"b\":1}", "{\"c\":1}"}},
       {R"({"not":{"type":"string"}})", {"1", "null", "{}"}, {"\"a\"", "\"\""}},
       {R"({"type":"string","not":{"enum":["a","\u00e9"]}})",
        {"\"b\"", "\"aa\"", "\"\""},
        {"\"a\"", "\"\xC3\xA9\"", "\"\\u00E9\""}},
       {R"({"type":"object","not":{"additionalProperties":{"type":"integer"}}})",
        {"{\"a\":\"x\"}", "{\"a\":1,\"b\":null}"},
        {"{}", "{\"a\":1}"}},
       {R"({"type":"array","not":{"items":{"type":"integer"}}})", {"[\"a\"]", "[1,null]"}, {"[]", "[1]"}},
       {R"({"type":"object","properties":{"k":{"enum":["i","s"]}},"required":["k"],"if":{"properties":{"k":{"const":"i"}}},"then":{"properties":{"v":{"type":"integer"}}},"else":{"properties":{"v":{"type":"string"}}}})",
        {"{\"k\":\"i\",\"v\":1}", "{\"v\":\"x\",\"k\":\"s\"}"},
        {"{\"k\":\"i\",\"v\":\"x\"}", "{\"v\":1,\"k\":\"s\"}"}}});
}

TEST_CASE("references by pointer, anchor and identifier, also recursive ones") {
  check(
      {{R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"},"v":{"type":"integer"}},"required":["v"],"additionalProperties":false}}})",
        {"{\"v\":1}", "{\"next\":{\"next\":{\"v\":1},\"v\":2},\"v\":3}"},
        {"{\"next\":{},\"v\":1}"}},
       {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
       {R"({"$id":"http://x.y/root.json","properties":{"a":{"$ref":"item.json"},"b":{"$ref":"#foo"}},"$defs":{"i":{"$id":"item.json","type":"integer"},"f":{"$anchor":"foo","type":"null"}}})",
        {"{\"a\":1,\"b\":null}"},
        {"{\"a\":null}", "{\"b\":1}"}},
       {R"({"$ref":"#/$defs/a~1b%25","$defs":{"a/b%":{"type":"null"}}})", {"null"}, {"1"}},
       {R"({"$ref":"#/$defs/i","maximum":5,"$defs":{"i":{"type":"integer"}}})", {"5"}, {"6"}},
       {R"({"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/i","maximum":5,"definitions":{"i":{"type":"integer"}}})",
        {"6"},
        {"\"6\""}},
       {R"({"$dynamicRef":"#n","$defs":{"n":{"$dynamicAnchor":"n","type":"null"}}})", {"null"}, {"1"}}});
}

TEST_CASE("an identifier inside an unknown keyword names nothing") {
  const char* schema =
      R"({"$defs":{"a":{"unknown":[{"$id":"http://x/y.json","type":"null"}]},"b":{"$id":"http://x/y.json","type":"string"}},
                           "$ref":"http://x/y.json"})";
  CHECK(schema_accepts(schema, "\"s\""));
  CHECK_FALSE(schema_accepts(schema, "null"));
}

TEST_CASE("what cannot be exact is refused by name and place") {
  CHECK(refused(R"({"properties":{"a":{"$ref":"http://elsewhere/x.json"}}})") ==
        std::vector<std::string>{"$ref at /properties/a"});
  CHECK(refused(R"({"properties":{"a":{"pattern":"(a)\\1"}}})") ==
        std::vector<std::string>{"pattern at /properties/a"});
  CHECK(refused(R"({"items":{"not":{"uniqueItems":true}}})") == std::vector<std::string>{"uniqueItems at /items/not"});
  CHECK(refused(R"({"$ref":"#"})") == std::vector<std::string>{"$ref"});
  CHECK(
      refused(
          R"({"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"items":{"$id":"i","$recursiveAnchor":true,"items":{"$recursiveRef":"#"}}})") ==
      std::vector<std::string>{"$recursiveRef at /items/items"});
  CHECK(refused(R"({"minLength":"3"})") == std::vector<std::string>{"minLength"});
  CHECK(refused(R"({"format":"regex"})") == std::vector<std::string>{"format"});
  CHECK(refused(R"({"$ref":"#","unevaluatedProperties":false})") == std::vector<std::string>{"unevaluatedProperties"});
  CHECK(refused(R"({"allOf":[{"type":"string"},{"type":"null"}]})") == std::vector<std::string>{""});
  CHECK_NOTHROW(grammar::json_schema(R"({"format":"regex"})", {.lenient = {"format"}}));
}

TEST_CASE("keywords that a draft does not know mean nothing in its schemas") {
  CHECK(schema_accepts(R"({"$schema":"http://json-schema.org/draft-04/schema#","const":1})", "2"));
  CHECK_FALSE(schema_accepts(R"({"$schema":"http://json-schema.org/draft-06/schema#","const":1})", "2"));
}

TEST_CASE("a text is finished where nothing may follow it") {
  const auto constraint = open(grammar::json_schema(R"({"type":"array"})"));
  CHECK(constraint->state() == ConstraintState::open);
  REQUIRE(takes(*constraint, "[]"));
  CHECK(constraint->state() == ConstraintState::finished);
  const auto number = open(grammar::json_schema(R"({"type":"integer"})"));
  REQUIRE(takes(*number, "1"));
  CHECK(number->state() == ConstraintState::complete);
}

TEST_CASE("dates and times may have their letters in lower case, as RFC 3339 has it") {
  CHECK(schema_accepts(R"({"type":"string","format":"time"})", "\"10:20:30z\""));
  CHECK(schema_accepts(R"({"type":"string","format":"date-time"})", "\"2024-02-29t10:20:30.5z\""));
  CHECK_FALSE(schema_accepts(R"({"type":"string","format":"date-time"})", "\"2024-02-30t10:20:30z\""));
}

TEST_CASE("a struct's schema takes what its members can hold, in their order, and nothing else") {
  struct Item {
    std::string name;
    std::int8_t level;
    std::optional<double> price;
    std::vector<bool> flags;
  };
  const std::string schema = grammar::ObjectSchema<Item>()
                                 .field("name", &Item::name, R"({"maxLength":3})")
                                 .field("level", &Item::level)
                                 .field("price", &Item::price)
                                 .field("flags", &Item::flags)
                                 .text();
  CHECK(schema_accepts(schema, R"({"name":"abc","level":-128,"price":1.5,"flags":[true,false]})"));
  CHECK(schema_accepts(schema, R"({"name":"","level":127,"flags":[]})"));
  CHECK_FALSE(schema_accepts(schema, R"({"name":"abcd","level":1,"flags":[]})"));
  CHECK_FALSE(schema_accepts(schema, R"({"name":"a","level":128,"flags":[]})"));
  CHECK_FALSE(schema_accepts(schema, R"({"level":1,"name":"a","flags":[]})"));
  CHECK_FALSE(schema_accepts(schema, R"({"name":"a","level":1,"price":null,"flags":[]})"));
  CHECK_FALSE(schema_accepts(schema, R"({"name":"a","level":1})"));
  CHECK_FALSE(schema_accepts(schema, R"({"name":"a","level":1,"flags":[],"more":1})"));
}

TEST_CASE("numbers beyond a double's range are JSON in documents, schemas and lists of different items") {
  const std::string digits(400, '7');
  const auto check = grammar::check_json_schema("{}", {"12.1E430110", "[1e-999999, -1E+400]", digits, "{\"a\":1e400}"});
  CHECK(check.valid == std::vector<bool>{true, true, true, true});
  CHECK_THROWS(grammar::check_json_schema("{}", {"[1e400, 01]"}));
  CHECK_THROWS(grammar::check_json_schema("{}", {"[1e400, 1e+-5]"}));
  CHECK_THROWS(grammar::check_json_schema("{}", {"[1e400, 1.]"}));
  CHECK(accepts(grammar::json_schema(R"({"uniqueItems":true})"), "[1e400,2e400]"));
  CHECK_FALSE(accepts(grammar::json_schema(R"({"uniqueItems":true})"), "[1e400,1e400]"));
}
