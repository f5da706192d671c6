#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <random>
#include <stdexcept>

#include "engine/fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

TEST_CASE("whichever forward fails, every request ends once, no page is lost and the next one is served") {
  for (const Errc code : {Errc::out_of_memory, Errc::device, Errc::internal}) {
    for (std::uint64_t k = 1; k <= 20; ++k) {
      auto faulty = std::make_shared<FaultyBackend>(scripted());
      EngineOptions options = options_with(faulty);
      options.prefix_cache = lru();
      options.prefill_chunk = 16;
      options.max_running = 2;
      Engine engine(std::move(options));
      faulty->fail_forward(k, code, k % 2 == 0 ? FaultyBackend::When::before : FaultyBackend::When::after);
      std::vector<Stream> streams;
      for (std::uint32_t i = 0; i < 4; ++i) streams.push_back(engine.submit(request_for(prompt_of(50 + i, i), 6)));
      std::size_t failed = 0;
      for (std::uint32_t i = 0; i < 4; ++i) {
        const Answer answer = streams[i].wait();
        CHECK(answer.finish.ledger.consistent());
        if (answer.finish.reason == FinishReason::error) {
          ++failed;
          CHECK(answer.finish.error->code() == code);
        } else {
          CHECK(answer.tokens == expected_answer(prompt_of(50 + i, i), 6));
        }
      }
      CHECK((failed > 0) == (faulty->thrown() > 0));
      engine.check_integrity();
      CHECK(engine.stats().kv_bytes_leased == 0);
      faulty->heal();
      CHECK(engine.run(request_for(prompt_of(55), 6)).tokens == expected_answer(prompt_of(55), 6));
    }
  }
}

TEST_CASE("a page copy that fails ends the request that needed it") {
  auto faulty = std::make_shared<FaultyBackend>(scripted());
  EngineOptions options = options_with(faulty);
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  engine.run(request_for(prompt_of(60)));
  faulty->fail_copy(1, Errc::device);
  std::vector<Token> prompt = prompt_of(60);
  prompt[57] = 1;
  CHECK(engine.run(request_for(prompt)).finish.reason == FinishReason::error);
  engine.check_integrity();
  CHECK(engine.run(request_for(prompt)).tokens == expected_answer(prompt, 12));
}

namespace {
struct ThrowingCap final : OutputPolicy {
  explicit ThrowingCap(bool early) : early_(early) {}
  std::string_view name() const override { return "throwing"; }
  std::uint32_t budget(const RequestView& r) override {
    if (early_ && r.type == "bad") throw std::runtime_error("no opinion on me");
    return 0;
  }
  std::optional<Stop> after(const SequenceView& s) override {
    if (!early_ && s.request.type == "bad" && s.output.size() == 3) throw std::runtime_error("enough of this");
    return std::nullopt;
  }
  bool early_;
};
}  // namespace

TEST_CASE("a policy that throws ends its own request, by name, and no other") {
  for (const bool early : {true, false}) {
    EngineOptions options = options_with(scripted());
    options.output = std::make_shared<ThrowingCap>(early);
    Engine engine(std::move(options));
    Request bad = request_for(prompt_of(20));
    bad.type = "bad";
    Stream stream = engine.submit(bad);
    CHECK(engine.run(request_for(prompt_of(30))).tokens == expected_answer(prompt_of(30), 12));
    const Answer answer = stream.wait();
    CHECK(answer.finish.reason == FinishReason::error);
    REQUIRE(answer.finish.error);
    CHECK(answer.finish.error->code() == Errc::policy);
    CHECK(answer.tokens.size() == (early ? 0 : 3));
    engine.check_integrity();
  }
}

TEST_CASE("a callback that throws loses its own answer only") {
  Engine engine(options_with(scripted()));
  int finishes = 0;
  engine.submit(
      request_for(prompt_of(20)), [](Delta) { throw std::runtime_error("reader died"); },
      [&](Finish f) {
        ++finishes;
        CHECK(f.reason == FinishReason::cancelled);
      });
  CHECK(engine.run(request_for(prompt_of(30))).tokens == expected_answer(prompt_of(30), 12));
  while (engine.step()) {
  }
  CHECK(finishes == 1);
}

// Submit, cancel, deadline, slow readers, short pages and failing passes in any order: after every operation the pages
// are conserved, every request ends exactly once, and whoever ends well has the right answer.
TEST_CASE("no page is lost and no answer bent in 10,000 random operations") {
  std::mt19937 random(20261123);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  ManualClock clock;
  auto faulty = std::make_shared<FaultyBackend>(scripted());
  EngineOptions options = options_with(faulty);
  TinyModelOptions other;
  other.layers = 3;
  options.models.push_back({"other", tiny_model(other)});
  options.clock = &clock;
  options.kv_bytes = 22 * 4096;
  options.max_running = 6;
  options.max_waiting = 10;
  options.prefill_chunk = 24;
  options.step_tokens = 60;
  options.prefix_cache = greedy_dual_size();
  Engine engine(std::move(options));
  struct Live {
    Stream stream;
    std::vector<Token> prompt, read;
    std::uint32_t most;
  };
  std::vector<Live> live;
  std::size_t submitted = 0, finished = 0, right = 0;
  const auto settle = [&](std::size_t i) {
    while (auto delta = live[i].stream.try_next())
      live[i].read.insert(live[i].read.end(), delta->tokens.begin(), delta->tokens.end());
    if (!live[i].stream.done()) return;
    const Finish end = *live[i].stream.finish();
    ++finished;
    CHECK(end.ledger.consistent());
    CHECK(end.usage.output == live[i].read.size());
    const std::vector<Token> expected = expected_answer(live[i].prompt, live[i].read.size());
    CHECK(live[i].read == expected);  // right as far as it goes, however it ended
    if (end.reason == FinishReason::length) right += live[i].read.size() == live[i].most;
    live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
  };
  for (int operation = 0; operation < 10'000; ++operation) {
    switch (below(24)) {
      case 0:
      case 1: {
        std::vector<Token> prompt = prompt_of(1 + below(120), below(3));
        if (below(2) == 0) prompt.back() = static_cast<Token>(below(256));
        Request request = request_for(prompt, 1 + below(40));
        request.model = below(3) == 0 ? "other" : "tiny";
        request.tenant = below(4) == 0 ? "t" : "";
        request.stream_capacity = 1 + below(8);
        if (below(8) == 0) request.deadline = clock.now() + std::chrono::milliseconds(below(200));
        const std::uint32_t most = request.max_tokens;
        live.push_back({engine.submit(std::move(request)), prompt, {}, most});
        ++submitted;
        break;
      }
      case 2:
        if (!live.empty() && below(4) == 0) live[below(static_cast<std::uint32_t>(live.size()))].stream.cancel();
        break;
      case 3:
        clock.advance(std::chrono::milliseconds(below(6)));
        break;
      case 4:
        if (below(12) == 0) faulty->fail_forward(1 + below(4), below(4) == 0 ? Errc::device : Errc::out_of_memory);
        if (below(20) == 0) faulty->fail_copy(1, Errc::out_of_memory);
        break;
      case 5:
        if (below(30) == 0) engine.clear_prefixes();
        break;
      case 6:
      case 7:
      case 8:
        for (std::size_t i = live.size(); i-- > 0;)
          if (below(3) > 0) settle(i);
        break;
      default:
        engine.step();
    }
    engine.check_integrity();
  }
  faulty->heal();
  while (!live.empty()) {
    engine.step();
    for (std::size_t i = live.size(); i-- > 0;) settle(i);
  }
  CHECK(finished == submitted);
  CHECK(right > 100);
  CHECK(engine.stats().preemptions > 0);
  engine.check_integrity();
  CHECK(engine.stats().kv_bytes_leased == 0);
}
