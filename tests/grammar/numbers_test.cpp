// Bounds and multiples against whole-number arithmetic.
#include "grammar/expr/counters.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <string>

using namespace frugal::grammar;

namespace {

bool accepts(const Counter& counter, std::string_view text) {
  std::uint64_t state = counter.start();
  for (const char c : text) {
    if (state == Counter::kDead) return false;
    state = counter.step(state, static_cast<std::uint8_t>(c));
  }
  return state != Counter::kDead && counter.accepts(state);
}

/// value / 1000, in one of the ways to write it.
std::string written(long value, std::mt19937& random) {
  std::string digits = std::to_string(std::abs(value));
  while (digits.size() < 4) digits.insert(0, 1, '0');
  std::string text = digits.substr(0, digits.size() - 3) + '.' + digits.substr(digits.size() - 3);
  while (random() % 2 == 0 && text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  if (random() % 4 == 0 && value != 0) {  // scientific
    const std::size_t first = digits.find_first_not_of('0');
    std::string mantissa = digits.substr(first, 1);
    if (digits.size() > first + 1) mantissa += '.' + digits.substr(first + 1);
    const long exponent = static_cast<long>(digits.size() - first) - 4;
    text = mantissa + (random() % 2 == 0 ? "e" : "E") + (exponent < 0 ? "-" : (random() % 2 == 0 ? "+" : "")) +
           (random() % 2 == 0 ? "0" : "") + std::to_string(std::abs(exponent));
  }
  return (value < 0 ? "-" : "") + text;
}

bool holds(long x, Relation relation, long bound) {
  switch (relation) {
    case Relation::less:
      return x < bound;
    case Relation::at_most:
      return x <= bound;
    case Relation::equal:
      return x == bound;
    case Relation::not_equal:
      return x != bound;
    case Relation::at_least:
      return x >= bound;
    case Relation::greater:
      break;
  }
  return x > bound;
}

}  // namespace

TEST_CASE("a number is compared with a bound as whole numbers of thousandths are") {
  std::mt19937 random(3);
  for (int round = 0; round < 40'000; ++round) {
    const long range = round % 3 == 0 ? 30 : (round % 3 == 1 ? 3'000 : 3'000'000);
    const auto any = [&] { return static_cast<long>(random() % static_cast<unsigned>(2 * range + 1)) - range; };
    const long bound = any(), x = random() % 8 == 0 ? bound : any();
    const auto relation = static_cast<Relation>(random() % 6);
    const std::string text = written(x, random), bound_text = written(bound, random);
    const auto parsed = Decimal::parse(bound_text);
    REQUIRE(parsed);
    CAPTURE(text, bound_text, static_cast<int>(relation));
    REQUIRE(accepts(*compare_number(*parsed, relation), text) == holds(x, relation, bound));
  }
}

TEST_CASE("a multiple is known digit by digit") {
  std::mt19937 random(5);
  for (int round = 0; round < 20'000; ++round) {
    const long unit = 1 + static_cast<long>(random() % (round % 2 == 0 ? 50 : 5'000)),
               x = static_cast<long>(random() % 100'000) - 50'000;
    std::string text = written(x, random);
    if (text.find_first_of("eE") != std::string::npos) continue;
    const auto parsed = Decimal::parse(written(unit, random));
    CAPTURE(text, unit);
    REQUIRE(accepts(*multiple_of(*parsed, true), text) == (x % unit == 0));
    REQUIRE(accepts(*multiple_of(*parsed, false), text) == (x % unit != 0));
  }
}
