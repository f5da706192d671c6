#include <frugal/endpoint/budgeted.hpp>

#include <rapidcheck.h>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "endpoint/canned_endpoint.hpp"
#include "support/error_of.hpp"
#include "support/manual_clock.hpp"
#include "support/watched_budget.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Approx;

namespace {

BudgetedOptions dollar_a_token() {
  return {.prices = PriceBook().with("m", {.input = 1e6, .output = 1e6}), .model = "m", .tokens_per_message = 0};
}

Request ask(std::uint32_t max_tokens = 5) { return {.prompt = RawPrompt{"why?"}, .max_tokens = max_tokens}; }

double reserved(const Budget& b) { return b.state()[0].reserved; }
double spent(const Budget& b) { return b.state()[0].spent; }

/// Tells of its prompt, says one token a step, and ends without any usage: a stream that broke off.
struct Remote final : Endpoint {
  std::string_view name() const override { return "remote"; }
  Call start(Request, std::shared_ptr<Sink> s) override {
    sink = std::move(s);
    if (!prompt.empty()) sink->on_prompt(prompt);
    return Call([this] { cancelled = true; });
  }
  Progress step() override {
    if (!sink) return Progress::idle;
    if (!cancelled) {
      sink->on_delta({"x", {1}, {}});
      return Progress::worked;
    }
    Finish end;
    end.reason = FinishReason::cancelled;
    std::exchange(sink, nullptr)->on_finish(end);
    return Progress::worked;
  }
  std::shared_ptr<Sink> sink;
  std::vector<Token> prompt;
  bool cancelled = false;
};

/// Answers at once on the caller's thread, in one of the ways in which answers end; safe from any thread.
struct Fickle final : Endpoint {
  explicit Fickle(std::uint32_t seed) : seed_(seed) {}
  std::string_view name() const override { return "fickle"; }
  Call start(Request r, std::shared_ptr<Sink> sink) override {
    std::mt19937 random(seed_ + number_++);
    const std::vector<Token> prompt(1 + random() % std::get<RawPrompt>(r.prompt).text.size(), 1);
    if (random() % 2 == 0) sink->on_prompt(prompt);
    const auto tokens = static_cast<std::uint32_t>(random() % (r.max_tokens + 1));
    for (std::uint32_t i = 0; i < tokens; ++i) sink->on_delta({"x", {1}, {}});
    Finish end;
    end.reason = tokens == r.max_tokens ? FinishReason::length : FinishReason::stop;
    end.usage = {.input = prompt.size(), .cached_read = random() % (prompt.size() + 1), .output = tokens};
    if (random() % 4 == 0) end.reason = FinishReason::cancelled, end.usage = {};  // a stream that broke off
    if (random() % 8 == 0) end.reason = FinishReason::error, end.model = "another";
    if (end.reason != FinishReason::cancelled && random() % 2 == 0)
      end.ledger.attempts.push_back({"fickle", "m", end.usage, {}});
    sink->on_finish(std::move(end));
    return {};
  }
  Progress step() override { return Progress::idle; }

 private:
  std::uint32_t seed_;
  std::atomic<std::uint32_t> number_{0};
};

}  // namespace

TEST_CASE("the most a request may cost is set aside while it runs, and what it did cost is booked") {
  CannedEndpoint inner("m", {{"a", "b"}, 1, FinishReason::stop, 3});
  Budget budget({.limits = {{.usd = 20}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  Stream stream = endpoint.submit(ask());
  CHECK(reserved(budget) == Approx(4 + 5));  // four bytes of prompt are at most four tokens
  CHECK(stream.wait().text == "ab");
  CHECK(reserved(budget) == 0);
  CHECK(spent(budget) == Approx(3 + 2));
}

TEST_CASE("what does not fit is refused before it starts, and the next smaller request may still go") {
  CannedEndpoint inner("m", {{"a"}, 1, FinishReason::stop, 4});
  Budget budget({.limits = {{.usd = 8}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  const Finish refused = endpoint.run(ask()).finish;
  CHECK(refused.reason == FinishReason::refused);
  CHECK(refused.error->code() == Errc::over_budget);
  CHECK(inner.requests.empty());
  CHECK(endpoint.run(ask(3)).finish.reason == FinishReason::stop);
  CHECK(spent(budget) == Approx(5));
}

TEST_CASE("an answer under a name that has no price is booked at the dearest price of those that may have answered") {
  struct Alias final : Endpoint {
    std::string_view name() const override { return "alias"; }
    std::vector<std::string> may_answer(std::string_view) const override { return {"m", "dear"}; }
    Call start(Request, std::shared_ptr<Sink> sink) override {
      Finish end;
      end.model = "router";
      end.usage = {.input = 1, .output = 2};
      end.ledger.attempts.push_back({"alias", end.model, end.usage, {}});
      sink->on_finish(std::move(end));
      return {};
    }
    Progress step() override { return Progress::idle; }
  } inner;
  BudgetedOptions options = dollar_a_token();
  options.prices = options.prices.with("dear", {.input = 2e6, .output = 3e6});
  options.model.clear();
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(inner, budget, options);
  endpoint.run(ask());
  CHECK(spent(budget) == Approx(1 * 2 + 2 * 3));
  CHECK(reserved(budget) == 0);
}

TEST_CASE("a cancelled stream pays for the tokens that were counted") {
  Remote remote;
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(remote, budget, dollar_a_token());
  Stream stream = endpoint.submit(ask(50));
  for (int i = 0; i < 7; ++i) static_cast<void>(stream.next());
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  CHECK(reserved(budget) == 0);
  CHECK(spent(budget) == Approx(4 + 7));  // the prompt by its estimate, since nobody told its length
}

TEST_CASE("a prompt's true length replaces the estimate") {
  Remote remote;
  remote.prompt = {1, 2};
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(remote, budget, dollar_a_token());
  Stream stream = endpoint.submit(ask(50));
  CHECK(reserved(budget) == Approx(2 + 50));
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  CHECK(spent(budget) == 0);  // nothing was answered and nothing reported
}

TEST_CASE("a prompt that turns out too long for the budget is given up") {
  Remote remote;
  remote.prompt.assign(200, 1);
  Budget budget({.limits = {{.usd = 100}}});
  BudgetedOptions options = dollar_a_token();
  options.tokens_per_byte = 0.5;
  Budgeted endpoint(remote, budget, options);
  const Finish end = endpoint.run(ask(50)).finish;
  CHECK(end.reason == FinishReason::refused);
  CHECK(end.error->code() == Errc::over_budget);
  CHECK(reserved(budget) == 0);
}

TEST_CASE("a request without any limit of its own, or without a price, is refused under the default rules") {
  CannedEndpoint inner("m", {{"a"}, 1});
  Budget budget({.limits = {{.usd = 8}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  CHECK(mentions(*endpoint.run(ask(0)).finish.error, "max_tokens"));
  Request stranger = ask();
  stranger.model = "stranger";
  CHECK(mentions(*endpoint.run(stranger).finish.error, "stranger"));
  CHECK(inner.requests.empty());
  CHECK(error_of([&] { Budgeted b(inner, budget, {.tokens_per_byte = 0}); }).code() == Errc::invalid_argument);
}

TEST_CASE("a refusal by the endpoint costs nothing") {
  CannedEndpoint inner("m", {{}, 1, FinishReason::refused});
  Budget budget({.limits = {{.usd = 20}}});
  Budgeted endpoint(inner, budget, dollar_a_token());
  CHECK(endpoint.run(ask()).finish.reason == FinishReason::refused);
  CHECK(spent(budget) == 0);
  CHECK(reserved(budget) == 0);
}

namespace {

/// Prices that change with the hour, the day and the date, drawn at random.
PriceBook changing_prices(std::mt19937& random) {
  const auto dollars = [&] { return std::to_string(1 + random() % 9); };
  const auto hour = [&] { return std::string(random() % 2 == 0 ? "0" : "1") + std::to_string(random() % 10) + ":00"; };
  std::string prices = R"({"input": )" + dollars() + R"(, "output": )" + dollars() + "}";
  for (std::uint32_t i = 0, n = 1 + random() % 4; i < n; ++i) {
    std::string when;
    if (random() % 2 == 0) when += R"("hours": [")" + hour() + R"(", "2)" + std::to_string(random() % 4) + R"(:30"], )";
    if (random() % 3 == 0) when += R"("days": ["sun", "wed"], )";
    if (random() % 3 == 0) when += R"("since": "2026-12-0)" + std::to_string(1 + random() % 9) + R"(", )";
    prices += ", {" + when + R"("input": )" + dollars() + R"(, "cached_read": )" + dollars() + R"(, "cache_write": )" +
              dollars() + R"(, "output": )" + dollars() + R"(, "reasoning": )" + dollars() + "}";
  }
  return PriceBook::parse(R"({"format": "frugal-prices-1", "models": [{"id": "m", "prices": [)" + prices + "]}]}");
}

}  // namespace

// A rate may rise while an answer runs; what was set aside covers every price until the deadline, or whenever.
TEST_CASE("a bill at any later price is covered by what was set aside") {
  CHECK(rc::check("never over", [](std::uint32_t seed) {
    std::mt19937 random(seed);
    std::chrono::sys_seconds now =
        std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + std::chrono::minutes(random() % 20000);
    CannedAnswer answer{std::vector<std::string>(1 + random() % 5, "x"), 1, FinishReason::stop, 1 + random() % 4};
    CannedEndpoint inner("m", answer);
    Budget budget({.limits = {{.usd = 1}}});
    Budgeted endpoint(inner, budget,
                      {.prices = changing_prices(random), .tokens_per_message = 0, .now = [&] { return now; }});
    Request request = ask();
    request.model = "m";
    const bool dated = random() % 2 == 0;
    const auto left = std::chrono::minutes(random() % 3000);
    if (dated) request.deadline = steady_clock().now() + left;
    Stream stream = endpoint.submit(request);
    const double set_aside = reserved(budget);
    RC_ASSERT(set_aside > 0);
    now += std::chrono::minutes(dated ? random() % (static_cast<std::uint32_t>(left.count()) + 1) : random() % 20000);
    RC_ASSERT(stream.wait().finish.reason == FinishReason::stop);
    RC_ASSERT(spent(budget) > 0);
    RC_ASSERT(spent(budget) <= set_aside);
    RC_ASSERT(budget.state()[0].overdraft == 0.0);
  }));
}

TEST_CASE("a prompt that is written to a cache for an hour is reserved for and booked at that price") {
  CannedEndpoint inner("m", {{"a"}, 1, FinishReason::stop, 4});
  inner.usage = [](Usage& u) { u.cache_write = u.cache_write_1h = u.input; };
  Budget budget({.limits = {{.usd = 100}}});
  BudgetedOptions options = dollar_a_token();
  options.prices = PriceBook().with("m", {.input = 1e6, .cache_write = 1.25e6, .cache_write_1h = 2e6, .output = 1e6});
  Budgeted endpoint(inner, budget, options);
  Stream stream = endpoint.submit(ask());
  CHECK(reserved(budget) == Approx(2 * 4 + 5));
  static_cast<void>(stream.wait());
  CHECK(spent(budget) == Approx(2 * 4 + 1));
  CHECK(budget.state()[0].overdraft == 0);
}

TEST_CASE("a budget's prices hold at the injected clock's wall time") {
  const PriceBook prices = PriceBook::parse(R"({"format": "frugal-prices-1", "models": [{"id": "m", "prices": [
    {"input": 1000000, "output": 1000000}, {"since": "2030-01-01", "input": 3000000, "output": 3000000}]}]})");
  ManualClock clock;
  CannedEndpoint inner("m", {{"a", "b"}, 1, FinishReason::stop, 3});
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(inner, budget, {.prices = prices, .model = "m", .tokens_per_message = 0, .clock = &clock});
  Request request = ask();
  request.deadline = clock.now() + std::chrono::minutes(1);
  clock.set_wall(std::chrono::sys_days(std::chrono::year(2029) / 6 / 1));
  Stream before = endpoint.submit(request);
  CHECK(reserved(budget) == Approx(4 + 5));
  static_cast<void>(before.wait());
  clock.set_wall(std::chrono::sys_days(std::chrono::year(2030) / 6 / 1));
  Stream after = endpoint.submit(request);
  CHECK(reserved(budget) == Approx(3 * (4 + 5)));
  static_cast<void>(after.wait());
  CHECK(spent(budget) == Approx((3 + 2) + 3 * (3 + 2)));
}

TEST_CASE("a price that rises before the end is booked at its height") {
  const PriceBook prices = PriceBook::parse(R"({"format": "frugal-prices-1", "models": [{"id": "m", "prices": [
    {"input": 1000000, "output": 1000000}, {"hours": ["12:00", "13:00"], "input": 2000000, "output": 2000000}]}]})");
  std::chrono::sys_seconds now = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + std::chrono::hours(11);
  CannedEndpoint inner("m", {{"a", "b"}, 1, FinishReason::stop, 3});
  Budget budget({.limits = {{.usd = 100}}});
  Budgeted endpoint(inner, budget,
                    {.prices = prices, .model = "m", .tokens_per_message = 0, .now = [&] { return now; }});
  Request request = ask();
  request.deadline = steady_clock().now() + std::chrono::minutes(5);
  Stream early = endpoint.submit(request);
  CHECK(reserved(budget) == Approx(4 + 5));  // over before noon
  static_cast<void>(early.wait());
  CHECK(spent(budget) == Approx(3 + 2));
  request.deadline = steady_clock().now() + std::chrono::hours(2);
  Stream late = endpoint.submit(request);
  CHECK(reserved(budget) == Approx(2 * (4 + 5)));
  now += std::chrono::hours(3);  // at 14:00 it is cheap again, but it ran through the dear hour
  static_cast<void>(late.wait());
  CHECK(spent(budget) == Approx(5 + 2 * (3 + 2)));
  CHECK(budget.state()[0].overdraft == 0);
}

// At no moment may the dollars spent and set aside exceed a cap, whatever threads ask and however answers end.
TEST_CASE("no interleaving of budgeted requests exceeds a cap") {
  CHECK(rc::check("never over", [](std::uint32_t seed) {
    Fickle inner(seed);
    Budget budget({.limits = {{.usd = 600}, {.tenant = "0", .usd = 200}, {.tenant = "1", .type = "0", .usd = 90}}});
    Budgeted endpoint(inner, budget, dollar_a_token());
    const auto work = [&](std::uint32_t thread) {
      std::mt19937 random(seed ^ (thread * 977));
      for (int i = 0; i < 60; ++i) {
        Request r = ask(static_cast<std::uint32_t>(1 + random() % 12));
        r.tenant = std::to_string(random() % 3), r.type = std::to_string(random() % 2);
        endpoint.run(std::move(r));
      }
    };
    RC_ASSERT(never_over(budget, 1e-9, work));
    for (const LimitState& s : budget.state()) RC_ASSERT(s.reserved == 0.0);
    RC_ASSERT(budget.state()[0].spent > 300);  // the cap was within reach
    RC_ASSERT(budget.state()[0].refused + budget.state()[1].refused + budget.state()[2].refused > 0);
  }));
}
