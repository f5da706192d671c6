#include <frugal/endpoint/metered.hpp>
#include <frugal/engine/step_meter.hpp>
#include <frugal/meter/prefix_hash.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <stdexcept>
#include <vector>

#include "engine/speculation_fixture.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Approx;

TEST_CASE("a metered engine tells the prompt's blocks, the cache's share and the tokens' owners") {
  EngineOptions options = options_with(scripted());
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  std::vector<Measured> traced;
  Meter meter({.trace = [&](const Measured& m) { traced.push_back(m); }});
  Metered metered(engine, meter);
  const std::vector<Token> prompt = prompt_of(100);
  Request request = request_for(prompt, 12);
  request.tenant = "acme";
  const Answer cold = metered.run(request), warm = metered.run(request);
  CHECK(cold.tokens == warm.tokens);
  REQUIRE(traced.size() == 2);
  for (const Measured& m : traced) {
    CHECK(m.record.prefix_blocks == prefix_blocks(prompt, "acme"));
    CHECK(m.record.prompt_tokens == 100);
    CHECK(m.record.output_tokens == 12);
    CHECK(m.gaps.count() == 11);
    CHECK(*m.record.ttft_ms <= *m.record.e2e_ms);
    CHECK(m.record.endpoint == "engine");
  }
  CHECK(traced[0].record.prompt_hash == traced[1].record.prompt_hash);
  CHECK(traced[0].record.answer_hash == traced[1].record.answer_hash);
  CHECK(traced[0].record.cached_tokens == 0);
  CHECK(traced[1].record.cached_tokens.value() == warm.finish.usage.cached_read);
  CHECK(warm.finish.usage.cached_read >= 96);  // all whole pages of the prompt
  CHECK(meter.total().total().tokens == engine.stats().tokens);
}

TEST_CASE("a refused request never tells a prompt, a sink that throws at its prompt has given up") {
  struct Listener final : Sink {
    void on_prompt(std::span<const Token> p) override {
      prompts.emplace_back(p.begin(), p.end());
      if (throws) throw std::runtime_error("no");
    }
    void on_delta(Delta) override {}
    void on_finish(Finish f) override { finish = std::move(f); }
    std::vector<std::vector<Token>> prompts;
    std::optional<Finish> finish;
    bool throws = false;
  };
  Engine engine(options_with(scripted()));
  auto refused = std::make_shared<Listener>();
  engine.start(request_for({}), refused);
  CHECK(refused->prompts.empty());
  CHECK(refused->finish->reason == FinishReason::refused);
  auto throwing = std::make_shared<Listener>();
  throwing->throws = true;
  engine.start(request_for(prompt_of(9)), throwing);
  engine.drive([&] { return throwing->finish.has_value(); });
  CHECK(throwing->prompts == std::vector<std::vector<Token>>{prompt_of(9)});
  CHECK(throwing->finish->reason == FinishReason::cancelled);
}

TEST_CASE("a step meter's rows are the ledger's, and its seconds give a price") {
  auto steps = std::make_shared<StepMeter>();
  EngineOptions options = options_with(scripted());
  options.observer = steps;
  Engine engine(std::move(options));
  for (std::uint32_t i = 1; i <= 3; ++i) engine.run(request_for(prompt_of(50 * i), 10));
  const StepTotals t = steps->totals();
  CHECK(t.prefill_rows + t.decode_rows == engine.stats().tokens.rows);
  CHECK(t.passes == engine.stats().passes);
  CHECK(t.prefill_seconds > 0);
  CHECK(t.decode_seconds > 0);
  CHECK(t.prefill_seconds + t.decode_seconds <= t.elapsed_seconds);
  const MachineUse use = steps->use(3.6);
  CHECK(use.busy == Approx((t.prefill_seconds + t.decode_seconds) / t.elapsed_seconds).epsilon(0.5));
  const Rates rates = self_hosted(use).value();
  CHECK(*rates.input > 0);
  CHECK(*rates.output > 0);
}

// However many drafts are rejected and whoever makes them: what the answers are billed is what the machine cost.
TEST_CASE("bills at a machine's own price add up to the machine's money, whatever was drafted in vain") {
  for (const SpeculationSetup& setup : speculation_setups()) {
    INFO(setup.name);
    auto steps = std::make_shared<StepMeter>();
    EngineOptions options = options_with(wordy_backend());
    options.prefix_cache = lru();
    options.observer = steps;
    setup.apply(options);
    const bool has_draft_model = !options.draft_models.empty();
    Engine engine(std::move(options));
    Usage billed;
    for (std::uint32_t i = 1; i <= 3; ++i) billed += engine.run(request_for(prompt_of(40), 10 * i)).finish.usage;
    const StepTotals t = steps->totals();
    CHECK(t.prompt_tokens == billed.input - billed.cached_read);
    CHECK(t.output_tokens == billed.output);
    CHECK(t.prefill_rows + t.decode_rows == engine.stats().tokens.rows);
    CHECK((t.draft_rows > 0) == has_draft_model);
    CHECK((t.draft_seconds > 0) == has_draft_model);
    const MachineUse use = steps->use(3600);  // a dollar a second
    const double worked = t.prefill_seconds + t.decode_seconds + t.draft_seconds;
    CHECK(use.prefill_seconds + use.decode_seconds == Approx(worked));
    MachineUse always = use;
    always.busy = 1;
    CHECK(cost_of(billed, self_hosted(always).value()).value().total() == Approx(worked));
  }
}

namespace {

/// A pass takes 10 ms and a millisecond a row.
struct TimedBackend final : Backend {
  TimedBackend(std::shared_ptr<Backend> b, ManualClock& c) : inner(std::move(b)), clock(c) {}
  std::string_view name() const override { return inner->name(); }
  BackendTraits traits() const override { return inner->traits(); }
  ModelId add_model(std::shared_ptr<const Model> model) override { return inner->add_model(std::move(model)); }
  std::size_t kv_bytes_per_token(ModelId model) const override { return inner->kv_bytes_per_token(model); }
  void bind_arena(const ArenaLayout& layout) override { inner->bind_arena(layout); }
  void copy_pages(std::span<const PageCopy> copies) override { inner->copy_pages(copies); }
  void forward(const Batch& batch) override {
    std::size_t rows = 0;
    for (const Segment& s : batch.segments) rows += s.tokens.size();
    clock.advance(std::chrono::milliseconds(10 + rows));
    inner->forward(batch);
  }
  std::shared_ptr<Backend> inner;
  ManualClock& clock;
};

}  // namespace

TEST_CASE("an answer that decodes beside another's prompt says how long it was stalled") {
  ManualClock clock;
  EngineOptions options = options_with(std::make_shared<TimedBackend>(scripted(), clock));
  options.clock = &clock;
  options.prefill_chunk = 20;
  Engine engine(std::move(options));
  Stream first = engine.submit(request_for(prompt_of(5), 40));
  for (int i = 0; i < 10; ++i) engine.step();
  Stream second = engine.submit(request_for(prompt_of(60, 1), 3));
  const Answer later = second.wait(), whole = first.wait();
  // three chunks of 20 rows, 31 ms each with the decode row, where a plain pass takes 11
  REQUIRE(whole.finish.timing.stalled);
  CHECK(milliseconds(*whole.finish.timing.stalled) == Approx(60).epsilon(0.05));
  CHECK(later.finish.timing.stalled == Duration{});  // nobody's prompt came between its tokens
  CHECK_FALSE(engine.run(request_for({})).finish.timing.stalled);
}

TEST_CASE("a mixed step's seconds are shared out by rows") {
  StepMeter meter;
  meter.on_step({.prefill_rows = 30, .decode_rows = 10, .forward = std::chrono::milliseconds(40)});
  meter.on_step({.prefill_rows = 0, .decode_rows = 1, .forward = std::chrono::milliseconds(5)});
  meter.on_step({});
  const StepTotals t = meter.totals();
  CHECK(t.prefill_seconds == Approx(0.030));
  CHECK(t.decode_seconds == Approx(0.015));
  CHECK(t.passes == 2);
}
