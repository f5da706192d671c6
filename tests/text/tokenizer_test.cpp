#include "text/small_vocabulary.hpp"

#include <catch2/catch_test_macros.hpp>
#include <frugal/core/error.hpp>

#include <random>

using namespace frugal;
using namespace frugal::test;
using Kind = BpeVocabulary::Kind;

namespace {

std::string message_of(BpeVocabulary v) {
  try {
    const Tokenizer tokenizer(std::move(v));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_model);
    return error.message();
  }
  return {};
}

std::string random_bytes(std::mt19937& random, std::size_t n) {
  static const std::string mix = "  \n\r\thello'sLL09.<|end|>\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80\xFF\xC0\xED";
  std::string out;
  for (std::size_t i = 0; i < n; ++i) {
    const bool any = random() % 4 == 0;
    out.push_back(any ? static_cast<char>(random() & 255) : mix[random() % mix.size()]);
  }
  return out;
}

}  // namespace

TEST_CASE("merges apply best first and never across words") {
  const Tokenizer tokenizer(small_vocabulary());
  CHECK(tokenizer.encode("hello hello") == Ids{259, 260});
  CHECK(tokenizer.encode("hell") == Ids{258});
  CHECK(tokenizer.encode("helo") == Ids{256, 'l', 'o'});
  CHECK(tokenizer.encode("o  hello") == Ids{'o', ' ', 260});
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("a token that its own merges never reach is not given for its text, unless merges are ignored") {
  BpeVocabulary v = small_vocabulary();
  v.tokens.push_back("ox");
  v.kinds.push_back(Kind::normal);
  CHECK(Tokenizer(v).encode("ox") == Ids{'o', 'x'});
  v.ignore_merges = true;
  CHECK(Tokenizer(v).encode("ox") == Ids{262});
}

TEST_CASE("any bytes come back as they were, for every pre-tokenizer") {
  std::mt19937 random(7);
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::qwen2, PreTokenizer::llama3}) {
    BpeVocabulary v = small_vocabulary(pre);
    add(v, "<|end|>", Kind::user_defined);
    const Tokenizer tokenizer(v);
    for (std::size_t i = 0; i < 2000; ++i) {
      const std::string text = random_bytes(random, i % 90);
      REQUIRE(tokenizer.decode(tokenizer.encode(text)) == text);
    }
  }
}

TEST_CASE("a long word is merged as a short one is") {
  const Tokenizer tokenizer(small_vocabulary());
  std::string word;
  for (int i = 0; i < 20000; ++i) word += "hello";
  CHECK(tokenizer.encode(word) == Ids(20000, 259));
  CHECK(tokenizer.encode(std::string(1 << 20, 'l')) == Ids(1 << 19, 257));
  CHECK(tokenizer.encode(std::string(101, ' ')).size() == 51);
}

TEST_CASE("special tokens are found in text, the longest at the leftmost place") {
  BpeVocabulary v = small_vocabulary();
  const Token open = add(v, "<a>"), longer = add(v, "<a>b"), tool = add(v, "<tool>", Kind::user_defined);
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.encode("hello<a>bx<a><tool>") == Ids{259, longer, 'x', open, tool});
  CHECK(tokenizer.encode("<a><tool>", {.parse_special = false}) == Ids{'<', 'a', '>', tool});
  CHECK(tokenizer.decode({open, 259, tool}) == "hello<tool>");
  CHECK(tokenizer.decode({open, 259, tool}, {.keep_special = true}) == "<a>hello<tool>");
  CHECK(tokenizer.is_special(tool));
  CHECK_FALSE(tokenizer.is_control(tool));
  CHECK(tokenizer.is_control(open));
  CHECK(tokenizer.bytes(longer) == "<a>b");
}

TEST_CASE("a special token takes blanks along, or keeps away from words, where its file says so") {
  BpeVocabulary v = small_vocabulary();
  const Token left = add(v, "<l>"), right = add(v, "<r>"), alone = add(v, "solo");
  v.matching = {
      {.token = left, .lstrip = true}, {.token = right, .rstrip = true}, {.token = alone, .single_word = true}};
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.encode("x \t<l> x") == Ids{'x', left, ' ', 'x'});
  CHECK(tokenizer.encode("x <r> \xE3\x80\x80x") == Ids{'x', ' ', right, 'x'});
  CHECK(tokenizer.encode("solo!") == Ids{alone, '!'});
  CHECK(tokenizer.encode("solos") == Ids{'s', 'o', 'l', 'o', 's'});
}

TEST_CASE("bos comes first as the file says, or as the caller says") {
  BpeVocabulary v = small_vocabulary();
  v.bos = add(v, "<s>");
  v.add_bos = true;
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.encode("x") == Ids{*v.bos, 'x'});
  CHECK(tokenizer.encode("x", {.add_bos = false}) == Ids{'x'});
  v.add_bos = false;
  CHECK(Tokenizer(v).encode("x") == Ids{'x'});
  CHECK(Tokenizer(v).encode("x", {.add_bos = true}) == Ids{*v.bos, 'x'});
}

TEST_CASE("generation ends at eos, eot and the other end tokens") {
  BpeVocabulary v = small_vocabulary();
  v.eos = add(v, "</s>");
  v.eot = add(v, "<eot>");
  v.end_tokens = {7};
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.is_end(*v.eos));
  CHECK(tokenizer.is_end(*v.eot));
  CHECK(tokenizer.is_end(7));
  CHECK_FALSE(tokenizer.is_end(8));
  CHECK_FALSE(tokenizer.is_end(-1));
  CHECK_FALSE(tokenizer.is_end(1 << 30));
}

TEST_CASE("a token is found by its literal text, a special one first") {
  BpeVocabulary v = small_vocabulary();
  const Token special = add(v, "hello");
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.find("hello") == special);
  CHECK(tokenizer.find(" hello") == 260);
  CHECK_FALSE(tokenizer.find("nothing"));
  CHECK_FALSE(tokenizer.find(""));
}

TEST_CASE("normal form C is applied where the vocabulary asks for it, and only between special tokens") {
  BpeVocabulary v = small_vocabulary();
  const Token special = add(v, "e\xCC\x81!");
  CHECK(Tokenizer(v).encode("e\xCC\x81") == Ids{'e', 0xCC, 0x81});
  v.nfc = true;
  CHECK(Tokenizer(v).encode("e\xCC\x81") == Ids{0xC3, 0xA9});
  CHECK(Tokenizer(v).encode("e\xCC\x81"
                            "e\xCC\x81!") == Ids{0xC3, 0xA9, special});
}

TEST_CASE("a byte without a token is left out, or becomes the unknown token") {
  BpeVocabulary v = small_vocabulary();
  v.tokens['x'] = "unreachable \xE4\xBD\xA0";
  CHECK(Tokenizer(v).encode("axb") == Ids{'a', 'b'});
  v.unknown = 'q';
  CHECK(Tokenizer(v).encode("axb") == Ids{'a', 'q', 'b'});
  v.tokens.push_back("<0x78>");
  v.kinds.push_back(Kind::byte);
  CHECK(Tokenizer(v).encode("axb") == Ids{'a', 262, 'b'});
  CHECK(Tokenizer(v).decode({262}) == "x");
}

TEST_CASE("an inconsistent vocabulary is refused by its first bad entry") {
  BpeVocabulary v = small_vocabulary();
  v.merges.emplace_back("he", "xx");
  CHECK(message_of(v) == "tokenizer: merge 6 needs the token \"xx\", which is missing");
  v = small_vocabulary();
  v.merges.emplace_back("z", "z");
  CHECK(message_of(v) == "tokenizer: merge 6 needs the token \"zz\", which is missing");
  v = small_vocabulary();
  v.eos = 262;
  CHECK(message_of(v) == "tokenizer: eos token 262 is outside the vocabulary of 262");
  v = small_vocabulary();
  v.kinds.pop_back();
  CHECK(message_of(v) == "tokenizer: 262 tokens but 261 kinds");
  v = small_vocabulary();
  v.add_bos = true;
  CHECK(message_of(v) == "tokenizer: it adds a bos token but names none");
  v = small_vocabulary();
  v.kinds[3] = Kind::byte;
  CHECK(message_of(v).find("is of kind byte but names none") != std::string::npos);
  CHECK(message_of({}) == "tokenizer: the vocabulary is empty");
}

TEST_CASE("an id outside the vocabulary is an invalid argument") {
  const Tokenizer tokenizer(small_vocabulary());
  for (const Token id : {-1, 262}) {
    CHECK_THROWS_AS(tokenizer.bytes(id), Error);
    CHECK_THROWS_AS(tokenizer.decode({id}), Error);
    CHECK_FALSE(tokenizer.is_special(id));
  }
}

TEST_CASE("fingerprints are equal for equal vocabularies and differ in whatever changes the encoding") {
  const auto print = [](const BpeVocabulary& v) { return Tokenizer(v).fingerprint(); };
  const BpeVocabulary base = small_vocabulary();
  CHECK(print(base) == print(small_vocabulary()));
  CHECK(print(base) != print(small_vocabulary(PreTokenizer::qwen2)));
  BpeVocabulary v = base;
  std::swap(v.merges[0], v.merges[1]);
  CHECK(print(v) != print(base));
  v = base;
  std::swap(v.tokens[5], v.tokens[6]);
  CHECK(print(v) != print(base));
  v = base;
  v.nfc = true;
  CHECK(print(v) != print(base));
}
