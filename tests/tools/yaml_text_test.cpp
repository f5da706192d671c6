// YAML as the JSON it means: what is taken, on which lines, and what is refused.
#include "tools/yaml_text.hpp"

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/json_tree.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using tools::json_from_yaml;
using Json = nlohmann::json;

namespace {

Json read(const std::string& yaml) { return Json::parse(json_from_yaml(yaml, "f.yaml")); }

Json any_json(int depth) {
  const int kind = *rc::gen::inRange(0, depth > 0 ? 8 : 6);
  const auto word = [] {
    return *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab \":#-{}[],&*!|>'%@`\n\t\\0\x01~<")));
  };
  switch (kind) {
    case 0:
      return nullptr;
    case 1:
      return *rc::gen::arbitrary<bool>();
    case 2:
      return *rc::gen::arbitrary<std::int64_t>();
    case 3:
      return static_cast<double>(*rc::gen::arbitrary<std::int32_t>()) / 64;
    case 4:
      return "\xC3\xA4\xE2\x82\xAC" + word();
    case 5:
      return word();
    case 6: {
      Json list = Json::array();
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) list.push_back(any_json(depth - 1));
      return list;
    }
    default: {
      Json object = Json::object();
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) object[word()] = any_json(depth - 1);
      return object;
    }
  }
}

}  // namespace

TEST_CASE("JSON is YAML: any tree comes through as it is") {
  CHECK(rc::check([] {
    const Json tree = any_json(4);
    RC_ASSERT(read(tree.dump(*rc::gen::element(-1, 1))) == tree);
  }));
}

TEST_CASE("block style means the same as flow style") {
  CHECK(read("models:\n  - name: small\n    path: \"S.gguf\"\n  - {name: large, path: 'L.gguf'}\nlisten: "
             "127.0.0.1:8080\n") ==
        Json::parse(R"({"models": [{"name": "small", "path": "S.gguf"}, {"name": "large", "path": "L.gguf"}],
                        "listen": "127.0.0.1:8080"})"));
  CHECK(read("# a comment\n%YAML 1.2\n---\na: |\n  two\n  lines\nb: >-\n  one\n  line\n...\n") ==
        Json({{"a", "two\nlines\n"}, {"b", "one line"}}));
  CHECK(read("key: 1\r\nother: 2\r\n") == Json({{"key", 1}, {"other", 2}}));
}

TEST_CASE("a scalar without quotes is null, true, false, a decimal number, or text") {
  const std::vector<std::pair<std::string, Json>> cases{
      {"", nullptr},      {"~", nullptr},       {"null", nullptr}, {"true", true}, {"False", false},
      {"0", 0},           {"-12", -12},         {"+7", 7},         {"0.5", 0.5},   {".5", 0.5},
      {"5.", 5.0},        {"1e3", 1000.0},      {"2.5E-1", 0.25},  {"007", "007"}, {"0x10", "0x10"},
      {"1_000", "1_000"}, {"12:30", "12:30"},   {"yes", "yes"},    {"on", "on"},   {".inf", ".inf"},
      {".nan", ".nan"},   {"1.2.3", "1.2.3"},   {".", "."},        {"1e", "1e"},   {"+", "+"},
      {"'5'", "5"},       {"\"true\"", "true"}, {"\"\"", ""},      {"a b", "a b"}, {"\"\\u00e4\"", "\xC3\xA4"}};
  for (const auto& [yaml, json] : cases) {
    INFO(yaml);
    CHECK(read("k: " + yaml)["k"] == json);
  }
  CHECK(read("5: 1\ntrue: 2\n") == Json({{"5", 1}, {"true", 2}}));
}

TEST_CASE("every name and value keeps its line") {
  CHECK(json_from_yaml("a: 1\n\n# nothing\nb:\n  - x\n\n  - y: |\n      two\n      lines\n    z: 2\n", "f") ==
        "{\"a\":1,\n\n\n\"b\":\n[\"x\",\n\n{\"y\":\"two\\nlines\\n\",\n\n\n\"z\":2}]}");
}

TEST_CASE("what is refused is named with its line") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a: 1\n\tb: 2\n", "f.yaml:2: not valid YAML: found "},
      {"a: [1, 2\nb: 3\n", "f.yaml:2: not valid YAML: did not find expected ',' or ']'"},
      {"a: 'never\nclosed\n", "f.yaml:3: not valid YAML: found unexpected end of stream"},
      {"a: 1\n b: 2\n", "f.yaml:2: not valid YAML"},
      {"a: 1\nb: \xFF\n", "f.yaml:2: not valid YAML: invalid leading UTF-8 octet"},
      {"a: 1\nb: \"\xC3\"\n", "f.yaml:2: not valid YAML"},
      {"\xFF\xFE" + std::string("a\0:\0", 4), "f.yaml:1: not valid YAML"},
      {"a: 1\nb: \x01\n", "f.yaml:2: not valid YAML: control characters are not allowed"},
      {"a: 1\nb: &x 2\n", "f.yaml:2: anchors (&name) are not taken"},
      {"a: &a [x]\nb: [*a, *a]\n", "f.yaml:1: anchors (&name) are not taken"},
      {"a: 1\nb: *x\n", "f.yaml:2: aliases (*name) are not taken"},
      {"a: 1\nb: !!str 2\n", "f.yaml:2: tags (!name) are not taken"},
      {"a: 1\nb: !!python/object:os.system {}\n", "f.yaml:2: tags (!name) are not taken"},
      {"a: 1\n<<: {b: 2}\n", "f.yaml:2: merge keys (<<) are not taken"},
      {"a: 1\n? [b]\n: 2\n", "f.yaml:2: a name must be a text"},
      {"a: 1\n---\na: 2\n", "f.yaml:2: a second document begins here"},
      {"", "f.yaml:1: the file is empty"},
      {"# only a comment\n", "f.yaml:1: the file is empty"},
      {"%YAML 3.0\n---\na: 1\n", "f.yaml:1: not valid YAML: found incompatible YAML document"},
  };
  for (const auto& [yaml, said] : cases) {
    const Error error = error_of([&] { json_from_yaml(yaml, "f.yaml"); });
    INFO(error.message());
    CHECK(error.code() == Errc::bad_file);
    CHECK(error.message().rfind(said, 0) == 0);
  }
}

TEST_CASE("any text is valid JSON then, or an error that begins with its line") {
  CHECK(rc::check([] {
    const std::string signs("ab1 :\n-{}[],&*!|>'\"%@`#?\\~<\t\xC3\xA4.\0", 32);
    const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(signs));
    try {
      RC_ASSERT_FALSE(Json::parse(json_from_yaml(text, "f")).is_discarded());
    } catch (const Error& error) {
      RC_ASSERT(error.code() == Errc::bad_file);
      RC_ASSERT(error.message().rfind("f:", 0) == 0);
    }
  }));
}

TEST_CASE("depth is bounded, and large text takes time in proportion") {
  const auto nested = [](std::size_t depth) { return "a: " + std::string(depth, '[') + std::string(depth, ']'); };
  CHECK_NOTHROW(json_from_yaml(nested(most_json_depth - 1), "f"));
  CHECK(mentions(error_of([&] { json_from_yaml(nested(1'000'000), "f"); }), "f:1: nested deeper than 200"));
  std::string indented;
  for (std::size_t i = 0; i < 400; ++i) indented += std::string(i, ' ') + "a:\n";
  CHECK(mentions(error_of([&] { json_from_yaml(indented, "f"); }), "f:201: nested deeper"));
  std::string many;
  for (int i = 0; i < 50'000; ++i) many += "key" + std::to_string(i) + ": [1, two, \"three\"]\n";
  const std::clock_t start = std::clock();  // the processor's time: others may have the machine meanwhile
  CHECK(read(many).size() == 50'000);
  CHECK(std::clock() - start < 20 * CLOCKS_PER_SEC);
}
