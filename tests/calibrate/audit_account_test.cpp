// The account of what audits did not see: its limit holds at all moments, however the error rate moves.
#include <frugal/calibrate/audit_account.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>

#include "support/error_of.hpp"

using namespace frugal;
using frugal::testing::error_of;
using frugal::testing::mentions;

namespace {

// Error rate of the answer with this number, of `n`.
using Rate = std::function<double(int i, int n)>;

// Whether the limit was ever below the truth while n answers were accepted.
bool ever_fails(AuditAccount& account, double share, const Rate& rate, int n, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform;
  int wrong = 0;
  for (int i = 0; i < n; ++i) {
    const bool is_wrong = uniform(random) < rate(i, n);
    wrong += is_wrong ? 1 : 0;
    if (uniform(random) < share) account.add(is_wrong ? 1 : 0);
    if (account.wrong_at_most() < wrong) return true;
  }
  return false;
}

}  // namespace

TEST_CASE(
    "wrong answers that got through are never more than the account's limit, in all but the stated share of runs") {
  std::mt19937_64 random(1);
  const Rate steady = [](int, int) { return 0.05; };
  const Rate drifts = [](int i, int n) { return i < n / 2 ? 0.02 : 0.5; };
  const Rate comes_and_goes = [](int i, int) { return i / 100 % 4 == 3 ? 0.4 : 0.01; };
  const Rate nearly_all = [](int, int) { return 0.95; };
  for (const Rate& rate : {steady, drifts, comes_and_goes, nearly_all})
    for (const double share : {0.05, 0.25, 0.8}) {
      int failures = 0;
      constexpr int runs = 300;
      for (int run = 0; run < runs; ++run) {
        AuditAccount account(share, 0.05);
        failures += ever_fails(account, share, rate, 1500, random) ? 1 : 0;
      }
      CAPTURE(share, failures);
      CHECK(failures <= 0.05 * runs + 2 * std::sqrt(0.05 * 0.95 * runs));
    }
}

TEST_CASE("the limit is not far above the truth once many wrong answers were found") {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform;
  AuditAccount account(0.25, 0.05);
  int wrong = 0;
  for (int i = 0; i < 100000; ++i) {
    const bool is_wrong = uniform(random) < 0.1;
    wrong += is_wrong ? 1 : 0;
    if (uniform(random) < 0.25) account.add(is_wrong ? 1 : 0);
  }
  CHECK(account.wrong_at_most() >= wrong);
  CHECK(account.wrong_at_most() <= 1.12 * wrong);
}

TEST_CASE("before the first audit the limit is what chance can hide, and with all audited it is the count itself") {
  AuditAccount none(0.25, 0.05), all(1, 0.05);
  CHECK(none.wrong_at_most() > std::log(0.05) / std::log(0.75));  // so many wrong ones go unaudited 5 times in 100
  CHECK(none.wrong_at_most() < 20);
  CHECK(all.wrong_at_most() == 0);
  for (int i = 0; i < 10; ++i) all.add(i % 5 == 0 ? 1 : 0);
  CHECK(all.found_wrong() == 2);
  CHECK(all.wrong_at_most() == 2);
}

TEST_CASE(
    "the limit is no looser where more is audited or less confidence is wanted, and grows with each wrong answer") {
  double last = INFINITY;
  for (const double share : {0.01, 0.1, 0.3, 0.6, 0.9, 1.0}) {
    AuditAccount account(share, 0.05), bolder(share, 0.2);
    double before = account.wrong_at_most();
    for (int i = 0; i < 5; ++i) {
      account.add(1), bolder.add(1);
      CHECK(account.wrong_at_most() > before);
      before = account.wrong_at_most();
    }
    CHECK(bolder.wrong_at_most() <= account.wrong_at_most());
    CHECK(account.wrong_at_most() < last);
    last = account.wrong_at_most();
  }
}

TEST_CASE("a grade counts as wrong as often as it says, and what is not a number counts") {
  AuditAccount half(1, 0.05), unknown(1, 0.05), right(1, 0.05);
  for (int i = 0; i < 4000; ++i) half.add(0.5), right.add(-1);
  CHECK(std::abs(static_cast<double>(half.found_wrong()) - 2000) < 150);
  CHECK(right.found_wrong() == 0);
  unknown.add(NAN), unknown.add(3);
  CHECK(unknown.found_wrong() == 2);
}

TEST_CASE("how many answers are enough falls with the share and the reserve, and without a reserve none are") {
  const AuditAccount quarter(0.25, 0.05), half(0.5, 0.05);
  REQUIRE(quarter.enough(0.06, 0.1));
  CHECK(*half.enough(0.06, 0.1) < *quarter.enough(0.06, 0.1));
  CHECK(*quarter.enough(0.03, 0.1) < *quarter.enough(0.06, 0.1));
  CHECK_FALSE(quarter.enough(0.1, 0.1));
  CHECK_FALSE(quarter.enough(0.2, 0.1));
}

TEST_CASE("adding an audit takes far less than a millisecond, so whichever thread ends it may do it") {
  AuditAccount account(0.1, 0.05);
  constexpr int n = 1000;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < n; ++i) account.add(1);
  const double each = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() / n;
  CAPTURE(each);
  CHECK(each < 5e-4);
}

TEST_CASE("shares and levels out of range are refused") {
  for (const double share : {0.0, -1.0, 1.5, double(NAN)})
    CHECK(mentions(error_of([&] { AuditAccount a(share, 0.05); }), "share"));
  for (const double level : {0.0, 1.0, double(NAN)})
    CHECK(mentions(error_of([&] { AuditAccount a(0.5, level); }), "level"));
}
