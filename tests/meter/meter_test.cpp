#include <frugal/meter/meter.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support/error_of.hpp"
#include "support/manual_clock.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;
using Catch::Approx;

namespace {

struct Ask {
  std::string type = "chat", tenant = "acme", model = "small";
  double ttft_ms = 100, e2e_ms = 1100;
  std::uint64_t input = 100, cached = 0, output = 11;
  FinishReason finish = FinishReason::stop;
};

TokenLedger owned(const Usage& u) {
  TokenLedger t;
  t.prompt_computed = u.input - u.cached_read, t.prompt_cached = u.cached_read, t.decoded = u.output;
  return t;
}

Measured measured(const Ask& a) {
  Measured m;
  TraceRecord& r = m.record;
  r.type = a.type, r.tenant = a.tenant, r.model = a.model, r.endpoint = "here";
  r.prompt_tokens = a.input, r.output_tokens = a.output;
  r.ttft_ms = a.ttft_ms, r.e2e_ms = a.e2e_ms, r.queue_ms = 1, r.finish = a.finish;
  const Usage usage{.input = a.input, .cached_read = a.cached, .output = a.output};
  r.attempts.push_back({"here", a.model, usage, owned(usage), std::nullopt, true});
  return m;
}

void pass(Meter& meter, const Ask& a = {}) { meter.started(), meter.record(measured(a)); }

PriceBook book() {
  return PriceBook()
      .with("small", {.input = 1, .cached_read = 0.1, .output = 5})
      .with("big", {.input = 10, .output = 50});
}

}  // namespace

TEST_CASE("time per output token counts tokens, and one token has none") {
  Meter meter({.prices = book()});
  pass(meter, {.ttft_ms = 100, .e2e_ms = 1100, .output = 11});
  pass(meter, {.ttft_ms = 100, .e2e_ms = 100, .output = 1});
  const MeterStats all = meter.total().total();
  CHECK(all.requests == 2);
  CHECK(all.tpot.count() == 1);
  CHECK(*all.tpot.quantile(0.5) == Approx(0.1).epsilon(0.01));
  CHECK(*all.ttft.quantile(0.5) == Approx(0.1).epsilon(0.01));
  CHECK(all.e2e.count() == 2);
  CHECK(all.queue.count() == 2);
}

TEST_CASE("rows are told apart by the fields that are asked for, and add up to the same total") {
  Meter meter({.prices = book()});
  for (const char* type : {"chat", "chat", "mail"})
    for (const char* tenant : {"acme", "zeta"}) pass(meter, {.type = type, .tenant = tenant});
  CHECK(meter.total().requests.size() == 4);
  const MeterSnapshot types = meter.total({.tenant = false, .model = false, .endpoint = false});
  REQUIRE(types.requests.size() == 2);
  CHECK(types.requests[0].key == MeterKey{.type = "chat"});
  CHECK(types.requests[0].stats.requests == 4);
  CHECK(types.requests[1].stats.requests == 2);
  CHECK(types.total().requests == 6);
  CHECK(meter.total({false, false, false, false}).requests.size() == 1);
  CHECK(meter.total().total().usage.input == 600);
}

TEST_CASE("money goes to the components, and to the lever that saved or spent it") {
  Meter meter({.prices = book(), .reference_model = "big"});
  Measured m = measured({.input = 1'000'000, .cached = 400'000, .output = 100'000});
  TraceAttempt thrown_away = m.record.attempts[0];
  thrown_away.usage = {.input = 200'000, .output = 100'000};
  thrown_away.tokens = owned(thrown_away.usage);
  thrown_away.accepted = false;
  m.record.attempts.insert(m.record.attempts.begin(), thrown_away);
  meter.started(), meter.record(m);
  const MeterStats s = meter.total().total();
  CHECK(s.attempts == 2);
  CHECK(s.rejected == 1);
  CHECK(s.cost.input == Approx(0.6 + 0.2));
  CHECK(s.cost.cached_read == Approx(0.04));
  CHECK(s.cost.output == Approx(0.5 + 0.5));
  CHECK(s.levers.cache_saved == Approx(0.4 * (1 - 0.1)));
  CHECK(s.levers.cascade_spent == Approx(0.2 + 0.5));
  CHECK(s.levers.cascade_saved == Approx((10 + 5.0) - (0.6 + 0.04 + 0.5)));
  CHECK(s.tokens.decoded == 200'000);
  CHECK(s.unpriced == 0);
}

TEST_CASE("speculation's part of the bill follows its ledger, for better or worse") {
  const auto drafting = [](Duration saved) {
    Measured m = measured({.output = 11});
    DraftLedger& d = m.record.attempts.front().drafts;
    d.drafted = 8, d.verified = 8, d.accepted = 6, d.passes = 2;
    d.draft_time = 2ms, d.verify_time = 38ms, d.saved = saved;
    return m;
  };
  Meter meter({.prices = book()});
  for (const Duration saved : {Duration(80ms), Duration(-10ms)}) meter.started(), meter.record(drafting(saved));
  const MeterStats all = meter.total().total();
  CHECK(all.drafts.drafted == 16);
  CHECK(all.drafts.saved == 70ms);
  // 6 accepted and 2 drawn tokens at 5 dollars a million took 40 ms; plain passes would have taken 120 ms, or 30 ms
  CHECK(all.levers.speculation_saved == Approx(8 * 5e-6 * 2));
  CHECK(all.levers.speculation_spent == Approx(8 * 5e-6 * 0.25));
}

TEST_CASE("tries are counted by model and endpoint beside the requests they belong to") {
  Meter meter({.prices = book()});
  Measured m = measured({.model = "big"});
  TraceAttempt first = m.record.attempts[0];
  first.model = "small", first.endpoint = "tier", first.accepted = false;
  m.record.attempts.insert(m.record.attempts.begin(), first);
  meter.started(), meter.record(m);
  Measured tier = measured({.model = "small", .ttft_ms = 5});
  tier.is_attempt = true, tier.record.endpoint = "tier";
  meter.record(tier);
  const MeterSnapshot all = meter.total();
  CHECK(all.in_flight == 0);
  REQUIRE(all.requests.size() == 1);
  CHECK(all.requests[0].key.model == "big");
  REQUIRE(all.attempts.size() == 2);
  CHECK(all.attempts[1].key.model == "small");
  CHECK(all.attempts[1].stats.requests == 1);
  CHECK(all.attempts[1].stats.rejected == 1);
  CHECK(*all.attempts[1].stats.ttft.quantile(0.5) == Approx(0.005).epsilon(0.01));
  CHECK(all.attempts[0].stats.ttft.count() == 0);  // that tier is not metered itself
}

TEST_CASE("an unknown price is counted as unknown, said once, and never added as zero in silence") {
  std::vector<std::string> said;
  Meter meter({.prices = book(),
               .price_rules = {.unknown = UnknownPrice::fail},
               .log = [&](LogLevel, std::uint64_t, std::string_view line) { said.emplace_back(line); }});
  for (int i = 0; i < 3; ++i) pass(meter, {.model = "stranger"});
  pass(meter);
  const MeterStats s = meter.total().total();
  CHECK(s.unpriced == 3);
  CHECK(s.requests == 4);
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("stranger") != std::string::npos);

  Meter careful({.prices = book(), .price_rules = {.unknown = UnknownPrice::conservative}});
  pass(careful, {.model = "stranger", .input = 1'000'000, .output = 0});
  CHECK(careful.total().total().assumed_price == 1);
  CHECK(careful.total().total().cost.total() == Approx(10));
}

TEST_CASE("a request that used nothing costs nothing, whoever would have answered") {
  Meter meter({.prices = book()});
  pass(meter, {.model = "", .input = 0, .output = 0, .finish = FinishReason::refused});
  CHECK(meter.total().total().unpriced == 0);
  CHECK(meter.total().total().cost == Cost{});
}

TEST_CASE("goodput counts the answers that kept every promise of their type") {
  Meter meter(
      {.prices = book(), .slos = {{.ttft = 200ms, .tpot = 150ms}, {.type = "mail", .e2e = 1s}, {.type = "free"}}});
  pass(meter, {});                                               // good
  pass(meter, {.ttft_ms = 300});                                 // first token too late
  pass(meter, {.e2e_ms = 2000});                                 // too slow by the token
  pass(meter, {.e2e_ms = 2000, .output = 1});                    // one token has no time between tokens: good
  pass(meter, {.finish = FinishReason::error});                  // no answer
  pass(meter, {.finish = FinishReason::cancelled});              // no answer
  pass(meter, {.type = "mail"});                                 // its own promise: 1.1 s is too long
  pass(meter, {.type = "mail", .ttft_ms = 900, .e2e_ms = 999});  // and only that one: good
  pass(meter, {.type = "free", .ttft_ms = 1e6, .e2e_ms = 1e6});  // promised nothing: good
  const MeterStats s = meter.total().total();
  CHECK(s.promised == 9);
  CHECK(s.good == 4);
  CHECK(s.by_finish[static_cast<std::size_t>(FinishReason::error)] == 1);
  Meter none({.prices = book()});
  pass(none);
  CHECK(none.total().total().promised == 0);
}

TEST_CASE("a window forgets, the total does not") {
  ManualClock clock;
  Meter meter({.prices = book(), .window = 60s, .slices = 6, .clock = &clock});
  pass(meter, {.ttft_ms = 1});
  clock.advance(30s);
  pass(meter, {.ttft_ms = 50});
  CHECK(meter.recent().total().requests == 2);
  CHECK(meter.recent().seconds == Approx(30));
  clock.advance(30s);  // the first slice is exactly a window old
  CHECK(meter.recent().total().requests == 1);
  CHECK(meter.recent().seconds == Approx(50));
  CHECK(*meter.recent().total().ttft.quantile(0.5) == Approx(0.05).epsilon(0.01));
  clock.advance(10min);
  CHECK(meter.recent().requests.empty());
  CHECK(meter.total().total().requests == 2);
  pass(meter);
  CHECK(meter.recent().total().requests == 1);  // a used slice starts afresh
}

TEST_CASE("further keys than the limit are added up under one name") {
  Meter meter({.prices = book(), .most_series = 3});
  for (int i = 0; i < 10; ++i) pass(meter, {.tenant = "t" + std::to_string(i)});
  const MeterSnapshot all = meter.total();
  REQUIRE(all.requests.size() == 4);
  CHECK(all.requests[0].key.tenant == "(other)");
  CHECK(all.requests[0].stats.requests == 7);
  CHECK(all.total().requests == 10);
}

TEST_CASE("further types of one tenant are added up under one name, whatever others send") {
  Meter meter({.prices = book(), .most_types = 2});
  for (int i = 0; i < 10; ++i) pass(meter, {.type = "noise" + std::to_string(i), .tenant = "loud"});
  for (const char* const type : {"a", "b", "", "a"}) pass(meter, {.type = type, .tenant = "calm"});
  pass(meter, {.type = "", .tenant = "loud"});
  const auto count = [&](const std::string& tenant, const std::string& type) {
    std::uint64_t found = 0;
    for (const auto& [key, stats] : meter.total({.model = false, .endpoint = false}).requests)
      if (key.tenant == tenant && key.type == type) found += stats.requests;
    return found;
  };
  CHECK(count("loud", "noise0") == 1);
  CHECK(count("loud", "noise1") == 1);
  CHECK(count("loud", "(other)") == 8);
  CHECK(count("loud", "") == 1);
  CHECK(count("calm", "a") == 2);
  CHECK(count("calm", "b") == 1);
  CHECK(count("calm", "(other)") == 0);
  CHECK(meter.total().total().requests == 15);
}

TEST_CASE("bad options are refused by name") {
  CHECK(mentions(error_of([] { Meter m({.window = 0s}); }), "window"));
  CHECK(mentions(error_of([] { Meter m({.slices = 0}); }), "slices"));
  CHECK(mentions(error_of([] { Meter m({.alpha = 1.5}); }), "alpha"));
  CHECK(mentions(error_of([] { Meter m({.most_series = 0}); }), "most_series"));
  CHECK(mentions(error_of([] { Meter m({.most_types = 0}); }), "most_types"));
  CHECK(mentions(error_of([] { Meter m({.slos = {{.ttft = -1s}}}); }), "slos"));
}

TEST_CASE("many recorders and readers at once lose nothing, and the trace hears of each request once") {
  for (const bool sum_on_record : {true, false}) {
    std::uint64_t traced = 0;  // no atomic: the trace is never called by two at once
    Meter meter({.prices = book(), .sum_on_record = sum_on_record, .trace = [&](const Measured&) { ++traced; }});
    constexpr std::uint64_t threads = 4, each = 2000;
    std::atomic<bool> stop{false}, too_many{false};
    std::thread reader([&] {
      while (!stop.load())
        if (meter.recent().total().requests > threads * each) too_many = true;
    });
    std::vector<std::thread> recorders;
    for (std::uint64_t t = 0; t < threads; ++t)
      recorders.emplace_back([&meter, t] {
        for (std::uint64_t i = 0; i < each; ++i) pass(meter, {.tenant = std::to_string((t + i) % 5)});
      });
    for (std::thread& r : recorders) r.join();
    stop = true;
    reader.join();
    meter.flush();
    CHECK_FALSE(too_many);
    CHECK(traced == threads * each);
    const MeterSnapshot all = meter.total();
    CHECK(all.total().requests == threads * each);
    CHECK(all.total().usage.input == 100 * threads * each);
    CHECK(all.in_flight == 0);
  }
}
