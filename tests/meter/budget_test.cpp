#include <frugal/meter/budget.hpp>

#include <rapidcheck.h>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "support/error_of.hpp"
#include "support/manual_clock.hpp"
#include "support/watched_budget.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;
using Catch::Approx;

TEST_CASE("what is reserved is set aside until it is settled, and the rest comes back") {
  Budget budget({.limits = {{.usd = 1}}});
  expected<Reservation> first = budget.reserve("", "", 0.6);
  REQUIRE(first);
  const auto second = budget.reserve("", "", 0.5);
  REQUIRE_FALSE(second);
  CHECK(second.error().code() == Errc::over_budget);
  first->settle(0.2);
  first->settle(0.2);  // once is enough
  CHECK(budget.state()[0].spent == Approx(0.2));
  CHECK(budget.state()[0].reserved == 0);
  CHECK(budget.state()[0].refused == 1);
  CHECK(budget.reserve("", "", 0.8));
}

TEST_CASE("a request is held to every limit that it matches, or to none of them") {
  Budget budget({.limits = {{.usd = 10}, {.tenant = "acme", .usd = 5}, {.tenant = "acme", .type = "mail", .usd = 1}}});
  auto mail = budget.reserve("acme", "mail", 1);
  REQUIRE(mail);
  const auto more = budget.reserve("acme", "mail", 0.5);
  REQUIRE_FALSE(more);
  CHECK(mentions(more.error(), "type \"mail\""));
  CHECK(budget.state()[0].reserved == Approx(1));  // the failed one left nothing behind
  auto chat = budget.reserve("acme", "chat", 4);
  REQUIRE(chat);
  CHECK_FALSE(budget.reserve("acme", "chat", 0.01));
  CHECK(budget.reserve("zeta", "mail", 5));
}

TEST_CASE("a dropped reservation is booked in full, a released one not at all") {
  Budget budget({.limits = {{.usd = 1}}});
  { const auto lost = budget.reserve("", "", 0.25); }
  CHECK(budget.state()[0].spent == Approx(0.25));
  budget.reserve("", "", 0.5).value().release();
  CHECK(budget.state()[0].spent == Approx(0.25));
  Reservation a = std::move(budget.reserve("", "", 0.1)).value();
  Reservation b = std::move(a);
  a.settle(9);  // an empty one does nothing
  a = std::move(b);
  a.settle(0.05);
  CHECK(budget.state()[0].spent == Approx(0.3));
  CHECK(budget.state()[0].reserved == 0);
}

TEST_CASE("a reservation may grow into free room and shrink at any time") {
  Budget budget({.limits = {{.usd = 1}}});
  Reservation r = std::move(budget.reserve("", "", 0.5)).value();
  CHECK(r.resize(0.9));
  CHECK(r.resize(1.1).error().code() == Errc::over_budget);
  CHECK(r.usd() == 0.9);
  CHECK(r.resize(0.1));
  CHECK(budget.state()[0].reserved == Approx(0.1));
  r.release();
  CHECK_FALSE(r.resize(0.1));
}

TEST_CASE("what costs more than was reserved is booked in full and counted as overdraft") {
  Budget budget({.limits = {{.usd = 1}}});
  Reservation r = std::move(budget.reserve("", "", 0.5)).value();
  r.settle(1.5);
  CHECK(budget.state()[0].spent == Approx(1.5));
  CHECK(budget.state()[0].overdraft == Approx(0.5));
  CHECK_FALSE(budget.reserve("", "", 0.001));
}

TEST_CASE("a period gives the money back, but not what is still set aside") {
  ManualClock clock;
  Budget budget({.limits = {{.usd = 1, .period = 1h}}, .clock = &clock});
  budget.reserve("", "", 0.7).value().settle(0.7);
  Reservation held = std::move(budget.reserve("", "", 0.3)).value();
  CHECK_FALSE(budget.reserve("", "", 0.1));
  clock.advance(1h);
  CHECK(budget.state()[0].spent == 0);
  CHECK_FALSE(budget.reserve("", "", 0.8));
  CHECK(budget.reserve("", "", 0.7));
  held.settle(0.3);
}

TEST_CASE("sums that are no money are refused") {
  Budget budget({.limits = {{.usd = 1}}});
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    CHECK(budget.reserve("", "", bad).error().code() == Errc::invalid_argument);
    CHECK(error_of([&] { Budget b({.limits = {{.usd = bad}}}); }).code() == Errc::invalid_argument);
  }
  CHECK(error_of([] { Budget b({.limits = {{.usd = 1, .period = -1s}}}); }).code() == Errc::invalid_argument);
  Reservation r = std::move(budget.reserve("", "", 0.5)).value();
  r.settle(std::nan(""));  // a bill that cannot be read is taken in full
  CHECK(budget.state()[0].spent == Approx(0.5));
}

TEST_CASE("ten thousand tenths of a cent fit into ten dollars exactly") {
  Budget budget({.limits = {{.usd = 10}}});
  for (int i = 0; i < 10'000; ++i) budget.reserve("", "", 0.001).value().settle(0.001);
  CHECK(budget.state()[0].spent == 10);
  CHECK_FALSE(budget.reserve("", "", 1e-9));
}

// Threads reserve, grow, shrink, settle less, drop and release at random while a watcher looks on: at no moment may the
// money spent and set aside exceed any cap, and in the end nothing is set aside and nothing was lost.
TEST_CASE("no interleaving of threads exceeds any cap") {
  CHECK(rc::check("never over", [](std::uint32_t seed) {
    Budget budget({.limits = {{.usd = 3},
                              {.tenant = "0", .usd = 1},
                              {.type = "1", .usd = 1.5},
                              {.tenant = "1", .type = "0", .usd = 0.25}}});
    std::atomic<std::int64_t> paid{0};  // nanodollars
    const auto work = [&](std::uint32_t thread) {
      std::mt19937 random(seed + thread);
      const auto share = [&] { return static_cast<double>(random() % 1000) / 1000; };
      for (int i = 0; i < 300; ++i) {
        expected<Reservation> r =
            budget.reserve(std::to_string(random() % 3), std::to_string(random() % 2), 0.1 * share());
        if (!r) continue;
        if (random() % 4 == 0) static_cast<void>(r->resize(0.2 * share()));
        const double most = r->usd();
        const auto nano = [](double usd) { return static_cast<std::int64_t>(std::ceil(usd * 1e9 - 1e-3)); };
        if (random() % 8 == 0) {
          paid += nano(most);  // dropped
        } else {
          const double cost = most * share();
          r->settle(cost), paid += nano(cost);
        }
      }
    };
    RC_ASSERT(never_over(budget, 1e-12, work));
    RC_ASSERT(budget.state()[0].reserved == 0.0);
    RC_ASSERT(std::abs(budget.state()[0].spent - static_cast<double>(paid) / 1e9) < 1e-9);
  }));
}

TEST_CASE("sums beyond all bounds stop at the largest instead of wrapping into free money") {
  Budget budget({.limits = {{.usd = 4e9}}});
  for (int i = 0; i < 5; ++i) {
    expected<Reservation> r = budget.reserve("", "", i == 0 ? 4e9 : 0);
    REQUIRE(r);
    r->settle(std::numeric_limits<double>::infinity());
    const LimitState state = budget.state()[0];
    CHECK(state.spent > 3.9e9);
    CHECK(state.spent < 4.7e9);
    CHECK(state.overdraft >= 0);
    CHECK_FALSE(budget.reserve("", "", 1e-9));
    CHECK_FALSE(is_retryable(budget.reserve("", "", 1).error().code()));
  }
}

TEST_CASE("a bill that is not a number books what was set aside") {
  Budget budget({.limits = {{.usd = 1}}});
  for (const double odd : {std::numeric_limits<double>::quiet_NaN(), -1.0}) {
    const double before = budget.state()[0].spent;
    budget.reserve("", "", 0.25).value().settle(odd);
    CHECK(budget.state()[0].spent == Approx(before + 0.25));
  }
  for (const double odd :
       {std::numeric_limits<double>::quiet_NaN(), -1.0, 4.1e9, std::numeric_limits<double>::infinity()})
    CHECK(budget.reserve("", "", odd).error().code() == Errc::invalid_argument);
  CHECK(mentions(error_of([] { Budget({.limits = {{.usd = 1}, {.usd = std::nan("")}}}); }), "limits[1]: usd"));
}

TEST_CASE("a clock at either end of time keeps the books") {
  for (const TimePoint born : {TimePoint::min(), TimePoint{}, TimePoint::max() - 1s}) {
    ManualClock clock;
    clock.set(born);
    Budget budget({.limits = {{.usd = 1, .period = 1ns}}, .clock = &clock});
    CHECK(budget.reserve("", "", 1));
    clock.set(TimePoint::max());
    CHECK(budget.reserve("", "", 1));  // another period
    clock.set(TimePoint::min());
    CHECK(budget.state().size() == 1);
  }
}
