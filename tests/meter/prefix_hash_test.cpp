#include <frugal/meter/prefix_hash.hpp>

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>

#include <unordered_set>
#include <vector>

using namespace frugal;

namespace {

std::vector<Token> counting(std::size_t n, Token first = 0) {
  std::vector<Token> tokens(n);
  for (std::size_t i = 0; i < n; ++i) tokens[i] = first + static_cast<Token>(i);
  return tokens;
}

Request asked(Sampling sampling = {}) { return {.prompt = RawPrompt{"why?"}, .sampling = sampling}; }

}  // namespace

TEST_CASE("two prompts share as many blocks as they share whole blocks of tokens") {
  CHECK(rc::check("blocks", [](std::uint8_t length, std::uint8_t differs) {
    const std::vector<Token> a = counting(length);
    std::vector<Token> b = a;
    if (differs < length) ++b[differs];
    const auto x = prefix_blocks(a), y = prefix_blocks(b);
    RC_ASSERT(x.size() == length / 16U);
    std::size_t shared = 0;
    while (shared < x.size() && x[shared] == y[shared]) ++shared;
    RC_ASSERT(shared == std::min<std::size_t>(x.size(), differs < length ? differs / 16U : x.size()));
    for (std::size_t i = shared; i < x.size(); ++i) RC_ASSERT(x[i] != y[i]);  // chained: never equal again
  }));
}

TEST_CASE("a longer prompt begins with the blocks of a shorter one, and tenants share none") {
  const auto whole = prefix_blocks(counting(100)), part = prefix_blocks(counting(40));
  CHECK(std::equal(part.begin(), part.end(), whole.begin()));
  CHECK(prefix_blocks(counting(100), "a")[0] != whole[0]);
  CHECK(prefix_blocks(counting(100), "a")[5] != prefix_blocks(counting(100), "b")[5]);
}

TEST_CASE("hashes are below 2^63, spread, and the same on every machine") {
  std::unordered_set<std::uint64_t> seen;
  for (Token first = 0; first < 20'000; ++first)
    for (const std::uint64_t h : prefix_blocks(counting(32, first))) {
      CHECK(h < (std::uint64_t{1} << 63));
      seen.insert(h);
    }
  CHECK(seen.size() == 40'000);
  CHECK(prefix_blocks(counting(16)) == std::vector<std::uint64_t>{3401851185057787434ULL});
}

TEST_CASE("a running hash does not depend on how the sequence was cut") {
  const std::vector<Token> tokens = counting(10);
  RunningHash one, two;
  one.add(tokens);
  for (const Token& t : tokens) two.add(std::span(&t, 1));
  CHECK(one.value() == two.value());
  RunningHash text, pieces;
  text.add(std::string_view("hello")), pieces.add(std::string_view("he")), pieces.add(std::string_view("llo"));
  CHECK(text.value() == pieces.value());
  CHECK(text.value() != one.value());
}

TEST_CASE("the same question is the same prompt, sampling and end") {
  CHECK(question_hash(asked()) == question_hash(asked()));
  CHECK(question_hash(asked()) != question_hash({.prompt = RawPrompt{"why"}}));
  CHECK(question_hash(asked({.seed = 1})) == question_hash(asked({.seed = 2})));  // greedy: the seed is not used
  CHECK(question_hash(asked({.temperature = 1, .seed = 1})) != question_hash(asked({.temperature = 1, .seed = 2})));
  CHECK(question_hash(asked({.repetition_penalty = 1.1F})) != question_hash(asked()));
  Request capped = asked();
  capped.max_tokens = 5;
  CHECK(question_hash(capped) != question_hash(asked()));
  capped.max_tokens = 0, capped.stop = {"\n"};
  CHECK(question_hash(capped) != question_hash(asked()));
  const auto chat = [](std::string role, std::string content) {
    return Request{Chat{.messages = {{.role = std::move(role), .content = std::move(content)}}}};
  };
  CHECK(question_hash(chat("user", "x")) != question_hash(chat("system", "x")));
  CHECK(question_hash(chat("us", "erx")) != question_hash(chat("user", "x")));
  const std::vector<Token> tokens = counting(3);
  CHECK(question_hash(asked(), tokens) == question_hash(chat("user", "x"), tokens));
}
