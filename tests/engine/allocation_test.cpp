// The n-th allocation of serving fails, for every n: each request still ends in one Finish, nothing is left broken, and
// the engine serves on.
#include <frugal/draft/drafters.hpp>

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <vector>

#include "engine/speculation_fixture.hpp"
#include "support/failing_allocations.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

struct Counting final : Sink {
  void on_delta(Delta) override {}
  void on_finish(Finish f) override {
    ++finishes;
    reason = f.reason;
  }
  int finishes = 0;
  FinishReason reason{};
};

EngineOptions crowded(bool draft_model) {
  EngineOptions options = options_with(wordy_backend());
  options.kv_bytes = 14 * 4096;
  options.prefix_cache = lru();
  options.output = repeat_guard();
  options.speculation = fixed_drafts(3);
  options.drafters = {suffix_drafter()};
  if (draft_model) options.draft_models.push_back(draft_model_of());
  return options;
}

}  // namespace

TEST_CASE("whichever allocation fails, every request ends once, nothing is broken, and the next one is served") {
  for (const bool draft_model : {false, true}) {
    std::size_t whole = 0, hurt = 0;
    for (std::int64_t n = 0;; ++n) {
      INFO("allocation " << n << (draft_model ? ", with a draft model" : ""));
      Engine engine(crowded(draft_model));
      engine.run(request_for(prompt_of(50), 4));
      std::vector<std::shared_ptr<Counting>> sinks;
      std::vector<Request> requests;
      for (Token i = 0; i < 3; ++i) {
        sinks.push_back(std::make_shared<Counting>());
        std::vector<Token> prompt = prompt_of(50);
        prompt.back() = i;
        requests.push_back(request_for(std::move(prompt), 24));
      }
      bool failed = false, escaped = false;
      {
        for (std::size_t i = 0; i < 3; ++i) engine.start(std::move(requests[i]), sinks[i]);
        const FailingAllocation failing(n);
        try {
          for (int k = 0; k < 400; ++k) engine.step();
        } catch (...) {
          escaped = true;
        }
        failed = failing.failed();
      }
      CHECK_FALSE(escaped);
      for (const auto& sink : sinks) {
        CHECK(sink->finishes == 1);
        ++(sink->reason == FinishReason::length || sink->reason == FinishReason::capped ? whole : hurt);
      }
      engine.check_integrity();
      CHECK(engine.stats().kv_bytes_leased == 0);
      CHECK(engine.run(request_for(prompt_of(30), 2)).finish.reason == FinishReason::length);
      if (!failed) break;
    }
    CHECK(hurt > 100);
    CHECK(whole > 100);
  }
}

TEST_CASE("whichever allocation of start fails, it does not throw, and the request ends once") {
  for (const bool known : {true, false}) {
    std::size_t hurt = 0;
    for (std::int64_t n = 0;; ++n) {
      INFO("allocation " << n << (known ? "" : ", of a request that is refused"));
      Engine engine(crowded(false));
      const auto sink = std::make_shared<Counting>();
      Request request = request_for(prompt_of(50), 3);
      request.id = "an id that is too long to be kept inside the string";
      request.model = known ? "" : "a model whose name is too long to be kept inside the string";
      bool failed = false, escaped = false;
      {
        const FailingAllocation failing(n);
        try {
          static_cast<void>(engine.start(std::move(request), sink));
        } catch (...) {
          escaped = true;
        }
        failed = failing.failed();
      }
      CHECK_FALSE(escaped);
      for (int k = 0; k < 100; ++k) engine.step();
      CHECK(sink->finishes == 1);
      hurt += sink->reason == FinishReason::refused;
      engine.check_integrity();
      CHECK(engine.run(request_for(prompt_of(30), 2)).finish.reason == FinishReason::length);
      if (!failed) break;
    }
    CHECK(hurt > 2);
  }
}
