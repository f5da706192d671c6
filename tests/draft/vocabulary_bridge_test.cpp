#include <frugal/backend/sampling.hpp>
#include <frugal/backend/verification.hpp>
#include <frugal/core/error.hpp>
#include <frugal/draft/vocabulary_bridge.hpp>
#include <frugal/text/tokenizer.hpp>

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <string>

#include "backend/acceptance_oracle.hpp"
#include "model/loaders.hpp"
#include "model/mapped_file.hpp"
#include "text/small_vocabulary.hpp"

namespace frugal {
namespace {

using Ids = std::vector<Token>;
using Kind = BpeVocabulary::Kind;

constexpr EncodeOptions plain{.parse_special = false, .add_bos = false};

/// Bytes, the given merges in GPT-2's alphabet, and specials as the families name them.
BpeVocabulary vocabulary_of(const std::vector<std::pair<std::string, std::string>>& merges, std::string_view end,
                            PreTokenizer pre = PreTokenizer::gpt2) {
  BpeVocabulary v = test::small_vocabulary(pre);
  v.tokens.resize(256), v.kinds.resize(256);
  v.merges = merges;
  for (const auto& [left, right] : v.merges) test::add(v, left + right, Kind::normal);
  v.eos = test::add(v, std::string(end));
  return v;
}

// "\xC4\xA0" is a space in GPT-2's alphabet.
const std::string kSpace = "\xC4\xA0";

Tokenizer big() {
  BpeVocabulary v = vocabulary_of({{"t", "h"},
                                   {"th", "e"},
                                   {kSpace, "the"},
                                   {"i", "n"},
                                   {"in", "g"},
                                   {kSpace, "in"},
                                   {"a", "n"},
                                   {"an", "d"},
                                   {kSpace, "and"},
                                   {"o", "o"},
                                   {"e", "r"},
                                   {"l", "l"}},
                                  "<|im_end|>", PreTokenizer::smollm);
  test::add(v, "<|im_start|>");
  test::add(v, "<|only_here|>");
  return Tokenizer(v);
}

Tokenizer other() {
  BpeVocabulary v = vocabulary_of({{"h", "e"},
                                   {"t", "he"},
                                   {"n", "g"},
                                   {"i", "ng"},
                                   {kSpace, "t"},
                                   {kSpace, "a"},
                                   {"l", "l"},
                                   {"o", "n"},
                                   {"e", "r"}},
                                  "</s>", PreTokenizer::qwen2);
  test::add(v, "<|im_start|>");
  v.bos = test::add(v, "<s>");
  v.add_bos = true;
  return Tokenizer(v);
}

std::string some_text() {
  static const std::vector<std::string> pieces{"the",      " the",         "there", "in", "ing", " and", "moon", " ",
                                               "  ",       "\n",           "'",     "ll", "er",  "12",   ".",    ", ",
                                               "\xC3\xA9", "\xE4\xB8\xAD", "\xC3",  "e",  "'r"};
  std::string text;
  for (const auto i : *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, pieces.size())))
    text += pieces[i];
  return text;
}

/// Learns in random pieces.
void learn_in_pieces(Translation& translation, const Ids& tokens) {
  for (std::size_t at = 0; at < tokens.size();) {
    const auto n = *rc::gen::inRange<std::size_t>(1, tokens.size() - at + 1);
    translation.learn(std::span(tokens).subspan(at, n));
    at += n;
  }
}

TEST_CASE("tokens of the same bytes and kind meet, end tokens meet end tokens") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  CHECK(&bridge.target() == &target);
  CHECK(&bridge.draft() == &draft);
  const auto crossed = [&](std::string_view literal) { return bridge.to_target(*draft.find(literal)); };
  CHECK(crossed("the") == *target.find("the"));  // by other merges, the same bytes
  CHECK(crossed("er") == *target.find("er"));
  CHECK(crossed("on") == -1);
  CHECK(crossed("<|im_start|>") == *target.find("<|im_start|>"));
  CHECK(crossed("</s>") == *target.find("<|im_end|>"));
  CHECK(crossed("<s>") == -1);
  CHECK(bridge.to_target(-1) == -1);
  CHECK(bridge.to_target(static_cast<Token>(draft.size())) == -1);
  for (std::size_t t = 0; t < draft.size(); ++t) {
    const Token there = bridge.to_target(static_cast<Token>(t));
    CHECK((bridge.shared()[t / 32] >> t % 32 & 1U) == (there >= 0 ? 1U : 0U));
    if (there < 0 || draft.is_end(static_cast<Token>(t))) continue;
    CHECK(target.bytes(there) == draft.bytes(static_cast<Token>(t)));
  }
}

TEST_CASE("what fills a vocabulary up to a round number crosses in neither direction") {
  const auto padded = [](std::string_view end, std::size_t padding) {
    BpeVocabulary v = vocabulary_of({}, end);
    for (std::size_t i = 0; i < padding; ++i) test::add(v, "[PAD" + std::to_string(i) + "]", Kind::unused);
    return Tokenizer(v);
  };
  const Tokenizer three = padded("<|im_end|>", 3), five = padded("</s>", 5);
  CHECK(three.size() == 260);
  CHECK(three.used() == 257);
  for (const auto& [target, draft] : {std::pair{&three, &five}, std::pair{&five, &three}}) {
    const VocabularyBridge bridge(*target, *draft);
    CHECK(bridge.to_target(static_cast<Token>(draft->used() - 1)) == static_cast<Token>(target->used() - 1));
    for (std::size_t t = draft->used(); t < draft->size(); ++t) CHECK(bridge.to_target(static_cast<Token>(t)) == -1);
  }
}

TEST_CASE("vocabularies without a common token have no bridge") {
  BpeVocabulary a, b;
  a.tokens = {"a"}, b.tokens = {"b"};
  const Tokenizer target(a), draft(b);
  CHECK_THROWS_AS(VocabularyBridge(target, draft), Error);
}

TEST_CASE("the draft model's context is the text in its own tokens, however it came") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  CHECK(rc::check([&] {
    const std::string text = some_text();
    Translation translation(bridge);
    learn_in_pieces(translation, target.encode(text, plain));
    const Ids expected = draft.encode(text, {.parse_special = false, .add_bos = text.empty() ? false : true});
    RC_ASSERT(translation.context() == expected);
  }));
}

TEST_CASE("special tokens cross as such where both have them, else as text, and bos comes once") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  const auto both = [&](const Tokenizer& t, std::string_view literal) { return *t.find(literal); };
  Translation translation(bridge);
  Ids tokens{both(target, "<|im_start|>")};
  for (const Token t : target.encode("the moon", plain)) tokens.push_back(t);
  tokens.push_back(both(target, "<|im_end|>"));
  tokens.push_back(both(target, "<|only_here|>"));
  translation.learn(tokens);
  Ids expected{*draft.bos(), both(draft, "<|im_start|>")};
  for (const Token t : draft.encode("the moon", plain)) expected.push_back(t);
  expected.push_back(both(draft, "</s>"));
  for (const Token t : draft.encode("<|only_here|>", plain)) expected.push_back(t);
  CHECK(translation.context() == expected);
}

TEST_CASE("what the draft model writes arrives whole, and what is called final stays when it writes more") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  CHECK(rc::check([&] {
    Translation translation(bridge);
    learn_in_pieces(translation, target.encode(some_text(), plain));
    const Ids drafted = draft.encode(some_text(), plain);
    Ids last;
    for (std::size_t n = 0; n <= drafted.size(); ++n) {
      Ids out{-7};  // what was there stays
      const std::size_t sure = translation.to_target(std::span(drafted).first(n), out);
      RC_ASSERT(out.front() == -7);
      out.erase(out.begin());
      RC_ASSERT(target.decode(out) ==
                draft.decode(Ids(drafted.begin(), drafted.begin() + static_cast<std::ptrdiff_t>(n))));
      RC_ASSERT(sure <= out.size());
      RC_ASSERT(last.size() <= out.size());
      RC_ASSERT(std::equal(last.begin(), last.end(), out.begin()));
      last.assign(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(sure));
    }
  }));
}

TEST_CASE("a draft that says what the target says is accepted whole: its tokens are the target's own") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  Translation translation(bridge);
  translation.learn(target.encode("the moon and", plain));
  Ids out;
  const std::size_t sure = translation.to_target(draft.encode(" the inn there", plain), out);
  const Ids whole = target.encode("the moon and the inn there", plain);
  const Ids before = target.encode("the moon and", plain);
  CHECK(out == Ids(whole.begin() + static_cast<std::ptrdiff_t>(before.size()), whole.end()));
  CHECK(sure > 0);
  CHECK(sure < out.size());
}

TEST_CASE("an end token ends the draft and makes it final") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  Translation translation(bridge);
  translation.learn(target.encode("the", plain));
  Ids drafted = draft.encode(" moon", plain), out;
  drafted.push_back(*draft.eos());
  drafted.push_back('x');
  const std::size_t sure = translation.to_target(drafted, out);
  CHECK(sure == out.size());
  CHECK(out.back() == *target.eos());
  CHECK(target.decode(out) == " moon");
}

TEST_CASE("a draft drawn from the shared tokens leaves the target's distribution as it is") {
  const Tokenizer target = big(), draft = other();
  const VocabularyBridge bridge(target, draft);
  const auto logits = [](std::uint64_t seed, std::size_t n) {
    std::vector<float> x(n);
    for (std::uint32_t t = 0; t < n; ++t) x[t] = static_cast<float>(12.0 * counter_uniform(seed, t, 5));
    return x;
  };
  const Sampling s{.temperature = 1.0F, .top_k = 60};
  const auto p = draw_distribution(logits(1, target.size()), {.sampling = &s});
  const auto q = draw_distribution(logits(2, draft.size()), {.sampling = &s, .mask = bridge.shared()});
  std::vector<float> crossed(target.size());
  for (std::size_t t = 0; t < q.size(); ++t)
    if (q[t] > 0.0F) crossed[static_cast<std::size_t>(bridge.to_target(static_cast<Token>(t)))] += q[t];
  const auto judged = testing::judge(testing::library_rule, p, crossed, 200000);
  INFO(judged.fit.text());
  CHECK(judged.fit.good());
  CHECK(judged.accepted > 0);
}

// --- the tokenizer of a real model, and one with half its merges and another way to cut words ---

const std::filesystem::path smollm2 = FRUGAL_DEPS "/models/SmolLM2-135M-Instruct.Q4_1.gguf";

BpeVocabulary real_vocabulary() {
  const model::MappedFile file(smollm2);
  return *model::vocabulary_from_gguf(model::GgufFile(file.bytes(), "SmolLM2"));
}

Tokenizer with_half_the_merges(BpeVocabulary v) {
  v.merges.resize(v.merges.size() / 2);
  v.pre = PreTokenizer::llama3;
  return Tokenizer(v);
}

const char* const kPassage =
    "Dear Ms. O'Neill,\n\nthank you for your order of 3 lamps (article 20-4471). They'll leave our warehouse on\t12 "
    "May;  we've noted \xE2\x80\x9Cring twice\xE2\x80\x9D.\n\n  * price: 1,249.50 \xE2\x82\xAC\n  * caf\xC3\xA9: "
    "\xE4\xB8\xAD\xE6\x96\x87\n\n"
    "def total(items):\n    return sum(x.price for x in items if x is not None)  # may be 0\n";

TEST_CASE("SmolLM2's vocabulary and a poorer one: real text crosses both ways") {
  if (!std::filesystem::exists(smollm2)) SKIP("no model");
  const Tokenizer target(real_vocabulary()), draft = with_half_the_merges(real_vocabulary());
  for (const auto& [one, two] : {std::pair{&target, &draft}, std::pair{&draft, &target}}) {
    const VocabularyBridge bridge(*one, *two);
    const Ids tokens = one->encode(kPassage, plain);
    Translation translation(bridge);
    for (const Token t : tokens) translation.learn(std::span(&t, 1));
    CHECK(translation.context() == two->encode(kPassage, plain));

    // From every place the rest of the passage, as the draft model would write it, arrives as the target would.
    std::size_t same = 0, places = 0;
    Translation along(bridge);
    for (std::size_t at = 0; at + 1 < tokens.size(); ++at) {
      along.learn(std::span(tokens).subspan(at, 1));
      const Ids rest(tokens.begin() + static_cast<std::ptrdiff_t>(at + 1), tokens.end());
      const std::string text = one->decode(rest);
      Ids out;
      along.to_target(two->encode(text, plain), out);
      CHECK(one->decode(out) == text);
      same += out == rest, ++places;
    }
    CHECK(same * 100 >= places * 95);  // not where a word was begun in tokens it would not be encoded in
  }
}

}  // namespace
}  // namespace frugal
