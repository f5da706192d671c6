// Who goes first: priority, fair shares, age, nobody starved; how long a step may take; and what a crowd that waits costs.
// All in simulated time: a pass takes 10 ms and a millisecond a row.
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <random>
#include <string>

#include "engine/fixture.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

class TimedBackend final : public BackendWrapper {
 public:
  TimedBackend(std::shared_ptr<Backend> inner, ManualClock& clock) : BackendWrapper(std::move(inner)), clock_(clock) {}
  void forward(const Batch& batch) override {
    std::size_t rows = 0;
    for (const Segment& s : batch.segments) rows += s.tokens.size();
    clock_.advance(std::chrono::milliseconds(10 + rows));
    BackendWrapper::forward(batch);
  }

 private:
  ManualClock& clock_;
};

/// Counts an answer's tokens, and when they came.
struct Watch final : Sink {
  explicit Watch(const ManualClock& c) : clock(&c) {}
  void on_delta(Delta delta) override {
    const TimePoint now = clock->now();
    if (tokens == 0) first = now;
    if (tokens > 0) longest_gap = std::max(longest_gap, now - last);
    last = now;
    tokens += delta.tokens.size();
  }
  void on_finish(Finish f) override { finish = std::move(f); }
  const ManualClock* clock;
  std::size_t tokens = 0;
  TimePoint first{}, last{};
  Duration longest_gap{};
  std::optional<Finish> finish;
};

struct World {
  explicit World(const std::function<void(EngineOptions&)>& set = {}) {
    EngineOptions options = options_with(std::make_shared<TimedBackend>(scripted(), clock));
    options.clock = &clock;
    options.max_running = 8;
    options.max_waiting = 5000;
    if (set) set(options);
    engine = std::make_unique<Engine>(std::move(options));
  }
  std::shared_ptr<Watch> start(const std::string& tenant, std::size_t prompt, std::uint32_t most,
                               std::int32_t priority = 0) {
    Request request = request_for(prompt_of(prompt, serial++), most);
    request.tenant = tenant;
    request.priority = priority;
    all[tenant].push_back(std::make_shared<Watch>(clock));
    prompts[tenant].push_back(prompt);
    engine->start(std::move(request), all[tenant].back());
    return all[tenant].back();
  }
  /// Prompt tokens of those that came in, and answer tokens.
  double served(const std::string& tenant) const {
    double sum = 0;
    const auto& watches = all.at(tenant);
    for (std::size_t i = 0; i < watches.size(); ++i)
      if (watches[i]->tokens > 0) sum += static_cast<double>(prompts.at(tenant)[i] + watches[i]->tokens);
    return sum;
  }
  void run(int steps) {
    for (int i = 0; i < steps; ++i) engine->step();
  }

  ManualClock clock;
  std::unique_ptr<Engine> engine;
  std::map<std::string, std::vector<std::shared_ptr<Watch>>> all;
  std::map<std::string, std::vector<std::size_t>> prompts;
  std::uint32_t serial = 0;
};

}  // namespace

TEST_CASE("tenants that both have work get equal shares of the tokens, whatever the size of their requests") {
  World world;
  for (int i = 0; i < 300; ++i) world.start("long", 10, 60);
  for (int i = 0; i < 2000; ++i) world.start("short", 5, 8);
  for (int i = 0; i < 300; ++i) world.start("prompts", 80, 4);
  for (const int steps : {500, 1000, 1000}) {
    world.run(steps);
    const double sum = world.served("long") + world.served("short") + world.served("prompts");
    for (const char* tenant : {"long", "short", "prompts"}) {
      INFO(tenant << ": " << world.served(tenant) << " of " << sum);
      CHECK(std::abs(3 * world.served(tenant) / sum - 1) < 0.05);
    }
  }
}

TEST_CASE("weights share the tokens out in proportion, and who was away has saved up nothing") {
  World world([](EngineOptions& o) { o.tenant_weights = {{"gold", 3.0}}; });
  for (int i = 0; i < 1000; ++i) world.start("gold", 10, 30);
  world.run(500);  // alone for a while
  for (int i = 0; i < 1000; ++i) world.start("iron", 10, 30);
  const double before = world.served("gold");
  world.run(3000);
  const double gold = world.served("gold") - before, iron = world.served("iron");
  INFO(gold << " and " << iron);
  CHECK(std::abs(gold / iron / 3 - 1) < 0.05);
}

TEST_CASE("a higher priority is admitted first, takes places from lower ones and gives them back, and costs no pages") {
  World world([](EngineOptions& o) { o.max_running = 2; });
  const auto a = world.start("", 20, 50), b = world.start("", 20, 50), c = world.start("", 20, 50);
  world.run(5);
  CHECK(a->tokens > 0);
  CHECK(b->tokens > 0);
  CHECK(c->tokens == 0);
  const std::size_t had = b->tokens;
  const auto urgent = world.start("", 20, 10, 7);
  world.run(10);
  CHECK(urgent->finish);
  CHECK(b->tokens == had);  // the youngest of the low ones stepped aside
  CHECK(a->tokens > had + 8);
  world.run(200);
  for (const auto& watch : {a, b, c}) {
    REQUIRE(watch->finish);
    CHECK(watch->finish->ledger.total().recomputed == 0);
    CHECK(watch->tokens == 50);
  }
  CHECK(world.engine->stats().preemptions == 0);
}

TEST_CASE("when pages are short, a higher priority takes them from the lower one that came last") {
  World world([](EngineOptions& o) { o.kv_bytes = 12 * 4096; });
  const auto a = world.start("", 60, 10), b = world.start("", 60, 10);
  world.run(2);
  const auto urgent = world.start("", 80, 5, 1);
  world.run(8);
  CHECK(urgent->finish);
  CHECK(a->finish.has_value());
  CHECK(world.engine->stats().preemptions >= 1);
  world.run(60);
  REQUIRE(b->finish);
  CHECK(b->tokens == 10);
  world.engine->check_integrity();
}

TEST_CASE("no priority starves a lower one for longer than longest_wait, whether it waits or has been put aside") {
  World world([](EngineOptions& o) {
    o.max_running = 4;
    o.longest_wait = 2s;
  });
  const auto put_aside = world.start("batch", 20, 400);
  world.run(3);
  CHECK(put_aside->tokens > 0);
  const auto waiting = world.start("other batch", 20, 5);
  const TimePoint began = world.clock.now();
  for (int step = 0; step < 2000; ++step) {
    while (world.engine->stats().running + world.engine->stats().waiting < 20) {
      world.start("hungry", 20, 10, 100);
      world.run(1);
    }
    world.run(1);
  }
  REQUIRE(waiting->tokens > 0);
  CHECK(waiting->first - began < 2350ms);
  REQUIRE(waiting->finish);
  CHECK(put_aside->longest_gap < 2350ms);
  CHECK(put_aside->longest_gap > 1s);
  CHECK(put_aside->tokens > 200);
}

TEST_CASE(
    "interactive requests beside a saturating batch have their first token within the stall budget and one step") {
  constexpr Duration budget = 40ms;
  World world([&](EngineOptions& o) { o.stall_budget = budget; });
  std::mt19937 random(7);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int i = 0; i < 1500; ++i) world.start("batch", 100 + below(200), 20 + below(30));
  world.run(20);
  std::vector<double> ttft;
  TimePoint next = world.clock.now();
  std::vector<std::pair<std::shared_ptr<Watch>, TimePoint>> interactive;
  while (interactive.size() < 400) {
    world.run(1);
    // Those whose time came while the step ran join the queue with the next one.
    for (; next <= world.clock.now(); next += std::chrono::milliseconds(20 + below(400)))
      interactive.emplace_back(world.start("people", 10 + below(12), 3 + below(5), 10), next);
  }
  world.run(20);
  for (const auto& [watch, arrived] : interactive) {
    REQUIRE(watch->tokens > 0);
    ttft.push_back(milliseconds(watch->first - arrived));
  }
  std::sort(ttft.begin(), ttft.end());
  const double own_step = 10 + 8 + 21;  // a pass of eight rows that decode and the longest prompt
  INFO("p50 " << ttft[200] << " ms, p99 " << ttft[396] << " ms");
  CHECK(ttft[396] <= milliseconds(budget) + std::max(own_step, milliseconds(budget)));
  CHECK(world.served("batch") > 10'000);
}

TEST_CASE("a prompt does not ride in the step of one of higher priority, unless its own turn has come") {
  World world([](EngineOptions& o) { o.longest_wait = 2s; });
  const auto batch = world.start("batch", 200, 2);
  const auto people = world.start("people", 10, 2, 10);
  const TimePoint began = world.clock.now();
  world.run(1);
  CHECK(people->first - began <= 20ms);  // its ten rows alone
  CHECK(batch->tokens == 0);
  world.run(1);
  CHECK(batch->tokens == 1);  // whole, beside a token of the other

  const auto starved = world.start("batch", 20, 1);
  const TimePoint then = world.clock.now();
  for (int step = 0; step < 400 && starved->tokens == 0; ++step) {
    while (world.engine->stats().running + world.engine->stats().waiting < 4) world.start("people", 20, 1, 10);
    world.run(1);
  }
  CHECK(starved->tokens == 1);
  CHECK(starved->first - then < 2500ms);  // an eighth of the wait and two steps more
}

TEST_CASE("sequences between two tokens wait no longer than the stall budget beside others' prompts") {
  for (const auto& [budget, longest] : {std::pair{std::optional<Duration>(25ms), 26ms}, {std::nullopt, 300ms}}) {
    World world([&, b = budget](EngineOptions& o) { o.stall_budget = b; });
    world.start("", 20, 3);
    world.run(10);  // what rows cost is known
    const auto decoding = world.start("", 5, 200);
    world.run(5);
    decoding->longest_gap = {};
    const auto prompt = world.start("", 400, 2);
    world.run(1);
    CHECK(prompt->tokens == 0);
    world.run(60);
    CHECK(prompt->finish);
    CHECK(decoding->longest_gap <= longest);
    CHECK(decoding->longest_gap > longest - 40ms);
  }
}

TEST_CASE("a thousand requests that wait for one prefix are looked at once, not at every step") {
  World world([](EngineOptions& o) {
    o.prefix_cache = lru();
    o.prefill_chunk = 4;
    o.max_running = 4;
  });
  const std::vector<Token> prefix = prompt_of(400);
  const auto request = [&](Token own) {
    std::vector<Token> prompt = prefix;
    prompt.push_back(own);
    return request_for(std::move(prompt), 2);
  };
  std::vector<std::shared_ptr<Watch>> watches;
  const auto start = [&](Token own) {
    watches.push_back(std::make_shared<Watch>(world.clock));
    world.engine->start(request(own), watches.back());
  };
  start(0);
  world.run(1);
  for (Token i = 1; i <= 1000; ++i) start(i % 200);
  world.run(1);
  CHECK(world.engine->stats().admission_looks == 1001);
  world.run(90);
  CHECK(watches[0]->tokens == 0);  // its prompt is still computed
  CHECK(world.engine->stats().admission_looks == 1001);
  world.run(2000);
  std::uint64_t computed = 0;
  for (const auto& watch : watches) {
    REQUIRE(watch->finish);
    computed += watch->finish->ledger.total().prompt_computed;
  }
  CHECK(computed == 401 + 1000 * 1);
  CHECK(world.engine->stats().admission_looks <= 2 * 1001 + 4);
}

TEST_CASE("an output policy hears once of every answer how it ended, and what it throws costs nothing") {
  struct Listening final : OutputPolicy {
    std::string_view name() const override { return "listening"; }
    std::uint32_t budget(const RequestView&) override { return 0; }
    std::optional<Stop> after(const SequenceView& s) override {
      if (s.request.type == "capped" && s.output.size() == 4) return Stop{.policy = "listening", .trim_tokens = 1};
      return std::nullopt;
    }
    void ended(const SequenceView& s, const AnswerOutcome& outcome) override {
      heard.emplace_back(outcome.reason, std::string(outcome.detail));
      CHECK(outcome.usage.output == s.output.size());
      CHECK(outcome.timing.e2e >= outcome.timing.ttft);
      if (s.request.type == "capped") throw 42;
    }
    std::vector<std::pair<FinishReason, std::string>> heard;
  };
  const auto policy = std::make_shared<Listening>();
  EngineOptions options = options_with(scripted());
  options.output =
      first_of({max_tokens(9), when([](const RequestView& r) { return r.type != "unheard"; }, limited(policy, 100))});
  Engine engine(std::move(options));
  Request capped = request_for(prompt_of(20), 30), unheard = request_for(prompt_of(20), 5);
  capped.type = "capped";
  unheard.type = "unheard";
  CHECK(engine.run(request_for(prompt_of(20), 5)).finish.reason == FinishReason::length);
  CHECK(engine.run(capped).tokens.size() == 3);
  CHECK(engine.run(unheard).finish.reason == FinishReason::length);
  { const Stream dropped = engine.submit(request_for(prompt_of(20), 5)); }
  engine.step();
  using Heard = std::pair<FinishReason, std::string>;
  CHECK(policy->heard == std::vector<Heard>{{FinishReason::length, ""},
                                            {FinishReason::capped, "listening"},
                                            {FinishReason::cancelled, ""}});
}
