#include <frugal/text/tokenizer.hpp>

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>

#include "small_vocabulary.hpp"

namespace frugal {
namespace {

using test::Ids;

constexpr EncodeOptions plain{.parse_special = false, .add_bos = false, .continues = true};

/// Text in which borders between words move easily: contractions, runs of blanks and newlines, digits, punctuation,
/// marks, characters of several bytes and broken ones.
std::string awkward_text() {
  static const std::vector<std::string> pieces{"a",
                                               "hello",
                                               "We",
                                               "'",
                                               "'s",
                                               "'re",
                                               "'ll",
                                               "r",
                                               "e",
                                               "l",
                                               "T",
                                               " ",
                                               "  ",
                                               "\n",
                                               "\r\n",
                                               "\t",
                                               "1",
                                               "23",
                                               "4567",
                                               ".",
                                               "...",
                                               "!?",
                                               "(",
                                               "\xC3\xA9",
                                               "e\xCC\x81",
                                               "\xCC\x81",
                                               "\xCC\xA7",
                                               "\xE3\x80\x80",
                                               "\xE4\xB8\xAD",
                                               "\xF0\x9F\x98\x80",
                                               "\xC5\xBF",
                                               "\xC3",
                                               "\xE4\xB8",
                                               "\xFF",
                                               "\xEA\xB0\x80",
                                               "\xE1\x84\x80\xE1\x85\xA1",
                                               "\xE1\x86\xA8",
                                               "<|x|>",
                                               "<|",
                                               "x|>"};
  std::string text;
  for (const auto i : *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, pieces.size())))
    text += pieces[i];
  return text;
}

Ids joined(Ids head, const Ids& rest) {
  head.insert(head.end(), rest.begin(), rest.end());
  return head;
}

/// Merges over all that awkward_text() puts side by side, so that every cut shows.
BpeVocabulary telling_vocabulary(PreTokenizer pre) {
  auto v = test::small_vocabulary(pre);
  const auto merge = [&v](unsigned char a, unsigned char b) {
    v.merges.emplace_back(v.tokens[a], v.tokens[b]);
    if (std::find(v.tokens.begin(), v.tokens.end(), v.tokens[a] + v.tokens[b]) == v.tokens.end())
      test::add(v, v.tokens[a] + v.tokens[b], BpeVocabulary::Kind::normal);
  };
  const std::string often = " \n\r\t'selrTa123.!(\xC3\xA9\xCC\x81\xE3\x80<|x>";
  for (const char a : often)
    for (const char b : often) merge(static_cast<unsigned char>(a), static_cast<unsigned char>(b));
  return v;
}

using Prefix = BpeVocabulary::Spaces::Prefix;

/// SentencePiece pieces over the same characters; none holds a space after something else.
BpeVocabulary telling_pieces(Prefix prefix) {
  BpeVocabulary v;
  v.alphabet = BpeVocabulary::Alphabet::characters;
  v.spaces.prefix = prefix;
  const std::string space = "\xE2\x96\x81";
  const std::vector<std::string> letters{space, "s", "e", "l", "r",  "T", "a", "h", "o",
                                         "1",   "2", "'", ".", "\n", "<", "|", "x", ">"};
  for (const std::string& a : letters) test::add(v, a, BpeVocabulary::Kind::normal);
  for (const std::string& a : letters)
    for (const std::string& b : letters)
      if (b != space || a == space) test::add(v, a + b, BpeVocabulary::Kind::normal);
  for (int byte = 0; byte < 256; ++byte) {
    const char* hex = "0123456789ABCDEF";
    test::add(v, std::string("<0x") + hex[byte / 16] + hex[byte % 16] + ">", BpeVocabulary::Kind::byte);
  }
  for (std::size_t i = 0; i < v.tokens.size(); ++i) v.scores.push_back(-static_cast<float>(i * 7919 % 1009));
  return v;
}

struct Case {
  std::string name;
  Tokenizer tokenizer;
};

std::vector<Case> families() {
  std::vector<Case> out;
  for (const auto& [name, pre] : {std::pair{"gpt2", PreTokenizer::gpt2}, std::pair{"smollm", PreTokenizer::smollm},
                                  std::pair{"qwen2", PreTokenizer::qwen2}, std::pair{"llama3", PreTokenizer::llama3},
                                  std::pair{"tekken", PreTokenizer::tekken}}) {
    auto v = telling_vocabulary(pre);
    v.nfc = pre == PreTokenizer::qwen2;
    out.push_back({name, Tokenizer(v)});
    test::add(v, "<|x|>", BpeVocabulary::Kind::user_defined);
    out.push_back({std::string(name) + " with a user-defined token", Tokenizer(v)});
  }
  for (const auto& [name, prefix] : {std::pair{"SentencePiece", Prefix::always}, std::pair{"Gemma", Prefix::never}}) {
    auto v = telling_pieces(prefix);
    out.push_back({name, Tokenizer(v)});
    test::add(v, "<|x|>", BpeVocabulary::Kind::user_defined);
    v.scores.push_back(0);
    out.push_back({std::string(name) + " with a user-defined token", Tokenizer(v)});
  }
  return out;
}

TEST_CASE("settled bytes are encoded by themselves, whatever follows") {
  for (const Case& c : families()) {
    INFO(c.name);
    CHECK(rc::check(c.name, [&] {
      const std::string text = awkward_text(), more = awkward_text();
      const std::size_t n = c.tokenizer.settled_bytes(text);
      RC_ASSERT(n <= text.size());
      const std::string whole = text + more;
      RC_ASSERT(c.tokenizer.encode(whole, plain) ==
                joined(c.tokenizer.encode(whole.substr(0, n), plain), c.tokenizer.encode(whole.substr(n), plain)));
    }));
  }
}

TEST_CASE("all but the last word of ordinary text is settled") {
  for (const Case& c : families()) {
    CAPTURE(c.name);
    CHECK(c.tokenizer.settled_bytes("We say hello to all of them") == std::string("We say hello to all of").size());
    CHECK(c.tokenizer.settled_bytes("") == 0);
    CHECK(c.tokenizer.settled_bytes("hello") == 0);
  }
}

TEST_CASE("a contraction that may come holds back its apostrophe") {
  const Tokenizer tokenizer(test::small_vocabulary());
  CHECK(tokenizer.settled_bytes("and we'") <= 6);
  CHECK(tokenizer.settled_bytes("and we'r") <= 6);
  CHECK(tokenizer.settled_bytes("and we're here") == 9);
}

}  // namespace
}  // namespace frugal
