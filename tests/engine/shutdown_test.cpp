// The end of an engine: shutdown and every order of destruction.
#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/metered.hpp>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "engine/fixture.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

struct Counting final : Sink {
  void on_delta(Delta) override { late += finishes > 0 ? 1 : 0; }
  void on_finish(Finish f) override {
    end = std::move(f);
    ++finishes;
    if (then) then();
  }
  std::atomic<int> finishes{0}, late{0};
  Finish end;
  std::function<void()> then;
};

BudgetedOptions free_of_charge() { return {.price_rules = {.unknown = UnknownPrice::warn}, .most_output = 10}; }

}  // namespace

TEST_CASE("shutdown without a deadline cancels what is live, refuses what comes, and may be repeated") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    Engine engine(std::move(options));
    Request slow = request_for(prompt_of(50), 4000);
    slow.stream_capacity = 1;
    Stream running = engine.submit(slow), waiting = engine.submit(slow);
    CHECK(engine.shutdown() == 2);
    CHECK(running.wait().finish.reason == FinishReason::cancelled);
    CHECK(waiting.wait().finish.reason == FinishReason::cancelled);
    const Finish late = engine.run(request_for(prompt_of(5))).finish;
    CHECK(late.reason == FinishReason::refused);
    CHECK(late.error->code() == Errc::unavailable);
    CHECK_FALSE(engine.load().accepting);
    CHECK(engine.stats().kv_bytes_leased == 0);
    CHECK(engine.shutdown() == 0);
    CHECK(engine.step() == Progress::idle);
    engine.check_integrity();
  }
}

TEST_CASE("shutdown with a deadline serves what fits and cancels the rest") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    Engine engine(std::move(options));
    auto quick = std::make_shared<Counting>();
    engine.start(request_for(prompt_of(50), 20), quick);
    Request slow = request_for(prompt_of(20), 100);
    slow.stream_capacity = 1;  // nobody reads it
    Stream stuck = engine.submit(slow);
    CHECK(engine.shutdown(steady_clock().now() + 100ms) == 1);
    CHECK(quick->end.reason == FinishReason::length);
    CHECK(stuck.wait().finish.reason == FinishReason::cancelled);
  }
}

TEST_CASE("a request submitted from on_finish while the engine ends gets its one Finish") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    auto engine = std::make_unique<Engine>(std::move(options));
    auto first = std::make_shared<Counting>(), second = std::make_shared<Counting>();
    first->then = [e = engine.get(), second] { e->start(request_for(prompt_of(5)), second); };
    engine->start(request_for(prompt_of(20), 4000), first);
    engine.reset();
    CHECK(first->finishes == 1);
    CHECK(second->finishes == 1);
    CHECK(second->end.error->code() == Errc::unavailable);
  }
}

TEST_CASE("an engine may be destroyed while other threads wait in next, wait and drive") {
  for (int round = 0; round < 40; ++round) {
    EngineOptions options = options_with(scripted());
    options.own_thread = round % 2 == 0;
    auto engine = std::make_unique<Engine>(std::move(options));
    std::atomic<int> ended{0};
    std::vector<std::thread> readers;
    for (std::uint32_t i = 0; i < 4; ++i) {
      Request slow = request_for(prompt_of(20 + i), 400);
      if (i == 3) slow.stream_capacity = 1;
      auto stream = std::make_shared<Stream>(engine->submit(slow));
      readers.emplace_back([stream, &ended] { ended += stream->wait().finish.reason != FinishReason::refused; });
    }
    std::atomic<bool> inside{false};
    readers.emplace_back([e = engine.get(), &ended, &inside] {
      inside = true;
      e->drive([] { return false; });
      ++ended;
    });
    while (!inside) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(200 + round * 53));
    engine.reset();
    for (std::thread& t : readers) t.join();
    CHECK(ended == 5);
  }
}

TEST_CASE("a stream may outlive its engine, and a stream that was moved from has ended") {
  std::optional<Stream> stream;
  {
    Engine engine(options_with(scripted()));
    stream = engine.submit(request_for(prompt_of(20), 400));
    CHECK(stream->next());
    CHECK(stream->id().value > 0);
  }
  CHECK(stream->wait().finish.reason == FinishReason::cancelled);
  stream->cancel();
  Stream other = std::move(*stream);
  CHECK_FALSE(stream->next());
  CHECK_FALSE(stream->try_next());
  CHECK(stream->done());
  CHECK_FALSE(stream->finish());
  CHECK(stream->wait().finish.error->code() == Errc::invalid_argument);
  stream->cancel();
  CHECK(other.done());
}

TEST_CASE("composites and engine may go in any order, with requests in flight") {
  const auto make = [] {
    EngineOptions options = options_with(scripted());
    return std::make_unique<Engine>(std::move(options));
  };
  for (const bool engine_first : {false, true}) {
    auto engine = make();
    auto cascade = std::make_unique<Cascade>(
        CascadeOptions{.tiers = {engine.get(), engine.get()}, .policy = margin_threshold(0.9)});
    Stream stream = cascade->submit(request_for(prompt_of(20), 50));
    engine->step();
    if (engine_first) engine.reset();
    cascade.reset();
    CHECK(stream.wait().finish.reason == FinishReason::cancelled);
    if (engine)
      while (engine->step() == Progress::worked) {
      }
  }
  for (const bool engine_first : {false, true}) {
    Budget budget({.limits = {{.usd = 10}}});
    auto engine = make();
    auto budgeted = std::make_unique<Budgeted>(*engine, budget, free_of_charge());
    Stream stream = budgeted->submit(request_for(prompt_of(20), 50));
    engine->step();
    if (engine_first) engine.reset();
    budgeted.reset();
    // Through a wrapper that is gone the stream goes on with the engine itself.
    CHECK(stream.wait().finish.reason == (engine_first ? FinishReason::cancelled : FinishReason::length));
    CHECK(budget.state()[0].reserved == 0);
  }
  for (const bool engine_first : {false, true}) {
    Meter meter{MeterOptions{}};
    auto engine = make();
    auto metered = std::make_unique<Metered>(*engine, meter);
    Stream stream = metered->submit(request_for(prompt_of(20), 50));
    engine->step();
    if (engine_first) {
      engine.reset();
      CHECK(metered->run(request_for(prompt_of(5))).finish.error->code() == Errc::unavailable);
      CHECK(metered->step() == Progress::idle);
      CHECK_FALSE(metered->load().accepting);
    }
    metered.reset();
    CHECK(stream.wait().finish.reason == (engine_first ? FinishReason::cancelled : FinishReason::length));
  }
}

TEST_CASE("waiting inside a callback is refused with an error instead of waiting for itself") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    Engine engine(std::move(options));
    std::vector<Errc> seen;
    std::optional<FinishReason> reason;
    std::optional<Stream> inner;
    std::atomic<bool> over{false};
    engine.submit(
        request_for(prompt_of(20), 2),
        [&](const Delta&) {
          if (!seen.empty()) return;
          const Answer answer = engine.run(request_for(prompt_of(5)));
          reason = answer.finish.reason;
          seen.push_back(answer.finish.error->code());
          inner = engine.submit(request_for(prompt_of(5), 3));
          seen.push_back(error_of([&] { inner->next(); }).code());
          seen.push_back(error_of([&] { inner->wait(); }).code());
          seen.push_back(error_of([&] { engine.drive([] { return false; }); }).code());
          seen.push_back(error_of([&] { engine.shutdown(); }).code());
          seen.push_back(error_of([&] { engine.check_integrity(); }).code());
        },
        [&](const Finish&) { over = true; });
    engine.drive([&] { return over.load(); });
    CHECK(reason == FinishReason::refused);
    CHECK(seen == std::vector<Errc>(6, Errc::invalid_argument));
    REQUIRE(inner);
    CHECK(inner->wait().tokens.size() == 3);
  }
}

TEST_CASE("set-up throws frugal::Error only, and an arena larger than the backend's memory is refused by name") {
  struct Small final : BackendWrapper {
    using BackendWrapper::BackendWrapper;
    BackendTraits traits() const override {
      BackendTraits t = BackendWrapper::traits();
      t.free_bytes = std::size_t{4} << 20;
      return t;
    }
    ModelId add_model(std::shared_ptr<const Model> model) override {
      if (throws) throw 42;
      return BackendWrapper::add_model(std::move(model));
    }
    bool throws = false;
  };
  auto small = std::make_shared<Small>(scripted());
  EngineOptions options = options_with(small);
  options.kv_bytes = std::size_t{1} << 40;
  const Error too_large = error_of([&] { Engine engine(options); });
  CHECK(too_large.code() == Errc::too_large);
  CHECK(mentions(too_large, "kv_bytes"));
  small->throws = true;
  CHECK(mentions(error_of([&] { Engine engine(options_with(small)); }), "could not be set up"));
}
