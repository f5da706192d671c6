// Ways to the end of a document: that they lead there, that they are short, and that masks which keep one open do.
#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>

using namespace frugal;
using namespace frugal::test;

namespace {

const std::vector<std::shared_ptr<const ConstraintSource>>& sources() {
  static const std::vector<std::shared_ptr<const ConstraintSource>> all = [] {
    std::vector<std::shared_ptr<const ConstraintSource>> made;
    for (
        const char* schema :
        {"{}", R"({"type":"string","minLength":5,"maxLength":9})", R"s({"type":"string","pattern":"^(ab|c){2,}x$"})s",
         R"({"type":"object","properties":{"name":{"type":"string"},"na":{"type":"integer","minimum":12},"x":{"enum":["red","blue"]}},"required":["name","x"]})",
         R"({"type":"array","items":{"type":"object","properties":{"a":{"type":"array","minItems":2},"b":{"type":"null"}},"required":["a","b"],"additionalProperties":false},"minItems":2})",
         R"({"type":"array","uniqueItems":true,"items":{"enum":["a","ab","abc",1,12]},"minItems":3})",
         R"({"type":"array","uniqueItems":true,"items":{"type":"integer"},"minItems":4})",
         R"({"type":"array","contains":{"type":"string","minLength":2},"minContains":2,"maxContains":3,"minItems":3})",
         R"({"type":"object","minProperties":3,"properties":{"a":{"type":"integer"},"bb":{"type":"null"}},"additionalProperties":{"type":"boolean"}})",
         R"({"type":"object","properties":{"a":{},"b":{},"c":{"type":"integer"}},"dependentRequired":{"a":["b"],"b":["c"]},"minProperties":1,"additionalProperties":false})",
         R"({"type":"object","patternProperties":{"^x":{"type":"integer"}},"additionalProperties":false,"minProperties":2})",
         R"({"type":"object","not":{"additionalProperties":{"type":"integer"}}})",
         R"({"anyOf":[{"type":"object","required":["kind","long"],"properties":{"kind":{"const":"a"},"long":{"type":"string","minLength":12}}},{"type":"integer"}]})",
         R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]},"v":{"type":"number","multipleOf":0.5}},"required":["next","v"],"additionalProperties":false}}})"}) {
      for (const auto space : {grammar::Whitespace::compact, grammar::Whitespace::flexible}) {
        for (const auto order : {grammar::Order::any, grammar::Order::schema})
          made.push_back(grammar::json_schema(schema, {.whitespace = space, .order = order, .lenient = {}}));
      }
    }
    made.push_back(grammar::regex("(ab|abc)*(12|1\\.[0-9]{2,})?x"));
    made.push_back(grammar::choice({"name", "na", "abc", "true", "\xC3\xA9"}));
    made.push_back(grammar::ebnf("root ::= \"(\" term (\" + \" term)* \")\"\nterm ::= [0-9]+ | root\n"));
    made.push_back(grammar::ebnf("start: a b? \"end\"\na: \"x\" a \"y\" | \"m\"\nb: a a\n"));
    made.push_back(
        grammar::tools({{"get", R"({"type":"object","properties":{"c":{"type":"string"}},"required":["c"]})"}}));
    return made;
  }();
  return all;
}

std::vector<std::uint32_t> words_of(Constraint& c) {
  std::vector<std::uint32_t> words((json_tokenizer().size() + 31) / 32);
  c.mask(words);
  return words;
}

Token pick(const std::vector<std::uint32_t>& words, std::mt19937& random) {
  std::vector<Token> all;
  for (std::size_t t = 0; t < json_tokenizer().size(); ++t) {
    const std::string_view text = json_tokenizer().bytes(static_cast<Token>(t));
    const bool sign = text.find_first_of("\"{}[],:0123456789") != std::string_view::npos;
    if (((words[t / 32] >> (t % 32)) & 1) != 0) all.insert(all.end(), sign ? 6 : 1, static_cast<Token>(t));
  }
  return all.empty() ? -1 : all[random() % all.size()];
}

std::string text_of(const std::vector<Token>& tokens) {
  std::string text;
  for (const Token t : tokens) text += json_tokenizer().bytes(t);
  return text;
}

std::string way_from(const std::shared_ptr<const ConstraintSource>& source, std::string_view text) {
  const auto c = open(source);
  REQUIRE(takes(*c, text));
  std::vector<Token> way;
  REQUIRE(c->closes(1'000, &way));
  return text_of(way);
}

}  // namespace

TEST_CASE("from every state there is a way to the end that the constraint takes, and it changes nothing to ask") {
  std::mt19937 random(5);
  for (std::size_t s = 0; s < sources().size(); ++s) {
    for (int answer = 0; answer < 6; ++answer) {
      const auto c = open(sources()[s]);
      std::string text;
      for (int step = 0; step < 40; ++step) {
        CAPTURE(s, text);
        const std::vector<std::uint32_t> before = words_of(*c);
        std::vector<Token> way;
        REQUIRE(c->closes(1'000, &way));
        CAPTURE(text_of(way));
        REQUIRE(c->closes(way.size(), nullptr));
        if (!way.empty()) CHECK_FALSE(c->closes(way.size() / 8, nullptr));
        for (const Token t : way) REQUIRE(c->advance(t));
        REQUIRE(c->state() != ConstraintState::open);
        c->rollback(way.size());
        REQUIRE(words_of(*c) == before);
        const Token t = pick(before, random);
        if (t < 0 || json_tokenizer().is_end(t)) break;
        REQUIRE(c->advance(t));
        text += json_tokenizer().bytes(t);
      }
    }
  }
}

TEST_CASE("the way is the shortest text, in the fewest tokens") {
  const auto person = grammar::json_schema(
      R"({"type":"object","properties":{"name":{"type":"string","minLength":2},"age":{"type":"integer","minimum":12},"note":{"type":"string"}},"required":["name","age"],"additionalProperties":false})");
  CHECK(way_from(person, "").size() == std::string(R"({"name":"aa","age":12})").size());
  CHECK(way_from(person, R"({"name":"x)") == R"(a","age":12})");
  CHECK(way_from(person, R"({"note":"long)") == R"(","name":"aa","age":12})");
  CHECK(way_from(person, R"({"age":3)") == R"(0,"name":"aa"})");
  CHECK(way_from(person, R"({"na)") == R"(me":"aa","age":12})");
  CHECK(way_from(person, R"({"no)") == R"(te":"","name":"aa","age":12})");
  CHECK(way_from(grammar::json_schema(R"({"enum":["red","blue",[1,2]]})"), "").size() == 5);
  CHECK(way_from(grammar::json_schema(R"({"type":"array","uniqueItems":true,"minItems":3,"items":{"type":"integer"}})"),
                 "[1,0,")
            .size() == 2);
  std::vector<Token> way;
  const auto c = open(person);
  REQUIRE(takes(*c, R"({"name":"aa","age":12)"));
  REQUIRE(c->closes(1, &way));
  CHECK(way.size() == 1);
  CHECK_FALSE(c->closes(0, nullptr));
}

TEST_CASE("a closing mask allows exactly the tokens after which there is a way that is short enough") {
  std::mt19937 random(9);
  for (std::size_t s = 0; s < sources().size(); ++s) {
    const auto c = open(sources()[s]);
    std::string text;
    for (int step = 0; step < 12; ++step) {
      std::vector<Token> way;
      REQUIRE(c->closes(1'000, &way));
      for (const std::size_t most : {way.size(), way.size() + 1, way.size() + 5}) {
        std::vector<std::uint32_t> narrow((json_tokenizer().size() + 31) / 32), tried(narrow.size());
        c->closing_mask(most, narrow);
        c->Constraint::closing_mask(most, tried);
        CAPTURE(s, text, most, text_of(way));
        CHECK(narrow == tried);
      }
      const Token t = pick(words_of(*c), random);
      if (t < 0 || json_tokenizer().is_end(t) || !c->advance(t)) break;
      text += json_tokenizer().bytes(t);
    }
  }
}

TEST_CASE("what ends in time by closing masks is a whole document, at any cap") {
  std::mt19937 random(13);
  for (std::size_t s = 0; s < sources().size(); ++s) {
    const auto opened = open(sources()[s]);
    std::vector<Token> shortest;
    REQUIRE(opened->closes(1'000, &shortest));
    for (const std::size_t more : {0, 1, 2, 3, 5, 8, 13, 30}) {
      const auto c = open(sources()[s]);
      std::string text;
      std::vector<Token> way = shortest;  // as the engine keeps it
      for (std::size_t left = shortest.size() + more; left > 0 && c->state() != ConstraintState::finished; --left) {
        std::vector<std::uint32_t> words((json_tokenizer().size() + 31) / 32);
        c->closing_mask(left, words);
        if (!way.empty()) words[static_cast<std::size_t>(way[0]) / 32] |= 1U << (way[0] % 32);
        const Token t = pick(words, random);
        CAPTURE(s, text, left);
        REQUIRE(t >= 0);
        if (json_tokenizer().is_end(t)) break;
        REQUIRE(c->advance(t));
        text += json_tokenizer().bytes(t);
        if (!way.empty() && way[0] == t) {
          way.erase(way.begin());
        } else {
          way.clear();
          REQUIRE(c->closes(left - 1, &way));
        }
      }
      CAPTURE(s, text);
      CHECK(c->state() != ConstraintState::open);
    }
  }
}
