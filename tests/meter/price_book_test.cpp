#include <frugal/meter/price_book.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <fstream>
#include <iterator>
#include <string>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Approx;
using namespace std::chrono;

namespace {

PriceQuery on(year_month_day day, minutes time = {}) { return {.at = sys_days(day) + time}; }

PriceBook shop(const std::string& prices, const std::string& more = "") {
  return PriceBook::parse(R"({"models":[{"id":"shop/m","prices":)" + prices + more + "}]}");
}

std::string complaint(const std::string& json) {
  const Error error = error_of([&] { PriceBook::parse(json); });
  CHECK(error.code() == Errc::bad_file);
  return error.message();
}

bool says(const std::string& message, std::string_view what) { return message.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("a bill is the sum of its parts, and each token is paid once") {
  const Usage usage{.input = 1000, .cached_read = 300, .cache_write = 200, .output = 50, .reasoning = 20};
  const Rates rates{.input = 2, .cached_read = 0.2, .cache_write = 2.5, .output = 10, .reasoning = 12, .call = 0.01};
  const Cost cost = cost_of(usage, rates).value();
  CHECK(cost.input == Approx(500 * 2e-6));
  CHECK(cost.cached_read == Approx(300 * 0.2e-6));
  CHECK(cost.cache_write == Approx(200 * 2.5e-6));
  CHECK(cost.output == Approx(30 * 10e-6));
  CHECK(cost.reasoning == Approx(20 * 12e-6));
  CHECK(cost.call == 0.01);
  CHECK(cost.total() == Approx(0.001 + 0.00006 + 0.0005 + 0.0003 + 0.00024 + 0.01));
}

TEST_CASE("a component without a price of its own costs what it is part of") {
  const Usage usage{.input = 100, .cached_read = 50, .cache_write = 20, .output = 10, .reasoning = 10};
  CHECK(cost_of(usage, {.input = 1, .output = 5}).value().total() == Approx(100e-6 + 50e-6));
}

TEST_CASE("a cache write that lives an hour has its own price") {
  const Usage usage{.input = 100, .cache_write = 100, .cache_write_1h = 40};
  const Rates rates{.input = 1, .cache_write = 1.25, .cache_write_1h = 2};
  CHECK(cost_of(usage, rates).value().cache_write == Approx(60 * 1.25e-6 + 40 * 2e-6));
  CHECK(cost_of(usage, {.input = 1, .cache_write = 1.25}).value().cache_write == Approx(100 * 1.25e-6));
}

TEST_CASE("storage is paid by tokens and hours") {
  CHECK(cost_of({}, {.storage = 0.5}, {.storage_token_hours = 2e6}).value().storage == Approx(1.0));
  CHECK(cost_of({}, {}, {.storage_token_hours = 1}).error().code() == Errc::unavailable);
}

TEST_CASE("what was used and has no price is unknown, what was not used costs nothing") {
  CHECK(cost_of({.input = 5}, {.input = 1}).has_value());
  const auto unknown = cost_of({.input = 5, .output = 1}, {.input = 1});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code() == Errc::unavailable);
  CHECK(mentions(unknown.error(), "output tokens"));
}

TEST_CASE("a usage that contradicts itself is refused") {
  const Rates rates{.input = 1, .output = 1};
  CHECK(cost_of({.input = 10, .cached_read = 6, .cache_write = 5}, rates).error().code() == Errc::invalid_argument);
  CHECK(cost_of({.input = 10, .cached_read = ~std::uint64_t{0}}, rates).error().code() == Errc::invalid_argument);
  CHECK(cost_of({.output = 1, .reasoning = 2}, rates).error().code() == Errc::invalid_argument);
  CHECK(cost_of({.input = 2, .cache_write = 1, .cache_write_1h = 2}, rates).error().code() == Errc::invalid_argument);
}

TEST_CASE("the last dated price that holds is in force") {
  const PriceBook book = shop(R"([{"input":1},{"since":"2026-03-01","input":2},{"since":"2026-06-01","input":3}])");
  const auto price = [&](year_month_day day) { return *book.rates("shop/m", 1, on(day)).value().input; };
  CHECK(price(2026y / 2 / 28) == 1);
  CHECK(price(2026y / 3 / 1) == 2);
  CHECK(price(2026y / 5 / 31) == 2);
  CHECK(price(2030y / 1 / 1) == 3);
}

TEST_CASE("before its first date a model has no price") {
  const auto early = shop(R"({"since":"2026-03-01","input":2})").rates("shop/m", 1, on(2026y / 2 / 28));
  REQUIRE_FALSE(early);
  CHECK(mentions(early.error(), "2026-02-28"));
}

TEST_CASE("a price may hold at some hours and on some days, also across midnight") {
  const PriceBook book =
      shop(R"([{"input":2},{"hours":["22:00","06:30"],"input":1},{"days":["sat","sun"],"input":0.5}])");
  const auto at = [&](unsigned day, minutes time) {
    return *book.rates("shop/m", 1, on(2026y / 11 / std::chrono::day(day), time)).value().input;
  };
  CHECK(at(24, 12h) == 2);  // a Tuesday
  CHECK(at(24, 22h) == 1);
  CHECK(at(24, 6h + 29min) == 1);
  CHECK(at(24, 6h + 30min) == 2);
  CHECK(at(28, 12h) == 0.5);
}

TEST_CASE("until a moment, each rate is the dearest that holds by then") {
  const PriceBook book = PriceBook::parse(R"({"format": "frugal-prices-1", "models": [{"id": "a/m", "prices": [
    {"input": 2, "output": 8, "cached_read": 0.2},
    {"hours": ["22:00", "06:00"], "input": 1, "output": 9},
    {"since": "2027-01-01", "input": 5, "output": 3}]}]})");
  const auto rates = [&](const char* from, std::optional<const char*> until) {
    const auto at = [](const std::string& text) {
      const auto part = [&](std::size_t i, std::size_t n) { return std::stoi(text.substr(i, n)); };
      const std::chrono::year_month_day day{std::chrono::year(part(0, 4)),
                                            std::chrono::month(static_cast<unsigned>(part(5, 2))),
                                            std::chrono::day(static_cast<unsigned>(part(8, 2)))};
      return std::chrono::sys_seconds(std::chrono::sys_days(day)) + std::chrono::hours(part(11, 2));
    };
    PriceQuery query{.at = at(from)};
    query.until = until ? at(*until) : std::chrono::sys_seconds::max();
    return book.rates("m", 10, query).value();
  };
  const Rates noon = rates("2026-12-01 12", "2026-12-01 13");
  CHECK((*noon.input == 2 && *noon.output == 8 && *noon.cached_read == 0.2));
  const Rates evening = rates("2026-12-01 12", "2026-12-01 22");
  CHECK(
      (*evening.input == 2 && *evening.output == 9 && *evening.cached_read == 1));  // by night it costs what input does
  const Rates night = rates("2026-12-01 23", "2026-12-02 05");
  CHECK((*night.input == 1 && *night.output == 9));
  const Rates whenever = rates("2026-12-01 12", std::nullopt);
  CHECK((*whenever.input == 5 && *whenever.output == 9));
  CHECK(*rates("2026-12-01 12", "2026-11-01 00").input == 2);  // an end before the beginning is the beginning
  CHECK_FALSE(PriceBook::parse(R"({"format": "frugal-prices-1", "models": [{"id": "n", "prices": [
    {"hours": ["08:00", "20:00"], "input": 2, "output": 8}]}]})")
                  .rates("n", 1,
                         {.at = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + std::chrono::hours(9),
                          .until = std::chrono::sys_seconds::max()}));  // by night nobody knows
}

TEST_CASE("a long prompt pays the rate of its length for every token") {
  const PriceBook book = shop(R"({"input":{"base":1,"above":{"200":2,"1000":4}},"output":5})");
  CHECK(book.cost("shop/m", {.input = 200}).value().input == Approx(200e-6));
  CHECK(book.cost("shop/m", {.input = 201}).value().input == Approx(402e-6));
  CHECK(book.cost("shop/m", {.input = 1001}).value().input == Approx(4004e-6));
}

TEST_CASE("a service tier and a batch replace the rates they name and leave the others") {
  const PriceBook book =
      shop(R"({"input":2,"cached_read":0.5,"output":8})",
           R"(,"variants":[{"tier":"flex","input":1,"output":4},{"batch":true,"since":"2026-10-14","input":1.5}])");
  const auto query = [](std::string_view tier, bool batch, year_month_day day = 2026y / 11 / 1) {
    return PriceQuery{.at = sys_days(day), .service_tier = tier, .batch = batch};
  };
  CHECK(*book.rates("shop/m", 1, query("flex", false)).value().input == 1);
  CHECK(*book.rates("shop/m", 1, query("flex", false)).value().cached_read == 0.5);
  CHECK(*book.rates("shop/m", 1, query("", true)).value().input == 1.5);
  CHECK(*book.rates("shop/m", 1, query("default", false)).value().input == 2);
  CHECK(mentions(book.rates("shop/m", 1, query("turbo", false)).error(), "turbo"));
  CHECK_FALSE(book.rates("shop/m", 1, query("", true, 2026y / 10 / 13)));  // not known for that day
}

TEST_CASE("a model is found by provider and name, by a bare name, by another spelling of its date, and without it") {
  const PriceBook book = PriceBook::parse(R"({"models":[
      {"id":"maker/big","names":["big-one"],"prices":{"input":1}},
      {"id":"maker/big-2026-03-14","prices":{"input":2}},
      {"id":"resale/big","bare":false,"prices":{"input":3}},
      {"id":"resale/maker/big","bare":false,"prices":{"input":4}}]})");
  const auto price = [&](std::string_view name) { return *book.rates(name, 1).value().input; };
  CHECK(price("maker/big") == 1);
  CHECK(price("BIG") == 1);
  CHECK(price("maker/big-one") == 1);
  CHECK(price("big-latest") == 1);
  CHECK(price("big-20260314") == 2);
  CHECK(price("big-2026-03-15") == 1);
  CHECK(price("resale/big") == 3);
  CHECK(price("resale/maker/big") == 4);
  CHECK_FALSE(book.contains("bigger"));  // never its neighbour's price
  CHECK_FALSE(book.contains("resale/small"));
  CHECK(mentions(book.rates("bigger", 1).error(), "bigger"));
}

TEST_CASE("a layer on top replaces whole models and leaves the others") {
  const PriceBook base = PriceBook::parse(
      R"({"source":"list","date":"2026-01-02","models":[{"id":"a","prices":{"input":1,"output":2}},{"id":"b","prices":{"input":1}}]})");
  const PriceBook mine =
      base.with(PriceBook::parse(R"({"models":[{"id":"a","prices":{"input":7}}]})")).with("c", {.input = 9});
  CHECK(*mine.rates("a", 1).value().input == 7);
  CHECK_FALSE(mine.rates("a", 1).value().output);
  CHECK(*mine.rates("b", 1).value().input == 1);
  CHECK(*mine.rates("c", 1).value().input == 9);
  CHECK(*base.rates("a", 1).value().input == 1);
  CHECK(mine.models() == std::vector<std::string>{"a", "b", "c"});
  CHECK(mine.source() == "list");
  CHECK(mine.date() == "2026-01-02");
  CHECK(*PriceBook().with(mine).rates("b", 1).value().input == 1);
}

TEST_CASE("what is made of an unknown price is the caller's choice") {
  const PriceBook book = PriceBook::parse(
      R"({"models":[{"id":"x","prices":{"input":1,"output":30}},{"id":"y","prices":{"input":{"base":2,"above":{"9":4}},"output":3}}]})");
  const Usage usage{.input = 1'000'000, .output = 1'000'000};
  CHECK(price(book, {.unknown = UnknownPrice::fail}, "z", usage).error().code() == Errc::unavailable);
  const Priced warned = price(book, {.unknown = UnknownPrice::warn}, "z", usage).value();
  CHECK_FALSE(warned.cost);
  CHECK(says(warned.warning, "\"z\""));
  const Priced careful = price(book, {.unknown = UnknownPrice::conservative}, "z", usage).value();
  CHECK(careful.cost.value().total() == Approx(34));
  CHECK(careful.is_assumed);
  const PriceRules mine{.unknown = UnknownPrice::conservative, .assumed = Rates{.input = 5, .output = 6}};
  CHECK(price(book, mine, "z", usage).value().cost.value().total() == Approx(11));
  CHECK(price(book, mine, "x", usage).value().cost.value().total() == Approx(31));
  CHECK_FALSE(price(book, mine, "x", {.output = 1, .reasoning = 2}));  // a contradiction is an error under every rule
}

TEST_CASE("a machine's own price is its paid seconds by token, idle time included") {
  const MachineUse use{.usd_per_hour = 3.6,
                       .prefill_seconds = 10,
                       .decode_seconds = 100,
                       .prefill_tokens = 10'000,
                       .decode_tokens = 1'000,
                       .busy = 0.5};
  const Rates rates = self_hosted(use).value();
  CHECK(*rates.input == Approx(0.002 * 10 / 10'000 * 1e6));
  CHECK(*rates.output == Approx(0.002 * 100 / 1'000 * 1e6));
  CHECK(*rates.cached_read == 0);
  CHECK_FALSE(self_hosted({.usd_per_hour = 1}).value().output);  // nothing measured, nothing known
  CHECK_FALSE(self_hosted({.usd_per_hour = -1}));
  CHECK_FALSE(self_hosted({.busy = 0}));
}

TEST_CASE("a broken price file says where and what") {
  CHECK(says(complaint("{"), "JSON"));
  CHECK(says(complaint("{}"), "models"));
  CHECK(says(complaint(R"({"format":"frugal-prices-2","models":[]})"), "frugal-prices-2"));
  CHECK(says(complaint(R"({"models":[{}]})"), "models[0]"));
  CHECK(says(complaint(R"({"models":[{"id":"a"}]})"), "a: no \"prices\""));
  const auto of = [](const std::string& price) { return R"({"models":[{"id":"a","prices":)" + price + "}]}"; };
  CHECK(says(complaint(of("[]")), "a.prices: empty"));
  CHECK(says(complaint(of(R"({"input":-1})")), "a.prices[0].input"));
  CHECK(says(complaint(of(R"({"input":"1"})")), "a.prices[0].input"));
  CHECK(says(complaint(of(R"({"imput":1})")), "unknown field \"imput\""));
  CHECK(says(complaint(of(R"({"since":"2026-13-01","input":1})")), "2026-13-01"));
  CHECK(says(complaint(of(R"({"hours":["25:00","26:00"],"input":1})")), "25:00"));
  CHECK(says(complaint(of(R"({"days":["someday"],"input":1})")), "someday"));
  CHECK(says(complaint(of(R"({"input":{"base":1,"above":{"9":1,"8":2}}})")), "tiers rise"));
  CHECK(says(complaint(of(R"({"input":{"base":1,"above":{"many":1}}})")), "many"));
  CHECK(says(complaint(of(R"({"tier":"flex","input":1})")), "variants"));
  CHECK(says(complaint(R"({"models":[{"id":"a","prices":{"input":1},"variants":[{"input":1}]}]})"), "a.variants[0]"));
}

TEST_CASE("the file shown in docs/prices.md is one, and says what the page says") {
  std::ifstream page(FRUGAL_TEST_DATA "/../docs/prices.md");
  const std::string text(std::istreambuf_iterator<char>(page), {});
  const std::size_t begin = text.find("```json\n"), end = text.find("```", begin + 8);
  REQUIRE(begin != std::string::npos);
  const PriceBook book = PriceBook::parse(text.substr(begin + 8, end - begin - 8));
  const auto input = [&](std::uint64_t prompt, const PriceQuery& q) { return *book.rates("large", prompt, q)->input; };
  CHECK(input(1, on(2026y / 12 / 31)) == 3);
  CHECK(input(200'000, on(2027y / 1 / 4, 12h)) == 2);
  CHECK(input(200'001, on(2027y / 1 / 4, 12h)) == 4);
  CHECK(input(1, on(2027y / 1 / 2, 23h)) == 1);  // a Saturday night
  CHECK(input(1, {.at = sys_days(2026y / 12 / 31), .batch = true}) == 1.5);
}

TEST_CASE("the built-in table says where it comes from and knows current models") {
  const PriceBook& book = PriceBook::built_in();
  CHECK(book.source() == "genai-prices 0.2.3");
  CHECK(book.date() == "2026-11-24");
  CHECK(book.models().size() > 1000);
  const PriceQuery now = on(2026y / 11 / 24);
  CHECK(*book.rates("gpt-6-luna", 1000, now).value().input == 0.1);
  CHECK(*book.rates("gpt-6-luna-2026-08-01", 272'001, now).value().input == 0.2);
  CHECK(*book.rates("claude-sonnet-5-5", 1, now).value().cache_write_1h == 4);
  CHECK(*book.rates("deepseek/deepseek-v4-pro", 1, on(2026y / 11 / 24, 7h)).value().output == 3.96);
  CHECK_FALSE(book.contains("gpt-6"));  // a family is no model
}

TEST_CASE("Claude Sonnet 4 has the tiers that Anthropic publishes") {
  const PriceBook& book = PriceBook::built_in();
  for (const char* name : {"claude-sonnet-4-20250514", "anthropic/claude-sonnet-4-0", "claude-sonnet-4"}) {
    CAPTURE(name);
    const Rates small = book.rates(name, 200'000).value(), large = book.rates(name, 200'001).value();
    CHECK(*small.input == 3);
    CHECK(*small.output == 15);
    CHECK(*large.input == 6);
    CHECK(*large.output == 22.5);
    CHECK(*large.cached_read == Approx(0.6));
    CHECK(*large.cache_write == 7.5);
    CHECK(*large.cache_write_1h == 12);
  }
}
