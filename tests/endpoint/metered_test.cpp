#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/meter/prefix_hash.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <optional>
#include <vector>

#include "endpoint/canned_endpoint.hpp"
#include "support/manual_clock.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;
using Catch::Approx;

namespace {

/// An endpoint whose answer the test writes by hand.
struct HandEndpoint final : Endpoint {
  std::string_view name() const override { return "hand"; }
  Call start(Request, std::shared_ptr<Sink> s) override {
    sink = std::move(s);
    return Call([this] { cancelled = true; });
  }
  Progress step() override { return Progress::idle; }
  void say(std::vector<Token> tokens, std::string text = "x") {
    sink->on_delta({std::move(text), std::move(tokens), {}});
  }
  void end(Usage usage, FinishReason reason = FinishReason::stop) {
    Finish finish;
    finish.reason = reason, finish.model = "m", finish.usage = usage, finish.timing.queue = 3ms;
    TokenLedger tokens;
    tokens.prompt_computed = usage.input - usage.cached_read, tokens.prompt_cached = usage.cached_read;
    tokens.decoded = usage.output;
    finish.ledger.attempts.push_back({"hand", "m", usage, tokens});
    sink->on_finish(std::move(finish));
  }
  std::shared_ptr<Sink> sink;
  bool cancelled = false;
};

struct Ended {
  std::optional<Finish> finish;
  std::string text;
};

struct Bench {
  explicit Bench(bool text = false)
      : meter({.prices = PriceBook().with("m", {.input = 1, .output = 1}),
               .text = text,
               .trace = [this](const Measured& m) { traced.push_back(m); },
               .clock = &clock}) {}
  void start(Request request) {
    metered.submit(
        std::move(request), [this](Delta d) { ended.text += d.text; },
        [this](Finish f) { ended.finish = std::move(f); });
  }
  ManualClock clock;
  std::vector<Measured> traced;
  Meter meter;
  HandEndpoint hand;
  Metered metered{hand, meter};
  Ended ended;
};

Request ask() { return {.prompt = RawPrompt{"why?"}, .max_tokens = 9, .type = "t", .tenant = "acme", .id = "r1"}; }

}  // namespace

TEST_CASE("times are those that the caller saw, and gaps are by token, not by piece") {
  Bench b;
  b.start(ask());
  CHECK(b.meter.total().in_flight == 1);
  b.clock.advance(100ms);
  b.hand.say({1});
  b.clock.advance(30ms);
  b.hand.say({2, 3, 4});  // three tokens in one piece: three gaps of 10 ms
  b.clock.advance(10ms);
  b.hand.say({}, "");  // nothing was seen
  b.clock.advance(5ms);
  b.hand.end({.input = 20, .cached_read = 16, .output = 4});
  REQUIRE(b.traced.size() == 1);
  const TraceRecord& r = b.traced[0].record;
  CHECK(*r.ttft_ms == Approx(100));
  CHECK(*r.e2e_ms == Approx(145));
  CHECK(*r.queue_ms == Approx(3));
  const MeterStats s = b.meter.total().total();
  CHECK(s.gap.count() == 3);
  CHECK(s.gap.max() == Approx(0.010));
  CHECK(s.tpot.max() == Approx(0.045 / 3));
  CHECK(b.meter.total().in_flight == 0);
  CHECK(b.ended.text == "xx");
  CHECK(b.ended.finish->usage.output == 4);
}

TEST_CASE("a record says whose request it was and what it used, without a word of it") {
  Bench b;
  b.start(ask());
  std::vector<Token> prompt(35, 7);
  b.hand.sink->on_prompt(prompt);
  b.hand.say({1, 2});
  b.hand.end({.input = 35, .cached_read = 16, .output = 2});
  const Measured& m = b.traced.at(0);
  CHECK(m.record.id == "r1");
  CHECK(m.record.type == "t");
  CHECK(m.record.tenant == "acme");
  CHECK(m.record.model == "m");
  CHECK(m.record.endpoint == "hand");
  CHECK(m.record.prompt_tokens == 35);
  CHECK(m.record.cached_tokens == 16);
  CHECK(m.record.max_tokens == 9);
  CHECK(m.record.finish == FinishReason::stop);
  CHECK(m.record.prefix_blocks == prefix_blocks(prompt, "acme"));
  CHECK(m.record.prompt_hash == question_hash(ask(), prompt));
  CHECK(*m.record.timestamp == Approx(1750000000.25).epsilon(1e-12));  // the injected clock's
  CHECK(m.record.attempts.at(0).tokens->prompt_cached == 16);
  CHECK(m.text.prompt.empty());
  CHECK(m.text.answer.empty());
}

TEST_CASE("equal answers have equal hashes however they were cut") {
  std::vector<std::optional<std::uint64_t>> hashes;
  for (const bool cut : {false, true}) {
    Bench b;
    b.start(ask());
    if (cut)
      b.hand.say({1}), b.hand.say({2});
    else
      b.hand.say({1, 2});
    b.hand.end({.input = 1, .output = 2});
    hashes.push_back(b.traced.at(0).record.answer_hash);
  }
  REQUIRE(hashes[0]);
  CHECK(hashes[0] == hashes[1]);
}

TEST_CASE("words are kept where they are asked for") {
  Bench b(true);
  b.start(ask());
  b.hand.say({1}, "be");
  b.hand.say({2}, "cause");
  b.hand.end({.input = 1, .output = 2});
  CHECK(b.traced.at(0).text.prompt == "why?");
  CHECK(b.traced.at(0).text.answer == "because");
}

TEST_CASE("an answer without a token has no first one, and is recorded all the same") {
  Bench b;
  b.start(ask());
  b.clock.advance(7ms);
  b.hand.end({}, FinishReason::refused);
  const TraceRecord& r = b.traced.at(0).record;
  CHECK_FALSE(r.ttft_ms);
  CHECK_FALSE(r.answer_hash);
  CHECK(*r.e2e_ms == Approx(7));
  CHECK(b.meter.total().total().by_finish[static_cast<std::size_t>(FinishReason::refused)] == 1);
  CHECK(b.meter.total().total().ttft.count() == 0);
}

TEST_CASE("a cascade is measured as one request, its tiers as attempts") {
  CannedEndpoint small("small", {{"may", "be"}, 0.1F}), big("big", {{"cer", "tain", "ly"}, 0.9F});
  const PriceBook book = PriceBook().with("small", {.input = 1, .output = 1}).with("big", {.input = 10, .output = 10});
  std::vector<Measured> traced;
  Meter meter({.prices = book, .trace = [&](const Measured& m) { traced.push_back(m); }});
  Metered first(small, meter, {.is_tier = true}), second(big, meter, {.is_tier = true});
  Cascade cascade({.name = "two", .tiers = {&first, &second}, .policy = margin_threshold(0.5)});
  Metered all(cascade, meter);
  const Answer answer = all.run(ask());
  CHECK(answer.text == "certainly");
  REQUIRE(traced.size() == 1);
  const TraceRecord& r = traced[0].record;
  CHECK(r.prompt_tokens == 10);  // of the accepted try
  CHECK(r.output_tokens == 3);
  CHECK(r.pieces == 1);  // a cascade shows its answer whole
  CHECK(came_whole(r));
  REQUIRE(r.attempts.size() == 2);
  CHECK_FALSE(r.attempts[0].accepted);
  CHECK(r.attempts[0].score);
  const MeterSnapshot s = meter.total();
  REQUIRE(s.requests.size() == 1);
  CHECK(s.requests[0].stats.rejected == 1);
  CHECK(s.requests[0].stats.cost.total() == Approx((12 + 130) * 1e-6));
  REQUIRE(s.attempts.size() == 2);
  for (const MeterRow& row : s.attempts) {
    CHECK(row.stats.requests == 1);
    CHECK(row.stats.e2e.count() == 1);  // matched to its tier by model and endpoint
  }
}

TEST_CASE("a trace record names the request as the caller, the endpoint and the bill do") {
  std::vector<TraceRecord> records;
  Meter meter({.trace = [&](const Measured& m) { records.push_back(m.record); }});
  struct Remote final : Endpoint {
    std::string_view name() const override { return "remote"; }
    Call start(Request, std::shared_ptr<Sink> sink) override {
      sink->on_delta({"a", {1}, {}});
      sink->on_delta({"b", {2}, {}});
      Finish end;
      end.model = "claude-sonnet-4-5";
      end.request = RequestId{41};
      end.usage = {.input = 12307, .cache_write = 12304, .output = 550, .reasoning = 500};
      end.ledger.attempts.push_back({.endpoint = "remote", .model = end.model, .usage = end.usage});
      sink->on_finish(std::move(end));
      return {};
    }
    Progress step() override { return Progress::idle; }
  } remote;
  Metered metered(remote, meter, {.service_tier = "priority", .batch = true});
  Request request{.prompt = RawPrompt{"x"}};
  request.id = "mine", request.labels = {{"team", "a"}};
  metered.run(std::move(request));
  REQUIRE(records.size() == 1);
  const TraceRecord& r = records.front();
  CHECK(r.id == "mine");
  CHECK(r.request_id == 41);
  CHECK(r.labels.size() == 1);
  CHECK(r.pieces == 2);
  CHECK(r.cache_write_tokens == 12304);
  CHECK(r.reasoning_tokens == 500);
  CHECK(r.service_tier == "priority");
  CHECK(r.batch);
  CHECK_FALSE(r.attempts.at(0).tokens);
}
