// Callbacks that throw: ints, strings, nothing that has a type one could name. Whatever it is and wherever it comes from,
// each request ends in exactly one Finish and the engine serves the next one.
#include <frugal/endpoint/cascade.hpp>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

#include "engine/fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

/// Throws now and then, another kind each time; from any thread.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : random_(seed) {}
  void maybe_throw(std::uint32_t one_in) {
    const std::uint32_t kind = roll(one_in);
    if (kind == 0) return;
    ++thrown;
    struct Nameless {};
    switch (kind % 6) {
      case 0:
        throw 42;
      case 1:
        throw std::string("a string");
      case 2:
        throw "a literal";
      case 3:
        throw Nameless{};
      case 4:
        throw std::runtime_error("an exception");
      default:
        throw Error(Errc::bad_file, "an error of frugal's");
    }
  }
  /// 0 = do not throw, else what.
  std::uint32_t roll(std::uint32_t one_in) {
    const std::lock_guard lock(mutex_);
    if (!armed || random_() % one_in != 0) return 0;
    return 1 + static_cast<std::uint32_t>(random_() % 60);
  }
  std::atomic<std::uint64_t> thrown{0};
  std::atomic<bool> armed{true};

 private:
  std::mutex mutex_;
  std::mt19937 random_;
};

struct ThrowingSink final : Sink {
  ThrowingSink(Dice& d, std::atomic<int>& e) : dice(d), ends(e) {}
  void on_prompt(std::span<const Token>) override { dice.maybe_throw(20); }
  void on_delta(Delta) override {
    late += finishes > 0;
    dice.maybe_throw(30);
  }
  void on_finish(Finish) override {
    ++finishes;
    ++ends;
    dice.maybe_throw(6);
  }
  bool full() const override {
    dice.maybe_throw(60);
    return false;
  }
  Dice& dice;
  std::atomic<int>& ends;
  std::atomic<int> finishes{0}, late{0};
};

struct ThrowingOutput final : OutputPolicy {
  explicit ThrowingOutput(Dice& d) : dice(d) {}
  std::string_view name() const override { return "shaky output"; }
  std::uint32_t budget(const RequestView&) override {
    dice.maybe_throw(30);
    return 0;
  }
  std::optional<Stop> after(const SequenceView&) override {
    dice.maybe_throw(60);
    return std::nullopt;
  }
  Dice& dice;
};

struct ThrowingPrefixes final : PrefixCachePolicy {
  explicit ThrowingPrefixes(Dice& d) : dice(d) {}
  std::string_view name() const override { return "shaky prefixes"; }
  double worth(const PrefixView&) const override {
    dice.maybe_throw(60);
    return 1;
  }
  Duration keep(const RequestView&) const override {
    dice.maybe_throw(40);
    return std::chrono::hours(1);
  }
  std::string salt(const RequestView&) const override {
    dice.maybe_throw(40);
    return {};
  }
  Dice& dice;
};

struct ThrowingCascade final : CascadePolicy {
  explicit ThrowingCascade(Dice& d) : dice(d) {}
  std::string_view name() const override { return "shaky cascade"; }
  std::size_t first(const RequestView&, std::size_t) override {
    dice.maybe_throw(20);
    return 0;
  }
  Verdict judge(const AttemptView& a) override {
    dice.maybe_throw(20);
    if (dice.roll(3) != 0) return {.next = a.endpoint + 1, .score = {}};
    return {};
  }
  bool judges_running() const override { return true; }
  Verdict judge_running(const AttemptView& a) override {
    dice.maybe_throw(60);
    if (dice.roll(20) != 0) return {.next = a.endpoint + 1, .score = {}};
    return {};
  }
  void learn(const CascadeOutcome&) override { dice.maybe_throw(10); }
  Dice& dice;
};

struct ThrowingObserver final : Observer {
  explicit ThrowingObserver(Dice& d) : dice(d) {}
  void on_submitted(RequestId, std::string_view) override { dice.maybe_throw(20); }
  void on_refused(RequestId, const Finish&) override { dice.maybe_throw(5); }
  void on_admitted(RequestId, std::uint32_t, std::uint32_t) override { dice.maybe_throw(20); }
  void on_step(const StepReport&) override { dice.maybe_throw(20); }
  void on_finished(RequestId, const Finish&) override { dice.maybe_throw(10); }
  Dice& dice;
};

struct ThrowingClock final : Clock {
  explicit ThrowingClock(Dice& d) : dice(d) {}
  TimePoint now() const override {
    dice.maybe_throw(50);
    return steady_clock().now();
  }
  Dice& dice;
};

struct ThrowingBackend final : BackendWrapper {
  ThrowingBackend(std::shared_ptr<Backend> inner, Dice& d) : BackendWrapper(std::move(inner)), dice(d) {}
  void forward(const Batch& batch) override {
    dice.maybe_throw(60);
    BackendWrapper::forward(batch);
  }
  Dice& dice;
};

EngineOptions shaky(Dice& dice, const Clock& clock, bool own_thread) {
  EngineOptions options = options_with(std::make_shared<ThrowingBackend>(scripted(), dice));
  options.own_thread = own_thread;
  options.output = std::make_shared<ThrowingOutput>(dice);
  options.prefix_cache = std::make_shared<ThrowingPrefixes>(dice);
  options.observer = std::make_shared<ThrowingObserver>(dice);
  options.log = [&dice](LogLevel, std::uint64_t, std::string_view) { dice.maybe_throw(3); };
  options.clock = &clock;
  options.max_waiting = 1 << 20;
  return options;
}

}  // namespace

TEST_CASE(
    "10,000 requests whose callbacks throw anything anywhere: each ends in one Finish, and the next one is served") {
  for (const bool own_thread : {false, true}) {
    Dice dice(20261126 + own_thread);
    dice.armed = false;
    const ThrowingClock clock(dice);
    Engine small(shaky(dice, clock, own_thread)), big(shaky(dice, clock, own_thread));
    Cascade cascade({.name = "c",
                     .tiers = {&small, &big},
                     .policy = std::make_shared<ThrowingCascade>(dice),
                     .clock = &clock,
                     .log = [&dice](LogLevel, std::uint64_t, std::string_view) { dice.maybe_throw(3); }});
    dice.armed = true;
    constexpr int requests = 5000;
    std::atomic<int> ends{0};
    std::vector<std::shared_ptr<ThrowingSink>> sinks;
    std::mt19937 random(7);
    int asked = 0;
    while (asked < requests) {
      for (int i = 0; i < 50; ++i, ++asked) {
        Request request = request_for(prompt_of(1 + random() % 40, static_cast<std::uint32_t>(random() % 3)),
                                      static_cast<std::uint32_t>(1 + random() % 6));
        Endpoint& at = random() % 2 == 0 ? static_cast<Endpoint&>(cascade) : small;
        sinks.push_back(std::make_shared<ThrowingSink>(dice, ends));
        REQUIRE_NOTHROW(at.start(std::move(request), sinks.back()));
      }
      REQUIRE_NOTHROW(cascade.drive([&] { return ends == asked; }));
      REQUIRE(ends == asked);
    }
    int wrong = 0;
    for (const auto& sink : sinks) wrong += sink->finishes != 1 || sink->late != 0;
    CHECK(wrong == 0);
    CHECK(dice.thrown > 2000);
    dice.armed = false;
    for (Engine* engine : {&small, &big}) {
      CHECK(engine->run(request_for(prompt_of(30), 5)).tokens == expected_answer(prompt_of(30), 5));
      engine->check_integrity();
      CHECK(engine->stats().kv_bytes_leased == 0);
    }
    CHECK(cascade.run(request_for(prompt_of(30), 5)).tokens == expected_answer(prompt_of(30), 5));
  }
}

TEST_CASE("what a policy throws on admission ends its own request with Errc::policy and the policy's name") {
  struct Output final : OutputPolicy {
    std::string_view name() const override { return "throwing output"; }
    std::uint32_t budget(const RequestView& r) override {
      if (r.type == "bad") throw 42;
      return 0;
    }
    std::optional<Stop> after(const SequenceView&) override { return std::nullopt; }
  };
  struct Prefixes final : PrefixCachePolicy {
    std::string_view name() const override { return "throwing prefixes"; }
    double worth(const PrefixView&) const override { return 1; }
    Duration keep(const RequestView&) const override { return std::chrono::hours(1); }
    std::string salt(const RequestView& r) const override {
      if (r.type == "bad") throw std::string("words");
      return {};
    }
  };
  for (const bool output : {true, false}) {
    EngineOptions options = options_with(scripted());
    if (output) options.output = std::make_shared<Output>();
    if (!output) options.prefix_cache = std::make_shared<Prefixes>();
    Engine engine(std::move(options));
    Request bad = request_for(prompt_of(20));
    bad.type = "bad";
    const Finish end = engine.run(bad).finish;
    REQUIRE(end.error);
    CHECK(end.error->code() == Errc::policy);
    CHECK(end.error->message().find(output ? "throwing output" : "throwing prefixes") != std::string::npos);
    CHECK(engine.run(request_for(prompt_of(20), 4)).tokens == expected_answer(prompt_of(20), 4));
  }
}

TEST_CASE("a reader that throws learns from detail and log that it did, with the request's numbers") {
  std::vector<std::pair<std::uint64_t, std::string>> lines;
  EngineOptions options = options_with(scripted());
  options.name = "desk";
  options.log = [&](LogLevel, std::uint64_t id, std::string_view line) { lines.emplace_back(id, line); };
  Engine engine(std::move(options));
  CHECK(engine.name() == "desk");
  Finish end;
  Request request = request_for(prompt_of(20));
  request.id = "caller-7";
  const Call call = engine.submit(
      request, [](const Delta&) { throw 42; }, [&](Finish f) { end = std::move(f); });
  while (engine.step() == Progress::worked) {
  }
  CHECK(end.reason == FinishReason::cancelled);
  CHECK(end.detail.find("on_delta threw") != std::string::npos);
  CHECK(end.request == call.id());
  CHECK(end.id == "caller-7");
  CHECK(end.ledger.attempts[0].endpoint == "desk");
  REQUIRE_FALSE(lines.empty());
  CHECK(lines[0].first == call.id().value);
  CHECK(lines[0].second.find("desk: ") == 0);
  // A refused request reaches the log as well.
  request.model = "nobody";
  lines.clear();
  CHECK(engine.run(request).finish.id == "caller-7");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].second.find("nobody") != std::string::npos);
}

TEST_CASE(
    "several observers hear of every request, refused ones included, and one that throws keeps the others from "
    "nothing") {
  struct Listening final : Observer {
    explicit Listening(bool t) : throws(t) {}
    void on_submitted(RequestId id, std::string_view caller) override {
      heard.push_back("submitted " + std::to_string(id.value) + " " + std::string(caller));
      if (throws) throw 1;
    }
    void on_refused(RequestId id, const Finish& f) override {
      heard.push_back("refused " + std::to_string(id.value) + " " + f.id);
      if (throws) throw 1;
    }
    void on_admitted(RequestId id, std::uint32_t, std::uint32_t) override {
      heard.push_back("admitted " + std::to_string(id.value));
      if (throws) throw 1;
    }
    void on_finished(RequestId id, const Finish& f) override {
      heard.push_back("finished " + std::to_string(id.value) + " " + f.id);
      if (throws) throw 1;
    }
    bool throws;
    std::vector<std::string> heard;
  };
  auto first = std::make_shared<Listening>(true), second = std::make_shared<Listening>(false);
  EngineOptions options = options_with(scripted());
  options.observer = all_of({first, second});
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(20), 2);
  request.id = "a";
  CHECK(engine.run(request).finish.reason == FinishReason::length);
  request.max_tokens = 2;
  request.model = "nobody";
  request.id = "b";
  CHECK(engine.run(request).finish.reason == FinishReason::refused);
  const std::vector<std::string> all{"submitted 1 a", "admitted 1", "finished 1 a", "submitted 2 b", "refused 2 b"};
  CHECK(first->heard == all);
  CHECK(second->heard == all);
}
