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
  while (engine.step() == Progress::worked) {
  }
  CHECK(finishes == 1);
}

// Submit, cancel, deadline, slow readers, short pages and failing passes in any order: after every operation the pages
// are conserved, every request ends exactly once, and whoever ends well has the right answer.
namespace {

// Right two times in three, wrong or beyond the vocabulary else; throws for requests of type "bad".
struct Unsteady final : Drafter {
  std::string_view name() const override { return "unsteady"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    struct Open final : Drafting {
      void learn(std::span<const Token> accepted) override {
        tokens.insert(tokens.end(), accepted.begin(), accepted.end());
      }
      void propose(std::uint32_t most, std::vector<Token>& out) override {
        if (bad && tokens.size() % 5 == 0) throw std::runtime_error("lost the thread");
        for (const Token t : expected_answer(tokens, most)) out.push_back(tokens.size() % 3 == 0 ? t + 1 : t);
      }
      std::vector<Token> tokens;
      bool bad = false;
    };
    auto open = std::make_unique<Open>();
    open->bad = request.type == "bad";
    return open;
  }
};

// Any drafter and length, also some that are not at hand.
struct Random final : SpeculationPolicy {
  std::string_view name() const override { return "random"; }
  DraftPlan propose(const SequenceView&, const DraftRoom& room) override {
    const auto& drafter = room.drafters[random() % room.drafters.size()];
    return {drafter.index + (random() % 16 == 0), static_cast<std::uint32_t>(random() % 9)};
  }
  void learn(const SequenceView&, const DraftOutcome&) override {}
  std::mt19937 random{7};
};

void random_operations(bool speculation) {
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
  if (speculation) {
    options.kv_bytes = 30 * 4096;
    options.speculation = std::make_shared<Random>();
    options.drafters = {std::make_shared<Unsteady>()};
    TinyModelOptions small;
    small.layers = 1;
    options.draft_models = {{.target = "tiny", .model = tiny_model(small), .name = "a"},
                            {.target = "other", .model = tiny_model(small), .name = "b"}};
  }
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
        if (speculation) {
          if (below(3) == 0) request.draft.tokens = expected_answer(prompt, 20);
          if (below(8) == 0) request.max_draft = below(3);
          if (below(16) == 0) request.type = "bad";
        }
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
  CHECK((engine.stats().drafts.accepted > 200) == speculation);
  CHECK((engine.stats().drafts.wasted() > 200) == speculation);
}

}  // namespace

TEST_CASE("no page is lost and no answer bent in 10,000 random operations") { random_operations(false); }

TEST_CASE("no page is lost and no answer bent in 10,000 random operations with drafts of all kinds") {
  random_operations(true);
}

TEST_CASE("whichever pass of target or draft model fails, a draft costs no answer, and no page is lost") {
  for (const Errc code : {Errc::out_of_memory, Errc::device}) {
    std::uint64_t faults = 0;
    for (std::uint64_t k = 1; faults + 1 == k; ++k) {  // until the answers end before the fault comes
      auto faulty = std::make_shared<FaultyBackend>(scripted());
      EngineOptions options = options_with(faulty);
      options.prefix_cache = lru();
      options.prefill_chunk = 32;
      options.speculation = fixed_drafts(3);
      options.draft_models.push_back({.target = {}, .model = tiny_model(), .name = "draft"});
      Engine engine(std::move(options));
      faulty->fail_forward(k, code, k % 2 == 0 ? FaultyBackend::When::before : FaultyBackend::When::after);
      std::vector<Stream> streams;
      for (std::uint32_t i = 0; i < 3; ++i) streams.push_back(engine.submit(request_for(prompt_of(50 + i, i), 12)));
      while (engine.step() == Progress::worked) engine.check_integrity();
      for (std::uint32_t i = 0; i < 3; ++i) {
        const Answer answer = streams[i].wait();
        CHECK(answer.finish.ledger.consistent());
        const std::vector<Token> expected = expected_answer(prompt_of(50 + i, i), 12);
        if (answer.finish.reason == FinishReason::error) {
          CHECK(answer.finish.error->code() == code);
          CHECK(std::equal(answer.tokens.begin(), answer.tokens.end(), expected.begin()));
        } else {
          CHECK(answer.tokens == expected);
        }
      }
      faults += faulty->thrown();
      CHECK(engine.stats().kv_bytes_leased == 0);
      engine.check_integrity();
      faulty->heal();
      CHECK(engine.run(request_for(prompt_of(55), 6)).tokens == expected_answer(prompt_of(55), 6));
    }
    CHECK(faults > 8);
  }
}

TEST_CASE("cancelled or past its deadline while its drafts are verified, a request ends with what it has") {
  struct During final : BackendWrapper {
    using BackendWrapper::BackendWrapper;
    void forward(const Batch& batch) override {
      BackendWrapper::forward(batch);
      for (const Segment& s : batch.segments)
        if (s.draws.size() > 1 && then) std::exchange(then, nullptr)();
    }
    std::function<void()> then;
  };
  for (const bool cancel : {true, false}) {
    ManualClock clock;
    auto during = std::make_shared<During>(scripted());
    EngineOptions options = options_with(during);
    options.clock = &clock;
    options.prefix_cache = lru();
    options.speculation = fixed_drafts(5);
    options.draft_models.push_back({.target = {}, .model = tiny_model(), .name = "draft"});
    Engine engine(std::move(options));
    Request request = request_for(prompt_of(60, 1), 100);
    request.deadline = clock.now() + std::chrono::milliseconds(10);
    Stream doomed = engine.submit(request);
    Stream other = engine.submit(request_for(prompt_of(50)));
    during->then = [&] { cancel ? doomed.cancel() : clock.advance(std::chrono::milliseconds(11)); };
    while (engine.step() == Progress::worked) engine.check_integrity();
    const Answer answer = doomed.wait();
    CHECK(answer.finish.reason == (cancel ? FinishReason::cancelled : FinishReason::deadline));
    CHECK(answer.tokens.size() == 7);  // the prompt's, and the run that was under way
    CHECK(answer.tokens == expected_answer(prompt_of(60, 1), 7));
    CHECK(answer.finish.ledger.consistent());
    CHECK(other.wait().tokens == expected_answer(prompt_of(50), 12));
    CHECK(engine.stats().kv_bytes_leased == 0);
    engine.check_integrity();
  }
}

TEST_CASE("a speculation policy or drafter that throws ends its own request, by name, and no other") {
  struct Throwing final : SpeculationPolicy {
    explicit Throwing(int w) : when(w) {}
    std::string_view name() const override { return "throwing"; }
    DraftPlan propose(const SequenceView& s, const DraftRoom& room) override {
      if (when == 0 && s.request.type == "bad" && s.output.size() > 3) throw std::runtime_error("no idea");
      return {room.drafters.front().index, 3};
    }
    void learn(const SequenceView& s, const DraftOutcome&) override {
      if (when == 1 && s.request.type == "bad") throw std::runtime_error("cannot learn");
    }
    void observe(const PassCost&) override { throw std::runtime_error("heard nothing"); }
    void finished(RequestId) override { throw std::runtime_error("forgets nothing"); }
    int when;
  };
  for (const int when : {0, 1, 2}) {
    EngineOptions options = options_with(scripted());
    options.speculation = std::make_shared<Throwing>(when);
    options.drafters = {std::make_shared<Unsteady>()};
    Engine engine(std::move(options));
    Request bad = request_for(prompt_of(20), 30);
    if (when < 2) bad.type = "bad";
    Request worse = request_for(prompt_of(21), 30);
    worse.type = when == 2 ? "bad" : "";
    Stream stream = engine.submit(bad);
    Stream second = engine.submit(worse);
    CHECK(engine.run(request_for(prompt_of(30))).tokens == expected_answer(prompt_of(30), 12));
    const Answer a = stream.wait(), b = second.wait();
    const Answer& ended = when == 2 ? b : a;
    const Answer& fine = when == 2 ? a : b;
    CHECK(ended.finish.reason == FinishReason::error);
    REQUIRE(ended.finish.error);
    CHECK(ended.finish.error->code() == Errc::policy);
    CHECK(ended.finish.error->message().find(when == 2 ? "unsteady" : "throwing") != std::string::npos);
    CHECK(fine.finish.reason == FinishReason::length);
    CHECK(ended.finish.ledger.consistent());
    engine.check_integrity();
    CHECK(engine.stats().kv_bytes_leased == 0);
  }
}
