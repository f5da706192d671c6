#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

#include "engine/answer_text.hpp"
#include "support/tiny_model.hpp"

using namespace frugal;

namespace {
struct Fed {
  std::string text;
  std::optional<std::string> matched;
};
Fed feed(const std::string& bytes, std::vector<std::string> stops) {
  const Tokenizer tokenizer(testing::byte_vocabulary());
  AnswerText text(&tokenizer, std::move(stops));
  std::string out;
  for (const char c : bytes) {
    out += text.push(static_cast<unsigned char>(c));
    if (text.matched()) return {out, text.matched()};
  }
  return {out + text.flush(), text.matched()};
}
}  // namespace

TEST_CASE("an answer without stop texts comes out as it went in") {
  CHECK(feed("plain \xC3\xA4 text", {}).text == "plain \xC3\xA4 text");
}

TEST_CASE("the answer ends before a stop text, of which no byte is shown") {
  const Fed fed = feed("one two END three", {"END"});
  CHECK(fed.text == "one two ");
  CHECK(fed.matched == "END");
}

TEST_CASE("a stop text that only seemed to begin is shown after all") {
  CHECK(feed("abEabENabENx", {"END"}).text == "abEabENabENx");
  CHECK(feed("trailing EN", {"END"}).text == "trailing EN");
}

TEST_CASE("of several stop texts the one that is complete first wins") {
  const Fed fed = feed("aXYb", {"YbZ", "XY"});
  CHECK(fed.text == "a");
  CHECK(fed.matched == "XY");
}

TEST_CASE("a stop text that overlaps itself is found") { CHECK(feed("aabaabaac", {"aabaac"}).text == "aab"); }
