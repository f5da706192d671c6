#include "grammar/byte_judge.hpp"

#include <catch2/catch_test_macros.hpp>
#include <frugal/core/error.hpp>

using namespace frugal;
using namespace frugal::test;

namespace {

struct Case {
  const char* pattern;
  std::vector<const char*> yes, no;
};

std::string fault_of(const std::string& pattern) {
  try {
    (void)grammar::regex(pattern);
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

}  // namespace

TEST_CASE("a regex takes whole texts that it matches and no others") {
  const std::vector<Case> cases = {
      {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"a*b+c?", {"b", "aab", "bbc"}, {"a", "ac", "bcc"}},
      {"(ab){2,3}", {"abab", "ababab"}, {"ab", "abababab", "aba"}},
      {"a{3}", {"aaa"}, {"aa", "aaaa"}},
      {"a{2,}", {"aa", "aaaaa"}, {"a"}},
      {"[a-c]+[^x]", {"aby", "abc"}, {"abx", "x"}},
      {"\\d{2}-\\w\\s", {"12-a ", "00-_\n"}, {"1-a ", "12-- "}},
      {"[[:alpha:]][[:^digit:]]", {"ab", "Z!"}, {"a1", "1a"}},
      {"(?i)abc(?-i)d", {"ABCd", "abcd"}, {"abcD"}},
      {"(?i:ab)c", {"ABc"}, {"ABC"}},
      {"\\x41\\x{1F600}", {"A\xF0\x9F\x98\x80"}, {"A"}},
      {"\\p{L}+", {"abc", "\xC3\xA9t\xC3\xA9", "\xE4\xBD\xA0"}, {"1", "", "a1"}},
      {"\\Qa.b\\E", {"a.b"}, {"axb"}},
      {".", {"a", "\xC3\xA9", "\xF0\x9F\x98\x80"}, {"\n", "", "\xC3", "ab"}},
      {"(?s).", {"\n"}, {""}},
      {"^a$", {"a"}, {"b"}},
      {"a^b", {}, {"ab", "a^b"}},
      {"(^|x)a", {"a", "xa"}, {"ya", ""}},
      {"a($|b)", {"a", "ab"}, {"ac"}},
      {"(?=a.*z$)[a-z]{3,4}", {"abz", "azzz"}, {"abc", "bbz", "az"}},
      {"(?!ab)[a-z]+", {"ba", "ac", "a"}, {"ab", "abc"}},
      {"(a(?=b)|b)*", {"", "b", "abb"}, {"a", "aa"}},
      {"x{0}y", {"y"}, {"xy"}},
      {"a{,2}", {"a{,2}"}, {"a", "aa"}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.pattern);
    if (c.yes.empty() || std::string(c.pattern) == "(a(?=b)|b)*") {
      CHECK_THROWS_AS(grammar::regex(c.pattern), Error);  // matches nothing, or a lookahead without a bound
      continue;
    }
    const auto source = grammar::regex(c.pattern);
    for (const char* text : c.yes) CHECK(accepts(source, text));
    for (const char* text : c.no) CHECK_FALSE(accepts(source, text));
  }
}

TEST_CASE("what a regex cannot say exactly is refused with the place in the pattern") {
  CHECK(fault_of("a(?<=b)").find("look-behind (at byte") != std::string::npos);
  CHECK(fault_of("(a)\\1").find("back reference (at byte 3)") != std::string::npos);
  CHECK(fault_of("a\\bc").find("word border (at byte 1)") != std::string::npos);
  CHECK(fault_of("a(b").find("without its )") != std::string::npos);
  CHECK(fault_of("a)").find("closes nothing") != std::string::npos);
  CHECK(fault_of("[a").find("without its ]") != std::string::npos);
  CHECK(fault_of("*a").find("nothing before it") != std::string::npos);
  CHECK(fault_of("a{3,2}").find("wrong way round") != std::string::npos);
  CHECK(fault_of("\\p{Klingon}").find("Klingon") != std::string::npos);
  CHECK(fault_of("[^\\s\\S]").find("no text is allowed") != std::string::npos);
}

TEST_CASE("a choice takes its texts, and goes on where one begins another") {
  const auto source = grammar::choice({"yes", "no", "nope"});
  CHECK(accepts(source, "yes"));
  CHECK_FALSE(accepts(source, "ye"));
  CHECK_FALSE(accepts(source, "noo"));
  const auto constraint = open(source);
  REQUIRE(takes(*constraint, "no"));
  CHECK(constraint->state() == ConstraintState::complete);
  REQUIRE(takes(*constraint, "pe"));
  CHECK(constraint->state() == ConstraintState::finished);
  CHECK_THROWS_AS(grammar::choice({}), Error);
  CHECK_THROWS_AS(grammar::choice({"a", ""}), Error);
}

TEST_CASE("a constraint is compiled once for equal texts") {
  CHECK(grammar::regex("a+b").get() == grammar::regex("a+b").get());
  CHECK(grammar::regex("a+b").get() != grammar::choice({"a+b"}).get());
  CHECK(grammar::json_schema("{}").get() !=
        grammar::json_schema("{}", {.whitespace = grammar::Whitespace::compact}).get());
}

TEST_CASE("half of a surrogate pair does not join what is no other half") {
  const auto meets = [](std::string_view text) {
    return schema_accepts(R"({"type":"string","pattern":"^(\\uD83D\\uDE00|\\uD83D\\u0041|b)$"})", text);
  };
  CHECK(meets("\"\xF0\x9F\x98\x80\""));
  CHECK(meets("\"b\""));
  CHECK_FALSE(meets("\"A\""));
}
