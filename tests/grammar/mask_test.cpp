// Masks against trying every token; rolling back against starting anew.
#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>

using namespace frugal;
using namespace frugal::test;

namespace {

const std::vector<std::shared_ptr<const ConstraintSource>>& sources() {
  static const std::vector<std::shared_ptr<const ConstraintSource>> all = {
      grammar::json_schema("{}"),
      grammar::json_schema("{}", {.whitespace = grammar::Whitespace::compact}),
      grammar::json_schema(
          R"({"type":"object","properties":{"name":{"type":"string","maxLength":4},"na":{"type":"integer","minimum":12}},"required":["name"]})"),
      grammar::json_schema(R"({"type":"array","uniqueItems":true,"items":{"enum":["a","ab","abc",1,12]}})"),
      grammar::json_schema(
          R"({"type":"object","additionalProperties":{"type":"array","uniqueItems":true},"minProperties":1,"maxProperties":3})"),
      grammar::json_schema(
          R"({"anyOf":[{"type":"string","pattern":"^a[^c]*$"},{"type":"object","oneOf":[{"required":["a"]},{"required":["ab"]}]}]})"),
      grammar::json_schema(
          R"({"type":"array","contains":{"type":"null"},"items":{"type":["null","boolean","number"]},"minItems":2})"),
      grammar::json_schema(
          R"({"properties":{"name":{},"me":{}},"required":["me"],"type":"object","x-order":"schema"})"),
      grammar::json_schema(R"({"type":"string","minLength":2,"maxLength":5})"),
      grammar::json_schema(R"s({"type":"string","pattern":"\\d{2}(-|$)"})s"),
      grammar::json_schema(R"({"allOf":[{"pattern":"ab|\"c"},{"pattern":"[0-9]$"},{"maxLength":9}],"type":"string"})"),
      grammar::json_schema(R"({"allOf":[{"pattern":"ab"},{"pattern":"12|\u00e9"}],"type":"string"})"),
      grammar::json_schema(R"({"type":"object","patternProperties":{"a.*1":{"type":"null"}},"minProperties":1})"),
      grammar::regex("(ab|abc)*(12|1\\.[0-9]{2,})?"),
      grammar::choice({"name", "na", "abc", "true", "\xC3\xA9"})};
  return all;
}

std::vector<bool> mask_of(Constraint& constraint) {
  const Tokenizer& tokenizer = json_tokenizer();
  std::vector<std::uint32_t> words((tokenizer.size() + 31) / 32, 0xFFFFFFFF);
  constraint.mask(words);
  std::vector<bool> allowed;
  for (std::size_t t = 0; t < tokenizer.size(); ++t) allowed.push_back(((words[t / 32] >> (t % 32)) & 1) != 0);
  return allowed;
}

std::vector<bool> tried_one_by_one(Constraint& constraint) {
  const Tokenizer& tokenizer = json_tokenizer();
  std::vector<bool> allowed;
  for (std::size_t i = 0; i < tokenizer.size(); ++i) {
    const auto t = static_cast<Token>(i);
    if (tokenizer.is_end(t)) {
      allowed.push_back(constraint.state() != ConstraintState::open);
      continue;
    }
    allowed.push_back(constraint.advance(t));
    if (allowed.back()) constraint.rollback(1);
  }
  return allowed;
}

Token pick(const std::vector<bool>& allowed, std::mt19937& random) {
  std::vector<Token> choices;
  for (std::size_t t = 0; t < allowed.size(); ++t) {
    // Structure is picked more often than one of the many letters.
    const std::string_view text = json_tokenizer().bytes(static_cast<Token>(t));
    const bool sign = text.find_first_of("\"{}[],:0123456789") != std::string_view::npos;
    if (allowed[t] && !json_tokenizer().is_end(static_cast<Token>(t)))
      choices.insert(choices.end(), sign ? 8 : 1, static_cast<Token>(t));
  }
  return choices.empty() ? -1 : choices[random() % choices.size()];
}

}  // namespace

TEST_CASE("a mask allows exactly the tokens that advance() takes") {
  std::mt19937 random(7);
  for (std::size_t s = 0; s < sources().size(); ++s) {
    for (int answer = 0; answer < 12; ++answer) {
      const auto constraint = open(sources()[s]);
      std::string text;
      for (int step = 0; step < 30; ++step) {
        const std::vector<bool> mask = mask_of(*constraint);
        CAPTURE(s, text);
        REQUIRE(mask == tried_one_by_one(*constraint));
        const Token t = pick(mask, random);
        if (t < 0) break;
        text += json_tokenizer().bytes(t);
        REQUIRE(constraint->advance(t));
      }
    }
  }
}

TEST_CASE("after a rollback a constraint is as if the tokens had never come") {
  std::mt19937 random(11);
  for (const auto& source : sources()) {
    const auto constraint = open(source);
    std::vector<Token> taken;
    for (int step = 0; step < 200; ++step) {
      if (random() % 4 == 0 && !taken.empty()) {
        const std::size_t back = 1 + random() % taken.size();
        constraint->rollback(back);
        taken.resize(taken.size() - back);
        const auto anew = open(source);
        for (const Token t : taken) REQUIRE(anew->advance(t));
        REQUIRE(mask_of(*anew) == mask_of(*constraint));
        REQUIRE(anew->state() == constraint->state());
        continue;
      }
      const Token t = pick(mask_of(*constraint), random);
      if (t < 0) continue;
      REQUIRE(constraint->advance(t));
      taken.push_back(t);
    }
  }
}

TEST_CASE("a token that is not allowed changes nothing") {
  const auto constraint = open(grammar::choice({"abc"}));
  REQUIRE(constraint->advance('a'));
  CHECK_FALSE(constraint->advance('x'));
  CHECK_FALSE(constraint->advance(-1));
  CHECK_FALSE(constraint->advance(1'000'000));
  CHECK_FALSE(constraint->advance(*json_tokenizer().eos()));
  CHECK(takes(*constraint, "bc"));
}

TEST_CASE("a mask of a narrower head leaves out the tokens beyond it") {
  const auto constraint = open(grammar::json_schema(R"({"type":"string"})"));
  std::vector<std::uint32_t> words(2, 0xFFFFFFFF);
  constraint->mask(words);
  CHECK(words[0] == 0);
  CHECK(words[1] == (1U << ('"' - 32)));
}

TEST_CASE("what must follow is spelled as the tokenizer spells it, up to where it may still change") {
  const grammar::JsonSchemaOptions compact{.whitespace = grammar::Whitespace::compact};
  const auto source = grammar::json_schema(
      R"({"type":"object","properties":{"hello hello":{"const":5}},"required":["hello hello"],"additionalProperties":false})",
      compact);
  const auto constraint = open(source);
  std::vector<Token> forced;
  constraint->forced(64, forced);
  std::string text;
  for (const Token t : forced) text += json_tokenizer().bytes(t);
  CHECK(text == "{\"hello hello");  // what comes next may join the quote
  CHECK(forced == json_tokenizer().encode(text, {.parse_special = false}));
  for (const Token t : forced) REQUIRE(constraint->advance(t));
  std::vector<Token> few;
  open(source)->forced(2, few);
  CHECK(few == std::vector<Token>(forced.begin(), forced.begin() + 2));
  few.clear();
  open(grammar::json_schema("{}"))->forced(8, few);
  CHECK(few.empty());
}

TEST_CASE(
    "what must follow is spelled as it was written the last time, and by the tokenizer from the last odd token on") {
  const auto source = grammar::regex("(hello hello hello[ab])*");
  const auto constraint = open(source);
  const auto letters = [&](std::string_view text) { return std::vector<Token>(text.begin(), text.end()); };
  const std::vector<Token> habit = letters("hello hello hello");
  std::vector<Token> forced;
  REQUIRE(constraint->advance('h'));  // no tokenizer would begin so
  constraint->forced(64, forced);
  std::string text;
  for (const Token t : forced) text += json_tokenizer().bytes(t);
  CHECK_FALSE(forced.empty());
  CHECK(std::string("ello hello hello").starts_with(text));
  for (std::size_t i = 0; i < habit.size(); ++i) {  // letter by letter
    if (i > 0) REQUIRE(constraint->advance(habit[i]));
    std::vector<Token> more;
    constraint->forced(64, more);
  }
  REQUIRE(constraint->advance('a'));
  REQUIRE(constraint->advance('h'));
  forced.clear();
  constraint->forced(64, forced);
  CHECK(forced == letters("ello hello hello"));
  constraint->rollback(1);  // what was asked beyond is forgotten, what was learned is not
  REQUIRE(constraint->advance('h'));
  forced.clear();
  constraint->forced(4, forced);
  CHECK(forced == letters("ello"));
}
