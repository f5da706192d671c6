#include "draft/past_answers.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>

#include "brute_force.hpp"

namespace frugal {
namespace {

using draft::PastAnswers;
using draft::SuffixAutomaton;
using testing::Ids;

Ids answer_number(std::uint32_t n, std::size_t length) {
  Ids answer;
  std::uint32_t state = n * 2654435761U + 1;
  for (std::size_t i = 0; i < length; ++i) state = state * 1664525U + 1013904223U, answer.push_back(state >> 20 & 1023);
  return answer;
}

bool remembers(const PastAnswers& past, const RequestView& request, const Ids& answer) {
  for (const auto& weak : past.of(request)) {
    const auto text = weak.lock();
    SuffixAutomaton::Match match;
    for (const Token token : answer) match = text->follow(match, token);
    if (match.length == answer.size()) return true;
  }
  return false;
}

TEST_CASE("past answers never take more than their bytes, and the newest are there") {
  constexpr std::size_t limit = 256 << 10;
  PastAnswers past(limit);
  const RequestView request{.type = "t"};
  for (std::uint32_t n = 0; n < 200; ++n) {
    past.add(request, answer_number(n, 60));
    REQUIRE(past.bytes() <= limit);
    CHECK(remembers(past, request, answer_number(n, 60)));
  }
  CHECK(remembers(past, request, answer_number(190, 60)));
  CHECK_FALSE(remembers(past, request, answer_number(0, 60)));
}

TEST_CASE("a group that nobody adds to gives way to one in use") {
  constexpr std::size_t limit = 256 << 10;
  PastAnswers past(limit);
  const RequestView quiet{.type = "quiet"};
  const std::vector<RequestView> busy{{.type = "b1"}, {.type = "b2"}, {.type = "b3"}, {.type = "b4"}};
  past.add(quiet, answer_number(1, 60));
  for (std::uint32_t n = 0; n < 5; ++n) past.add(busy[0], answer_number(100 + n, 60));
  CHECK(remembers(past, quiet, answer_number(1, 60)));
  for (std::uint32_t n = 0; n < 400; ++n) past.add(busy[n % 4], answer_number(200 + n, 60));
  CHECK(past.of(quiet).empty());
  CHECK(past.bytes() <= limit);
}

TEST_CASE("many groups are bounded like one") {
  constexpr std::size_t limit = 64 << 10;
  PastAnswers past(limit);
  std::vector<std::string> tenants;
  for (int n = 0; n < 500; ++n) tenants.push_back("tenant " + std::to_string(n));
  for (std::uint32_t n = 0; n < 500; ++n) {
    past.add({.tenant = tenants[n]}, answer_number(n, 20));
    REQUIRE(past.bytes() <= limit);
  }
  CHECK(remembers(past, {.tenant = tenants[499]}, answer_number(499, 20)));
  CHECK(past.of({.tenant = tenants[0]}).empty());
}

TEST_CASE("an answer larger than the whole memory is not kept") {
  PastAnswers past(4096);
  past.add({}, answer_number(1, 5000));
  CHECK(past.bytes() <= 4096);
  CHECK(past.of({}).empty());
}

TEST_CASE("what was dropped while a sequence looked at it is gone for good") {
  PastAnswers past(4096);
  past.add({.type = "a"}, answer_number(1, 8));
  const auto seen = past.of({.type = "a"});
  REQUIRE(seen.size() == 1);
  past.add({.type = "b"}, answer_number(2, 5000));  // drops everything, itself too
  CHECK(seen[0].expired());
}

}  // namespace
}  // namespace frugal
