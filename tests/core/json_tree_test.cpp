#include "core/json_tree.hpp"

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "support/error_of.hpp"

using namespace frugal;
using frugal::testing::error_of;

namespace {

Error refused(const std::string& text) {
  return error_of([&] { parse_json_tree(text, "x.json"); });
}

std::string nested(std::size_t depth, char open, char close) {
  return std::string(depth, open) + std::string(depth, close);
}

}  // namespace

TEST_CASE("a JSON text becomes the same tree that nlohmann's own parser makes") {
  for (const char* text : {"null", "[1, -2, 3.5, 18446744073709551615, true, \"a\\u00e9\"]",
                           R"({"b": {"x": [[], {}]}, "a": [{"k": null}, 2]})", "\"\""})
    CHECK(parse_json_tree(text, "x") == nlohmann::json::parse(text));
}

TEST_CASE("JSON is refused beyond 200 levels, whatever it is nested with, and before the rest is read") {
  CHECK_NOTHROW(parse_json_tree(nested(most_json_depth, '[', ']'), "x"));
  CHECK(refused(nested(most_json_depth + 1, '[', ']')).message() == "x.json: JSON nested deeper than 200");
  CHECK(refused(std::string(1000000, '[')).message() == "x.json: JSON nested deeper than 200");
  std::string objects;
  for (int i = 0; i < 300000; ++i) objects += "{\"a\":";
  CHECK(refused(objects).message() == "x.json: JSON nested deeper than 200");
}

TEST_CASE("malformed JSON is named with file and byte") {
  CHECK(refused("{\"a\": 1,}").message() == "x.json: byte 8: not valid JSON");
  CHECK(refused("[1, 2").message() == "x.json: byte 5: the JSON ends too early");
  CHECK(refused("[1e999]").code() == Errc::bad_file);
  CHECK(refused("[1e999]").message().find("out of range") != std::string::npos);
  CHECK(refused("\xFF").code() == Errc::bad_file);
  CHECK(refused("").message() == "x.json: byte 0: the JSON ends too early");
}

TEST_CASE("malformed JSON that was written by hand is named with file and line") {
  const auto said = [](const char* text) {
    return error_of([&] { parse_json_tree(text, "x.json", {.by_line = true}); }).message();
  };
  CHECK(said("{\n\"a\": 1,}") == "x.json:2: not valid JSON");
  CHECK(said("[1,\n\n2") == "x.json:3: the JSON ends too early");
  CHECK(said("[\n1e999]") == "x.json:2: a number out of range");
}

TEST_CASE("of two equal keys the last one wins, or the text is refused where asked") {
  CHECK(parse_json_tree(R"({"a": 1, "a": [2]})", "x").at("a") == nlohmann::json::array({2}));
  const Error twice =
      error_of([] { parse_json_tree(R"({"a": 1, "b": {"a": 2, "a": 3}})", "x.json", {RepeatedKeys::refused}); });
  CHECK(twice.message() == "x.json: the key \"a\" occurs twice in one object");
}

TEST_CASE("an excerpt of a value fits one line of an error") {
  CHECK(json_excerpt(nlohmann::json{{"a", 1}}) == R"({"a":1})");
  CHECK(json_excerpt(nlohmann::json(std::string(10000, 'x'))).size() == 80);
}
