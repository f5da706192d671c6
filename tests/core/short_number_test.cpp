#include <catch2/catch_test_macros.hpp>

#include <limits>

#include "core/short_number.hpp"

using frugal::short_number;

TEST_CASE("a number for people has no more digits than it needs, and an exponent only far from 1") {
  CHECK(short_number(0.0) == "0");
  CHECK(short_number(0.1) == "0.1");
  CHECK(short_number(0.1F) == "0.1");
  CHECK(short_number(1e-6) == "0.000001");
  CHECK(short_number(1e6) == "1000000");
  CHECK(short_number(-2.5) == "-2.5");
  CHECK(short_number(1.0 / 3600) == "0.0002777777777777778");
  CHECK(short_number(1e300) == "1e+300");
  CHECK(short_number(std::numeric_limits<double>::infinity()) == "inf");
}
