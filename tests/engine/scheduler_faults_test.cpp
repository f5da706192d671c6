// What a policy of the host's may throw, what a slow reader may hold up, and what short pages may stop: nobody else.
#include <frugal/draft/drafters.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>

#include "engine/fixture.hpp"
#include "engine/speculation_fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

/// Throws something that is not a std::exception where `where` says, for requests of type "bad".
struct Wild final : OutputPolicy, PrefixCachePolicy, SpeculationPolicy {
  explicit Wild(std::string w) : where(std::move(w)) {}
  std::string_view name() const override { return "wild"; }
  std::uint32_t budget(const RequestView&) override { return 0; }
  std::optional<Stop> after(const SequenceView& s) override {
    if (where == "after" && s.request.type == "bad" && s.output.size() == 2) throw 42;
    return std::nullopt;
  }
  double worth(const PrefixView& piece) const override {
    if (where == "worth" && piece.tokens > 60) throw std::string("sixty is enough");
    return piece.last_use_seconds;
  }
  DraftPlan propose(const SequenceView& s, const DraftRoom& room) override {
    if (where == "propose" && s.request.type == "bad") throw 42;
    return {room.drafters.front().index, 3};
  }
  void learn(const SequenceView& s, const DraftOutcome&) override {
    if (where == "learn" && s.request.type == "bad") throw "a literal";
  }
  void observe(const PassCost&) override {
    if (where == "observe") throw 42;
  }
  void finished(RequestId) override {
    if (where == "finished") throw 42;
  }
  std::string where;
};

struct WildDrafter final : Drafter {
  std::string_view name() const override { return "wild drafter"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    if (request.type == "bad") throw 42;
    return oracle.open(request);
  }
  Oracle oracle{0};
};

/// Is full() while it is shut.
struct Gate final : Sink {
  void on_delta(Delta delta) override { tokens.insert(tokens.end(), delta.tokens.begin(), delta.tokens.end()); }
  void on_finish(Finish f) override { finish = std::move(f); }
  bool full() const override { return shut; }
  std::vector<Token> tokens;
  std::optional<Finish> finish;
  bool shut = false;
};

/// The model says `line`, a byte a token, whatever it is asked.
std::shared_ptr<ScriptedBackend> says(std::string line, std::size_t prompt) {
  return scripted_by([=](std::span<const Token> tokens) {
    std::vector<float> logits(272, 0.0F);
    logits[static_cast<unsigned char>(line[(tokens.size() - prompt) % line.size()])] = 9.0F;
    return logits;
  });
}

/// Once the text holds ". ", cuts the newest token.
struct OneSentence final : OutputPolicy {
  std::string_view name() const override { return "one_sentence"; }
  std::uint32_t budget(const RequestView&) override { return 0; }
  std::optional<Stop> after(const SequenceView& s) override {
    if (s.text.find(". ") == std::string_view::npos) return std::nullopt;
    return Stop{.policy = "one_sentence", .trim_tokens = 1};
  }
};

}  // namespace

TEST_CASE("whatever type of exception a policy throws, it ends its own request, by name, and no other") {
  for (const std::string where : {"after", "propose", "learn", "open"}) {
    INFO(where);
    EngineOptions options = options_with(wordy_backend());
    const auto wild = std::make_shared<Wild>(where);
    options.output = std::shared_ptr<OutputPolicy>(wild, wild.get());
    options.speculation = wild;
    options.drafters = {std::make_shared<Oracle>(0)};
    if (where == "open") options.drafters = {std::make_shared<WildDrafter>()};
    Engine engine(std::move(options));
    Request bad = request_for(prompt_of(20), 30);
    bad.type = "bad";
    Stream stream = engine.submit(bad);
    CHECK(engine.run(request_for(prompt_of(30), 12)).finish.reason == FinishReason::length);
    const Answer answer = stream.wait();
    CHECK(answer.finish.reason == FinishReason::error);
    REQUIRE(answer.finish.error);
    CHECK(answer.finish.error->code() == Errc::policy);
    CHECK(answer.finish.error->message().find("wild") != std::string::npos);
    CHECK(answer.finish.ledger.consistent());
    engine.check_integrity();
    CHECK(engine.stats().kv_bytes_leased == 0);
  }
}

TEST_CASE("a policy that throws where it is not asked for a request costs no answer, and the log says so by name") {
  for (const std::string where : {"observe", "finished", "worth"}) {
    INFO(where);
    std::string logged;
    EngineOptions options = options_with(wordy_backend());
    const auto wild = std::make_shared<Wild>(where);
    options.prefix_cache = std::shared_ptr<PrefixCachePolicy>(wild, wild.get());
    options.speculation = wild;
    options.drafters = {std::make_shared<Oracle>(0)};
    options.log = [&](LogLevel, std::uint64_t, std::string_view line) { logged += std::string(line) + '\n'; };
    Engine engine(std::move(options));
    const Answer first = engine.run(request_for(prompt_of(100), 12)),
                 again = engine.run(request_for(prompt_of(100), 12));
    CHECK(first.finish.reason == FinishReason::length);
    if (where == "worth") {  // asked for the request's own match
      CHECK(again.finish.reason == FinishReason::error);
      REQUIRE(again.finish.error);
      CHECK(again.finish.error->message() == "prefix cache policy wild: sixty is enough");
    } else {
      CHECK(again.tokens == first.tokens);
    }
    CHECK(logged.find("wild") != std::string::npos);
    engine.check_integrity();
  }
}

/// Gives something up in its first pass.
struct GivesUp final : BackendWrapper {
  using BackendWrapper::BackendWrapper;
  PassReport wait(Ticket ticket) override {
    PassReport report = BackendWrapper::wait(ticket);
    if (!std::exchange(told, true)) report.gave_up = "no more graphs: the device says so";
    return report;
  }
  bool told = false;
};

TEST_CASE("what a backend gives up goes to the log with the backend's name, and costs no answer") {
  std::string logged;
  EngineOptions options = options_with(wordy_backend());
  options.backend = std::make_shared<GivesUp>(options.backend);
  options.log = [&](LogLevel, std::uint64_t, std::string_view line) { logged += std::string(line) + '\n'; };
  Engine engine(std::move(options));
  CHECK(engine.run(request_for(prompt_of(100), 12)).finish.reason == FinishReason::length);
  CHECK(logged.find("backend scripted: no more graphs: the device says so") != std::string::npos);
}

TEST_CASE("a stop text that does not occur changes nothing of an answer that a policy trims") {
  for (const char* stop : {"", ". Thanks", ".  ", " so. X"}) {
    INFO("stop \"" << stop << '"');
    EngineOptions options = options_with(says(" It is so. The next one", 10));
    options.output = std::make_shared<OneSentence>();
    Engine engine(std::move(options));
    Request request = request_for(prompt_of(10), 30);
    if (*stop != '\0') request.stop = {stop};
    const Answer answer = engine.run(request);
    CHECK(answer.finish.reason == FinishReason::capped);
    CHECK(answer.text == " It is so.");
    CHECK(answer.text == tiny_model()->tokenizer()->decode(answer.tokens));
  }
}

TEST_CASE("a loop that is cut keeps the text of every token that stays, held back for a stop text or not") {
  std::string line = "Well.";
  for (int i = 0; i < 12; ++i) line += " hi there";
  for (std::size_t phase = 0; phase < 9; ++phase) {
    EngineOptions options = options_with(says(line, 10));
    options.output = repeat_guard();
    Engine engine(std::move(options));
    Request request = request_for(prompt_of(10), 110);
    request.stop = {std::string(" hi there hi there").substr(phase, 5) + '!'};
    const Answer answer = engine.run(request);
    CHECK(answer.finish.reason == FinishReason::capped);
    CHECK(answer.text == tiny_model()->tokenizer()->decode(answer.tokens));
  }
}

TEST_CASE("a reader that is behind while its prompt is computed does not hold up others with the same prefix") {
  for (const bool cache : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.prefill_chunk = 32;
    if (cache) options.prefix_cache = lru();
    Engine engine(std::move(options));
    const auto first = std::make_shared<Gate>(), second = std::make_shared<Gate>();
    engine.start(request_for(prompt_of(400), 2), first);
    engine.step();
    first->shut = true;
    engine.step();
    engine.start(request_for(prompt_of(400), 2), second);
    for (int i = 0; i < 40 && !second->finish; ++i) engine.step();
    REQUIRE(second->finish);
    CHECK(second->tokens == expected_answer(prompt_of(400), 2));
    CHECK_FALSE(first->finish);
    first->shut = false;
    for (int i = 0; i < 40 && !first->finish; ++i) engine.step();
    CHECK(first->tokens == expected_answer(prompt_of(400), 2));
    engine.check_integrity();
  }
}

TEST_CASE("readers that are behind leave their places to others, keep their pages, and no more than max_running run") {
  for (const std::uint32_t places : {1U, 3U}) {
    std::size_t most = 0;
    struct Widest final : BackendWrapper {
      Widest(std::shared_ptr<Backend> inner, std::size_t& m) : BackendWrapper(std::move(inner)), most(m) {}
      void forward(const Batch& batch) override {
        most = std::max(most, batch.segments.size());
        BackendWrapper::forward(batch);
      }
      std::size_t& most;
    };
    EngineOptions options = options_with(std::make_shared<Widest>(scripted(), most));
    options.max_running = places;
    Engine engine(std::move(options));
    std::vector<std::shared_ptr<Gate>> slow;
    for (std::uint32_t i = 0; i < 2 * places; ++i) {
      slow.push_back(std::make_shared<Gate>());
      engine.start(request_for(prompt_of(20, i), 20), slow.back());
    }
    for (std::size_t i = 0; i < slow.size(); ++i) {
      engine.step();
      for (auto& gate : slow) gate->shut = !gate->tokens.empty();
    }
    for (const auto& gate : slow) CHECK(gate->tokens.size() == 1);  // all came in, one after the other
    const Answer answer = engine.run(request_for(prompt_of(30), 12));
    CHECK(answer.tokens == expected_answer(prompt_of(30), 12));
    CHECK(engine.stats().preemptions == 0);
    for (auto& gate : slow) gate->shut = false;
    while (engine.stats().running > 0) engine.step();
    for (std::uint32_t i = 0; i < slow.size(); ++i) {
      CHECK(slow[i]->tokens == expected_answer(prompt_of(20, i), 20));
      CHECK(slow[i]->finish->ledger.total().recomputed == 0);
    }
    CHECK(most == places);
    engine.check_integrity();
  }
}

// The prefix that a request shares in part pins a page while it is copied: the one page that the request lacks.
TEST_CASE("a request that fits the empty arena is served, whatever prefixes were left in it") {
  for (const bool speculation : {false, true}) {
    for (const std::size_t pages : {4U, 6U, 16U}) {
      EngineOptions options = options_with(scripted());
      options.kv_bytes = pages * 4096;
      options.prefix_cache = lru();
      if (speculation) {
        options.speculation = fixed_drafts(1'000'000);
        options.drafters = {prompt_lookup()};
      }
      Engine engine(std::move(options));
      for (const std::size_t prompt : {1U, 2U, 15U, 16U, 17U, 31U, 32U, 33U, 60U, 63U, 90U, 95U, 250U, 254U, 255U}) {
        for (const std::uint32_t most : {1U, 2U, 0U}) {
          INFO(pages << " pages, prompt of " << prompt << ", at most " << most);
          const auto sink = std::make_shared<Gate>();
          engine.start(request_for(prompt_of(prompt), most), sink);
          for (int i = 0; i < 600 && !sink->finish; ++i) engine.step();
          REQUIRE(sink->finish);
          if (sink->finish->reason == FinishReason::refused) continue;
          CHECK(sink->finish->reason == FinishReason::length);
          CHECK(sink->tokens == expected_answer(prompt_of(prompt), sink->tokens.size()));
          engine.check_integrity();
        }
      }
    }
  }
}
