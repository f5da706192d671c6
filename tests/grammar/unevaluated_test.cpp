// unevaluatedProperties and unevaluatedItems: which members and items are left to them depends on what else holds.
#include "grammar/schema_cases.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace frugal;
using namespace frugal::test;

TEST_CASE("unevaluatedProperties speaks of the members that no schema at the same place has evaluated") {
  check(
      {{R"({"properties":{"a":{}},"patternProperties":{"^x":{}},"unevaluatedProperties":false})",
        {"{}", "{\"a\":1}", "{\"x1\":1,\"a\":1}", "[1]"},
        {"{\"b\":1}", "{\"a\":1,\"y\":1}"}},
       {R"({"allOf":[{"properties":{"a":{}}},{"$ref":"#/$defs/b"}],"unevaluatedProperties":{"type":"integer"},"$defs":{"b":{"properties":{"b":{}}}}})",
        {"{\"a\":null,\"b\":null}", "{\"a\":null,\"c\":1}"},
        {"{\"c\":null}"}},
       {R"({"allOf":[{"additionalProperties":true}],"unevaluatedProperties":false})", {"{\"a\":1}"}, {}},
       {R"({"allOf":[{"properties":{"a":{}},"unevaluatedProperties":{"type":"null"}}],"unevaluatedProperties":false})",
        {"{\"a\":1,\"b\":null}"},
        {"{\"b\":1}"}},
       {R"({"not":{"not":{"properties":{"a":{"const":1}},"required":["a"]}},"unevaluatedProperties":false})",
        {},
        {"{\"a\":1}"}}});
}

TEST_CASE("branches count for unevaluatedProperties only where they hold") {
  check(
      {{R"({"anyOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"integer"}},"required":["b"]}],"unevaluatedProperties":false})",
        {"{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}"},
        {"{}", "{\"a\":1,\"b\":null}", "{\"a\":1,\"c\":1}"}},
       {R"({"oneOf":[{"properties":{"a":{}},"required":["a"]},{"properties":{"b":{}},"required":["b"]}],"unevaluatedProperties":false})",
        {"{\"a\":1}", "{\"b\":1}"},
        {"{\"a\":1,\"b\":1}", "{}"}},
       {R"({"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"properties":{"t":{}}},"else":{"properties":{"e":{}}},"unevaluatedProperties":false})",
        {"{\"k\":1,\"t\":1}", "{\"e\":1}", "{}"},
        {"{\"k\":1,\"e\":1}", "{\"k\":2}", "{\"t\":1}"}},
       {R"({"dependentSchemas":{"a":{"properties":{"b":{}}}},"properties":{"a":{}},"unevaluatedProperties":false})",
        {"{\"a\":1,\"b\":1}", "{\"a\":1}", "{}"},
        {"{\"b\":1}"}}});
}

TEST_CASE("unevaluatedItems speaks of the items that no schema at the same place has evaluated") {
  check(
      {{R"({"prefixItems":[{"type":"integer"}],"unevaluatedItems":false})", {"[]", "[1]"}, {"[1,2]", "[null]"}},
       {R"({"allOf":[{"prefixItems":[{},{}]}],"prefixItems":[{"type":"null"}],"unevaluatedItems":{"type":"string"}})",
        {"[null,1]", "[null,1,\"s\"]"},
        {"[null,1,2]"}},
       {R"({"allOf":[{"items":{"type":"integer"}}],"unevaluatedItems":false})", {"[1,2,3]"}, {"[null]"}},
       {R"({"contains":{"type":"integer"},"unevaluatedItems":{"type":"null"}})",
        {"[1]", "[1,null,2]"},
        {"[null]", "[1,\"s\"]"}},
       {R"({"anyOf":[{"prefixItems":[{"const":1}]},{"prefixItems":[{"const":2},{"const":3}]}],"unevaluatedItems":false})",
        {"[1]", "[2,3]", "[2]", "[]"},
        {"[1,3]", "[2,3,4]"}},
       {R"({"$schema":"https://json-schema.org/draft/2019-09/schema","items":[{}],"unevaluatedItems":false})",
        {"[1]"},
        {"[1,2]"}},
       {R"({"$schema":"https://json-schema.org/draft/2019-09/schema","contains":{"const":1},"unevaluatedItems":false})",
        {},
        {"[1]", "[2]"}}});
}

TEST_CASE("unevaluatedProperties over too many branches is refused by name") {
  std::string branches;
  for (int i = 0; i < 12; ++i)
    branches += (i > 0 ? "," : "") + std::string(R"({"properties":{"p)") + std::to_string(i) + R"(":{}}})";
  CHECK(refused(R"({"anyOf":[)" + branches + R"(],"unevaluatedProperties":false})") ==
        std::vector<std::string>{"unevaluatedProperties"});
}
