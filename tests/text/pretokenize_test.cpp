#include "text/pretokenize.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using frugal::PreTokenizer;
using frugal::text::WordSplitter;
using Words = std::vector<std::string>;

namespace {

Words words(PreTokenizer pre, std::string_view text) {
  WordSplitter splitter(pre, text);
  Words out;
  for (std::string_view word; splitter.next(word);) out.emplace_back(word);
  return out;
}

}  // namespace

TEST_CASE("gpt2 takes a space into the word after it and leaves other blanks alone") {
  CHECK(words(PreTokenizer::gpt2, "a bc  d\n e") == Words{"a", " bc", " ", " d", "\n", " e"});
  CHECK(words(PreTokenizer::gpt2, "x12.5!! ?") == Words{"x", "12", ".", "5", "!!", " ?"});
  CHECK(words(PreTokenizer::gpt2, "end  ") == Words{"end", "  "});
}

TEST_CASE("gpt2 knows contractions in lower case only, qwen2 and llama3 in any case") {
  CHECK(words(PreTokenizer::gpt2, "I'll I'LL") == Words{"I", "'ll", " I", "'", "LL"});
  CHECK(words(PreTokenizer::qwen2, "I'll I'LL") == Words{"I", "'ll", " I", "'LL"});
  CHECK(words(PreTokenizer::llama3, "we'Re'x'") == Words{"we", "'Re", "'x", "'"});
  CHECK(words(PreTokenizer::qwen2,
              "a'\xC5\xBF"
              "b") == Words{"a", "'\xC5\xBF", "b"});
}

TEST_CASE("digits stand alone in smollm and qwen2, in threes in llama3, together in gpt2") {
  CHECK(words(PreTokenizer::gpt2, "a 12345") == Words{"a", " 12345"});
  CHECK(words(PreTokenizer::smollm, "a  12x") == Words{"a", "  ", "1", "2", "x"});
  CHECK(words(PreTokenizer::qwen2, "a 12") == Words{"a", " ", "1", "2"});
  CHECK(words(PreTokenizer::llama3, "12345") == Words{"123", "45"});
}

TEST_CASE("qwen2 and llama3 end a word at newlines and let any one character lead letters") {
  for (const PreTokenizer pre : {PreTokenizer::qwen2, PreTokenizer::llama3}) {
    CHECK(words(pre, "a;\n\nb") == Words{"a", ";\n\n", "b"});
    CHECK(words(pre, " \n \n  b") == Words{" \n \n", " ", " b"});
    CHECK(words(pre, "\tx(y") == Words{"\tx", "(y"});
    CHECK(words(pre, "\nx") == Words{"\n", "x"});
  }
}

TEST_CASE("bytes that are no characters are cut like punctuation") {
  CHECK(words(PreTokenizer::gpt2, "a \xFF\x80!b") == Words{"a", " \xFF\x80!", "b"});
  CHECK(words(PreTokenizer::qwen2, "\xC3(") == Words{"\xC3("});
  CHECK(words(PreTokenizer::qwen2,
              "\xF0\x9F"
              "abc") == Words{"\xF0\x9F", "abc"});
}
