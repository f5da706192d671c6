// Bounds on foreign JSON that are looked at before it becomes a tree.
#include "core/json_depth.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>

namespace frugal {
namespace {

std::string object_of(std::size_t keys) {
  std::string text = "{";
  for (std::size_t i = 0; i < keys; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  return text + "}";
}

TEST_CASE("too deep and too wide texts are told apart, up to the very bound") {
  const JsonBounds bounds{.depth = 3, .keys = 5};
  CHECK(json_excess("[[[1]]]", bounds) == JsonExcess::none);
  CHECK(json_excess("[[[[1]]]]", bounds) == JsonExcess::too_deep);
  CHECK(json_excess(object_of(5), bounds) == JsonExcess::none);
  CHECK(json_excess(object_of(6), bounds) == JsonExcess::too_many_keys);
  CHECK(json_excess("[" + object_of(5) + "," + object_of(5) + "]", bounds) == JsonExcess::none);  // each for itself
  CHECK(json_excess("{\"a\":" + object_of(6) + "}", bounds) == JsonExcess::too_many_keys);
}

TEST_CASE("what stands in strings does not count, and broken text is read to its end") {
  const JsonBounds bounds{.depth = 1, .keys = 1};
  CHECK(json_excess(R"({"a":"[[[{:::\"::"})", bounds) == JsonExcess::none);
  CHECK(json_excess("]]]}}}:::", bounds) == JsonExcess::none);
  CHECK(json_excess("\"\\", bounds) == JsonExcess::none);
  CHECK(json_excess("", bounds) == JsonExcess::none);
}

}  // namespace
}  // namespace frugal
