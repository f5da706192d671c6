#include "text/small_vocabulary.hpp"

#include <catch2/catch_test_macros.hpp>
#include <frugal/text/detokenizer.hpp>

#include <random>

using namespace frugal;
using namespace frugal::test;

namespace {

const std::string kReplacement = "\xEF\xBF\xBD";

std::string stream(const Tokenizer& tokenizer, std::string_view bytes) {
  Detokenizer detokenizer(tokenizer);
  std::string out;
  for (const char c : bytes) out += detokenizer.push(static_cast<unsigned char>(c));
  return out + detokenizer.flush();
}

bool well_formed(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto prefix = text::utf8_prefix(text, at);
    if (!prefix.whole) return false;
    at += prefix.bytes;
  }
  return true;
}

}  // namespace

TEST_CASE("a character comes out with its last byte, not before") {
  const Tokenizer tokenizer(small_vocabulary());
  Detokenizer detokenizer(tokenizer);
  CHECK(detokenizer.push('a') == "a");
  CHECK(detokenizer.push(0xF0).empty());
  CHECK(detokenizer.push(0x9F).empty());
  CHECK(detokenizer.push(0x98).empty());
  CHECK(detokenizer.push(0x80) == "\xF0\x9F\x98\x80");
  CHECK(detokenizer.flush().empty());
}

TEST_CASE("bytes that cannot become a character are replaced as Python replaces them") {
  const Tokenizer tokenizer(small_vocabulary());
  const std::string& r = kReplacement;  // expected values are bytes.decode("utf-8", "replace")
  CHECK(stream(tokenizer, "\xFF") == r);
  CHECK(stream(tokenizer, "\xF0\x9F\x98") == r);
  CHECK(stream(tokenizer, "\xF0\x9F\x98x") == r + "x");
  CHECK(stream(tokenizer, "\xC0\xAF") == r + r);
  CHECK(stream(tokenizer, "\xED\xA0\x80") == r + r + r);
  CHECK(stream(tokenizer, "\xF4\x90\x80\x80") == r + r + r + r);
  CHECK(stream(tokenizer, "\xE4\xBD\xE4\xBD\xA0") == r + "\xE4\xBD\xA0");
  CHECK(stream(tokenizer, "a\x80\xE2\x82") == "a" + r + r);
}

TEST_CASE("what comes out is well-formed after every token, whatever goes in") {
  const Tokenizer tokenizer(small_vocabulary());
  std::mt19937 random(3);
  static const std::string mix = "a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80\xED\xA0\xF4\x90\x80";
  for (int round = 0; round < 500; ++round) {
    Detokenizer detokenizer(tokenizer);
    for (int i = 0; i < 40; ++i) {
      const char byte = random() % 3 == 0 ? static_cast<char>(random() & 255) : mix[random() % mix.size()];
      REQUIRE(well_formed(detokenizer.push(static_cast<unsigned char>(byte))));
    }
    REQUIRE(well_formed(detokenizer.flush()));
  }
}

TEST_CASE("control tokens stay silent unless they are kept") {
  BpeVocabulary v = small_vocabulary();
  const Token end = add(v, "<|end|>");
  const Tokenizer tokenizer(v);
  Detokenizer quiet(tokenizer), loud(tokenizer, true);
  CHECK(quiet.push(end).empty());
  CHECK(loud.push(end) == "<|end|>");
  CHECK(quiet.push(259) == "hello");
}
