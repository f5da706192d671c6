// The drift test: it keeps its false alarms, and sees a change soon however long things went well before.
#include <frugal/calibrate/drift.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "support/error_of.hpp"

using namespace frugal;
using frugal::testing::error_of;
using frugal::testing::mentions;

namespace {

// Audits until the p-value is at most `level`, or `most`.
std::uint64_t audits_until(DriftTest& test, double rate, double level, std::uint64_t most, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform;
  for (std::uint64_t i = 1; i <= most; ++i) {
    test.add(uniform(random) < rate ? 1 : 0);
    if (test.p_value() <= level) return i;
  }
  return most + 1;
}

}  // namespace

TEST_CASE("while the error is at the limit, an alarm comes in no more than the stated share of endless looks") {
  std::mt19937_64 random(1);
  int alarms = 0;
  constexpr int runs = 600;
  for (int run = 0; run < runs; ++run) {
    DriftTest test(0.1);
    alarms += audits_until(test, 0.1, 0.05, 3000, random) <= 3000 ? 1 : 0;
  }
  CHECK(alarms <= 0.05 * runs + 2 * std::sqrt(0.05 * 0.95 * runs));
}

TEST_CASE("a rise is seen within few audits, and soon after a long good time as well") {
  std::mt19937_64 random(2);
  for (const std::uint64_t good : {std::uint64_t{0}, std::uint64_t{20000}}) {
    double sum = 0;
    constexpr int runs = 50;
    for (int run = 0; run < runs; ++run) {
      DriftTest test(0.1);
      std::uniform_real_distribution<double> uniform;
      for (std::uint64_t i = 0; i < good; ++i) test.add(uniform(random) < 0.05 ? 1 : 0);
      sum += static_cast<double>(audits_until(test, 0.5, 0.05, 1000, random));
    }
    CAPTURE(good, sum / runs);
    CHECK(sum / runs < (good == 0 ? 15 : 40));
  }
}

TEST_CASE("the capital of all sequences of a few audits is 1 in the mean at the limit: it is a fair game") {
  for (const double limit : {0.02, 0.1, 0.5}) {
    double mean = 0;
    constexpr unsigned audits = 12;
    for (unsigned bits = 0; bits < 1U << audits; ++bits) {
      DriftTest test(limit);
      double chance = 1;
      for (unsigned i = 0; i < audits; ++i) {
        const bool wrong = ((bits >> i) & 1U) != 0;
        chance *= wrong ? limit : 1 - limit;
        test.add(wrong ? 1 : 0);
      }
      mean += chance * test.capital();
    }
    CHECK(std::abs(mean - 1) < 1e-9);
  }
}

TEST_CASE("grades between right and wrong count by their size, and what is not a number counts as wrong") {
  DriftTest half(0.1), wrong(0.1), unknown(0.1), beyond(0.1);
  half.add(0.5), wrong.add(1), unknown.add(NAN), beyond.add(7);
  CHECK(half.capital() > 1);
  CHECK(half.capital() < wrong.capital());
  CHECK(unknown.capital() == wrong.capital());
  CHECK(beyond.capital() == wrong.capital());
  for (const double limit : {0.0, 1.0, -1.0, double(NAN)})
    CHECK(mentions(error_of([&] { DriftTest test(limit); }), "above 0 and below 1"));
}
