#include <catch2/catch_test_macros.hpp>

#include <thread>

#include "engine/fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {
// Catch2's assertions are not for several threads: each thread counts what it saw.
std::size_t wrong_answers(Engine& engine, std::uint32_t thread, std::uint32_t requests) {
  std::size_t wrong = 0;
  for (std::uint32_t i = 0; i < requests; ++i) {
    const std::vector<Token> prompt = prompt_of(20 + 11 * i, thread);
    Stream stream = engine.submit(request_for(prompt, 9));
    if (i % 4 == 3) stream.cancel();
    const Answer answer = stream.wait();
    const bool cut = answer.finish.reason == FinishReason::cancelled;
    const std::vector<Token> expected = expected_answer(prompt, cut ? answer.tokens.size() : 9);
    wrong += answer.tokens != expected;
  }
  return wrong;
}
}  // namespace

TEST_CASE("readers on several threads share one engine, whoever drives it") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    options.prefix_cache = lru();
    Engine engine(std::move(options));
    std::vector<std::size_t> wrong(4, 1);
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < wrong.size(); ++t)
      threads.emplace_back([&, t] { wrong[t] = wrong_answers(engine, t, 12); });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == std::vector<std::size_t>(4, 0));
  }
}

TEST_CASE("an engine that is destroyed while it works ends every request as cancelled") {
  std::optional<FinishReason> reason;
  {
    EngineOptions options = options_with(scripted());
    options.own_thread = true;
    Engine engine(std::move(options));
    engine.submit(
        request_for(prompt_of(100), 400), [](Delta) {}, [&](Finish f) { reason = f.reason; });
  }
  CHECK(reason == FinishReason::cancelled);
}

TEST_CASE("cancelling after the engine is gone is harmless") {
  Call call;
  {
    Engine engine(options_with(scripted()));
    call = engine.submit(
        request_for(prompt_of(10)), [](Delta) {}, [](Finish) {});
  }
  call.cancel();
  SUCCEED();
}
