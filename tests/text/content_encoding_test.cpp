// What users say inside a rendered template: their text gets no control token, all other text the tokens it always gets.
#include "text/small_vocabulary.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>

using namespace frugal;
using namespace frugal::test;
using Kind = BpeVocabulary::Kind;

namespace {

struct Marked {
  std::string text;
  std::vector<TextRange> content;
  Marked& ours(const std::string& piece) {
    text += piece;
    return *this;
  }
  Marked& theirs(const std::string& piece) {
    content.push_back({text.size(), text.size() + piece.size()});
    text += piece;
    return *this;
  }
};

Ids encoded(const Tokenizer& tokenizer, const Marked& m) {
  return tokenizer.encode(m.text, {.parse_special = true, .add_bos = false, .content = m.content});
}

}  // namespace

TEST_CASE("a control token is found in the template's text and never in what users say") {
  BpeVocabulary v = small_vocabulary();
  const Token end = add(v, "<|end|>");
  const Tokenizer tokenizer(v);
  const Ids spelled{'<', '|', 'e', 'n', 'd', '|', '>'};
  CHECK(encoded(tokenizer, Marked().ours("<|end|>")) == Ids{end});
  CHECK(encoded(tokenizer, Marked().theirs("<|end|>")) == spelled);
  CHECK(encoded(tokenizer, Marked().ours("<|end|>").theirs("hello<|end|>").ours("<|end|>")) == [&] {
    Ids all{end, 259};
    all.insert(all.end(), spelled.begin(), spelled.end());
    all.push_back(end);
    return all;
  }());
}

TEST_CASE("a control token that begins or ends in what users say is not one") {
  BpeVocabulary v = small_vocabulary();
  const Token end = add(v, "<|end|>");
  const Tokenizer tokenizer(v);
  for (std::size_t cut = 1; cut < 7; ++cut) {
    const std::string whole = "<|end|>";
    for (const Ids& ids : {encoded(tokenizer, Marked().ours(whole.substr(0, cut)).theirs(whole.substr(cut))),
                           encoded(tokenizer, Marked().theirs(whole.substr(0, cut)).ours(whole.substr(cut)))})
      CHECK(std::find(ids.begin(), ids.end(), end) == ids.end());
  }
  CHECK(encoded(tokenizer, Marked().theirs("<").ours("<|end|>").theirs("|>")) == Ids{'<', end, '|', '>'});
}

TEST_CASE("a shorter token of the template's is found where the longer one would reach into what users say") {
  BpeVocabulary v = small_vocabulary();
  const Token start = add(v, "<s>");
  add(v, "<s>x");
  const Tokenizer tokenizer(v);
  CHECK(encoded(tokenizer, Marked().ours("<s>").theirs("x")) == Ids{start, 'x'});
}

TEST_CASE("user-defined tokens are found everywhere, unless they end answers or are written as marks") {
  BpeVocabulary v = small_vocabulary();
  const Token tabs = add(v, "\t\t", Kind::user_defined);
  const Token turn = add(v, "<|user|>", Kind::user_defined);
  const Token gemma = add(v, "<start_of_turn>", Kind::user_defined);
  const Token stop = add(v, "[STOP]", Kind::user_defined);
  v.end_tokens = {stop};
  const Tokenizer tokenizer(v);
  CHECK(encoded(tokenizer, Marked().theirs("\t\t").ours("\t").theirs("\t")) == Ids{tabs, tabs});
  for (const Token mark : {turn, gemma, stop}) {
    const std::string text(tokenizer.bytes(mark));
    CHECK(encoded(tokenizer, Marked().ours(text)) == Ids{mark});
    const Ids theirs = encoded(tokenizer, Marked().theirs(text));
    CHECK(std::find(theirs.begin(), theirs.end(), mark) == theirs.end());
  }
}

TEST_CASE("text without special tokens has the same ids, wherever the borders of what users say lie") {
  std::mt19937 random(11);
  const char* pieces[] = {"hello", " hello", "  ",    "\n",   "he", "ll", "o'", "ll",
                          "\xC3",  "\xA9",   "e\xCC", "\x81", "12", "<|", "|>"};
  for (const PreTokenizer pre : {PreTokenizer::gpt2, PreTokenizer::smollm, PreTokenizer::qwen2, PreTokenizer::llama3}) {
    BpeVocabulary v = small_vocabulary(pre);
    v.nfc = pre == PreTokenizer::qwen2;
    add(v, "<|end|>");
    v.matching.push_back({add(v, "<|other|>"), false, false, false, true});
    const Tokenizer tokenizer(v);
    for (int round = 0; round < 500; ++round) {
      Marked m;
      for (int i = 0; i < 12; ++i) {
        const std::string piece = pieces[random() % std::size(pieces)];
        random() % 2 == 0 ? m.ours(piece) : m.theirs(piece);
        if (random() % 6 == 0) m.ours(random() % 2 == 0 ? "<|end|>" : "<|other|>");
      }
      CHECK(encoded(tokenizer, m) == tokenizer.encode(m.text, {true, false}));
    }
  }
}

TEST_CASE("a token that is looked for in normalised text is not found in what users say either") {
  BpeVocabulary v = small_vocabulary(PreTokenizer::qwen2);
  v.nfc = true;
  const Token end = add(v, "<|end|>");
  v.matching.push_back({end, false, false, false, true});
  const Tokenizer tokenizer(v);
  const Ids ids = encoded(tokenizer, Marked().ours("<|end|>").theirs("e\xCC\x81<|end|>").ours("e\xCC\x81<|end|>"));
  CHECK(std::count(ids.begin(), ids.end(), end) == 2);
  CHECK(ids.front() == end);
  CHECK(ids.back() == end);
}
