// Tables of documents that a schema takes and that it does not.
#pragma once

#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>

#include <vector>

namespace frugal::test {

struct SchemaCase {
  const char* schema;
  std::vector<const char*> yes, no;
};

inline void check(const std::vector<SchemaCase>& cases) {
  for (const SchemaCase& c : cases) {
    const auto source = grammar::json_schema(c.schema);
    for (const char* text : c.yes) {
      CAPTURE(c.schema, text);
      CHECK(accepts(source, text));
    }
    for (const char* text : c.no) {
      CAPTURE(c.schema, text);
      CHECK_FALSE(accepts(source, text));
    }
  }
}

}  // namespace frugal::test
