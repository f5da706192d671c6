#include "core/printable.hpp"

#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>

using namespace frugal;

TEST_CASE("plain names of any language come back unchanged") {
  for (const std::string name : {"refund",
                                 "R\xC3\xBC"
                                 "ckgabe",
                                 "\xE8\xBF\x94\xE5\x93\x81", "\xF0\x9F\x99\x82", "a\\b \"c\" <d> &"}) {
    CAPTURE(name);
    CHECK(printable(name) == name);
    CHECK(is_printable(name));
  }
}

TEST_CASE("control characters and text that reorders its line are spelled out") {
  CHECK(printable("\x1b[31mred\n") == "\\x1B[31mred\\x0A");
  CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
  CHECK(printable("\xC2\x9B") == "\\xC2\\x9B");           // C1: a terminal takes it for an escape
  CHECK(printable("\xE2\x80\xAE") == "\\xE2\\x80\\xAE");  // right-to-left override
  CHECK(printable("\x7f") == "\\x7F");
  CHECK_FALSE(is_printable("a\tb"));
  CHECK(printable("a\tb\xFF", true) == "a\tb\\xFF");
}

TEST_CASE("bytes that are no UTF-8 are spelled out, so that different names stay different") {
  CHECK(printable("\xFFtest") == "\\xFFtest");
  CHECK(printable("\xFEtest") != printable("\xFFtest"));
  CHECK(printable("\xC0\x80") == "\\xC0\\x80");                    // overlong
  CHECK(printable("\xED\xA0\x80") == "\\xED\\xA0\\x80");           // a surrogate
  CHECK(printable("\xF4\x90\x80\x80") == "\\xF4\\x90\\x80\\x80");  // above U+10FFFF
  CHECK(printable("\xE8\xBF") == "\\xE8\\xBF");                    // cut off
}

TEST_CASE("whatever the bytes, what comes out is printable and stays as it is") {
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const std::string out = printable(bytes);
    REQUIRE(is_printable(out));
    REQUIRE(printable(out) == out);
    REQUIRE((is_printable(bytes) == (out == bytes)));
  }
}

TEST_CASE("columns are characters, not bytes") {
  CHECK(columns_of("R\xC3\xBC"
                   "ck\xE8\xBF\x94") == 5);
}
