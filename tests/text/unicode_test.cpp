#include "text/unicode.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace frugal::text;

TEST_CASE("every code point survives encoding and decoding, and nothing else decodes") {
  for (std::int32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint read = decode_utf8(text, 0);
    if (read.value != c || read.bytes != text.size()) FAIL("code point " << c);
  }
  for (const char* broken :
       {"\x80", "\xC1\x81", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88", "\xE2\x82"})
    CHECK(decode_utf8(broken, 0).value == -1);
}

TEST_CASE("character classes are those of the regexes") {
  const ClassTable& classes = ClassTable::instance();
  CHECK(classes['a'] == (kLetter | kWord | kLower));
  CHECK(classes['A'] == (kLetter | kWord | kUpper));
  CHECK((classes[0x301] & (kUpper | kLower)) == (kUpper | kLower));  // marks and letters without case are both
  CHECK((classes[0x4E00] & (kUpper | kLower)) == (kUpper | kLower));
  CHECK(classes['7'] == (kNumber | kDigit | kWord));
  CHECK(classes['_'] == kWord);
  CHECK(classes[0x3000] == kSpace);
  CHECK(classes[0x200B] == 0);  // zero width space is no space
  CHECK(classes[0x1C] == 0);    // nor is a file separator
  CHECK((classes[0x4E00] & kLetter) != 0);
  CHECK((classes[0xBD] & kNumber) != 0);  // one half
  CHECK((classes[0x301] & kUnstable) != 0);
  CHECK(classes[-1] == 0);
}

TEST_CASE("normal form C composes, orders marks and leaves broken bytes where they are") {
  CHECK(to_nfc("e\xCC\x81") == "\xC3\xA9");
  CHECK(to_nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB") == "\xED\x95\x9C");  // Hangul jamo
  CHECK(to_nfc("q\xCC\x87\xCC\xA3") == "q\xCC\xA3\xCC\x87");                // marks by class
  CHECK(to_nfc("\xE2\x84\xA6") == "\xCE\xA9");                              // ohm sign is an omega
  CHECK(to_nfc("\xE0\xA5\x98") == "\xE0\xA4\x95\xE0\xA4\xBC");              // an excluded composite
  CHECK(to_nfc("e\xFF\xCC\x81") == "e\xFF\xCC\x81");
  CHECK(is_surely_nfc("plain \xE4\xBD\xA0\xC3\xA9"));
  CHECK_FALSE(is_surely_nfc("e\xCC\x81"));
}

TEST_CASE("normal form C is stable when applied twice, over each code point behind a letter and a mark") {
  std::string text, once;
  for (std::int32_t c = 0; c < 0x20000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    text = "a\xCC\xA3";
    append_utf8(text, c);
    once = to_nfc(text);
    if (to_nfc(once) != once) FAIL("code point " << c);
  }
  SUCCEED();
}
