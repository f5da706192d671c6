// A constraint in the loop: obeyed by every draw of target and draft models, and no lever changes what it lets through.
#include <catch2/catch_test_macros.hpp>

#include <string>

#include "engine/automaton.hpp"
#include "engine/speculation_fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

std::vector<Answer> run_all(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Stream> streams;
  for (const Request& r : requests) streams.push_back(engine.submit(r));
  while (engine.step() == Progress::worked) engine.check_integrity();
  std::vector<Answer> answers;
  for (Stream& s : streams) answers.push_back(s.wait());
  return answers;
}

// Eight requests, each with another thing that looks at tokens one by one; the last one says what it likes.
std::vector<Request> constrained_requests(bool seeded, bool forced) {
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 8; ++i) {
    Request r = request_for(prompt_of(37 + 9 * i, i), 48);
    const std::size_t records = 5 + i;
    r.constraint = std::make_shared<AutomatonSource>(
        AutomatonOptions{.least = i == 4 ? 2 : records, .most = records, .tells_forced = forced});
    if (seeded) {
      r.sampling.temperature = 0.7F;
      r.sampling.seed = 1000 + i;
    }
    requests.push_back(std::move(r));
  }
  requests[1].stop = {"}\n{c", "}\n{e", "}\n{b"};
  requests[2].type = "capped";
  requests[3].sampling.repetition_penalty = 1.2F;
  requests[3].sampling.frequency_penalty = 0.3F;
  requests[4].sampling.logit_bias = {{eos, 60.0F}};  // ends as soon as it may
  requests[4].logprobs = 3;
  requests[5].sampling.top_k = 3;
  requests[5].scores = true;
  requests[6].max_tokens = 17;
  requests[7].constraint = nullptr;
  return requests;
}

EngineOptions constrained_options(std::shared_ptr<Backend> backend) {
  EngineOptions options = options_with(std::move(backend));
  options.kv_bytes = std::size_t{3} << 20;
  options.prefill_chunk = 48;
  options.prefix_cache = lru();
  options.output = for_type("capped", max_tokens(19));
  return options;
}

std::vector<SpeculationSetup> constrained_setups() {
  std::vector<SpeculationSetup> setups = speculation_setups();
  setups.push_back({"no drafts", [](EngineOptions&) {}});
  setups.push_back({"foreign draft model", [](EngineOptions& o) {
                      o.speculation = fixed_drafts(4);
                      o.draft_models.push_back(foreign_draft_model());
                    }});
  return setups;
}

/// Sees every draw on its way to the backend.
class Witness final : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  void forward(const Batch& batch) override {
    for (const Segment& s : batch.segments) look(batch.model, s);
    BackendWrapper::forward(batch);
  }
  std::size_t masked[2] = {0, 0}, free[2] = {0, 0};  // by model

 private:
  void look(ModelId model, const Segment& s) {
    for (const DrawSpec& d : s.draws) ++(d.mask.empty() ? free : masked)[model.index()];
  }
};

}  // namespace

TEST_CASE(
    "no answer under a constraint changes by forced tokens, drafts of any kind, prefix hits, preemption or batch") {
  std::uint64_t preempted = 0, forced_tokens = 0;
  for (const bool seeded : {false, true}) {
    std::vector<Answer> plain;
    {
      Engine engine(constrained_options(wordy_backend()));
      plain = run_all(engine, constrained_requests(seeded, false));
      for (std::size_t i = 0; i < 7; ++i) {
        CHECK(is_records(plain[i].tokens, eos));
        CHECK(plain[i].finish.ledger.total().forced == 0);
      }
      CHECK(plain[0].finish.reason == FinishReason::stop);
      CHECK(plain[0].tokens.size() == 25);  // five records, and nothing may follow
      CHECK(plain[2].finish.reason == FinishReason::capped);
      CHECK(plain[4].tokens.size() == 11);  // two records, and the end token
      CHECK(plain[6].finish.reason == FinishReason::length);
      CHECK_FALSE(is_records(plain[7].tokens, eos));
    }
    for (const bool forced : {false, true}) {
      std::vector<Request> requests = constrained_requests(seeded, forced);
      for (std::size_t i = 0; i < requests.size(); ++i) {  // right to begin with, then not
        requests[i].draft.tokens = plain[i].tokens;
        if (requests[i].draft.tokens.size() > 9) requests[i].draft.tokens[9] = 'z';
      }
      for (const SpeculationSetup& setup : constrained_setups()) {
        for (const std::string state : {"cold", "prefix hit", "preempted"}) {
          for (const std::size_t batch : {std::size_t{1}, requests.size()}) {
            INFO(setup.name << ", " << state << ", batch " << batch << (seeded ? ", seeded" : ", greedy")
                            << (forced ? ", forced" : ""));
            for (std::size_t first = 0; first < requests.size(); first += batch) {
              const auto from = requests.begin() + static_cast<std::ptrdiff_t>(first);
              std::vector<Request> now(from, from + static_cast<std::ptrdiff_t>(batch));
              if (state == "preempted") now.insert(now.begin(), request_for(prompt_of(150, 99), 300));
              const auto backend = wordy_backend();
              EngineOptions options = constrained_options(backend);
              setup.apply(options);
              if (state == "preempted") options.kv_bytes = (batch == 1 ? 22 : 36) * 4096;
              Engine engine(std::move(options));
              if (state == "prefix hit") run_all(engine, now);
              const std::vector<Answer> answers = run_all(engine, now);
              for (std::size_t i = 0; i < batch; ++i) {
                const Answer& answer = answers[state == "preempted" ? i + 1 : i];
                check_same(answer, plain[first + i]);
                forced_tokens += answer.finish.ledger.total().forced;
                if (!forced) CHECK(answer.finish.ledger.total().forced == 0);
              }
              preempted += engine.stats().preemptions;
              CHECK(backend->counts().bad_reads == 0);
              CHECK(engine.stats().kv_bytes_leased == 0);
            }
          }
        }
      }
    }
  }
  CHECK(preempted > 50);
  CHECK(forced_tokens > 1000);
}

TEST_CASE("forced tokens save passes without a speculation policy, are owned by forced, and may be switched off") {
  Engine engine(options_with(wordy_backend()));
  Request request = request_for(prompt_of(20), 60);
  request.constraint = std::make_shared<AutomatonSource>();
  const Answer answer = engine.run(request);
  const TokenLedger tokens = answer.finish.ledger.total();
  CHECK(answer.finish.reason == FinishReason::stop);
  CHECK(answer.tokens.size() == 30);
  CHECK(tokens.forced == 6 + 5 + 1);  // each "}", each line end but the last, "{" where the answer may not end
  CHECK(tokens.accepted == 0);
  CHECK(tokens.passes == 30 - 12);
  CHECK(answer.finish.ledger.consistent());
  request.max_draft = 0;
  const Answer undrafted = engine.run(request);
  CHECK(undrafted.tokens == answer.tokens);
  CHECK(undrafted.finish.ledger.total().forced == 0);
  CHECK(undrafted.finish.ledger.total().passes == 30);
}

TEST_CASE("every draw of a constrained answer has a mask, in target and draft model, and no other has") {
  for (const bool sampled : {false, true}) {
    const auto witness = std::make_shared<Witness>(wordy_backend());
    EngineOptions options = options_with(witness);
    options.speculation = fixed_drafts(3);
    options.draft_models.push_back(draft_model_of(2, sampled));
    Engine engine(std::move(options));
    const std::size_t trials = witness->free[0];
    Request request = request_for(prompt_of(20), 60);
    request.sampling.temperature = 0.9F;
    request.constraint =
        std::make_shared<AutomatonSource>(AutomatonOptions{.least = 12, .most = 12, .tells_forced = false});
    const Answer answer = engine.run(request);
    CHECK(is_records(answer.tokens, eos));
    CHECK(answer.finish.ledger.drafts().accepted > 10);
    CHECK(witness->free[0] == trials);
    CHECK(witness->masked[0] > 0);
    CHECK((witness->masked[1] > 0) == !sampled);  // sampled rows hand out logits, and are masked by the engine
    const std::size_t masked = witness->masked[0];
    request.constraint = nullptr;
    engine.run(request);
    CHECK(witness->masked[0] == masked);
  }
}

TEST_CASE("a constraint that cannot be opened refuses its request, and says why") {
  struct Broken final : ConstraintSource {
    explicit Broken(int k) : kind(k) {}
    std::string_view name() const override { return "broken"; }
    expected<std::unique_ptr<Constraint>> open(const Tokenizer&) const override {
      if (kind == 0) return unexpected(Errc::invalid_argument, "no such field");
      if (kind == 1) throw 42;
      return std::unique_ptr<Constraint>();
    }
    int kind;
  };
  Engine engine(options_with(scripted()));
  for (const int kind : {0, 1, 2}) {
    Request request = request_for(prompt_of(20));
    request.constraint = std::make_shared<Broken>(kind);
    const Answer answer = engine.run(request);
    CHECK(answer.finish.reason == FinishReason::refused);
    REQUIRE(answer.finish.error);
    CHECK(answer.finish.error->code() == (kind == 0 ? Errc::invalid_argument : Errc::policy));
    CHECK(answer.finish.error->message().find(kind == 0 ? "no such field" : "constraint broken") != std::string::npos);
  }
}

TEST_CASE("a constraint that throws or allows nothing ends its own answer, by name, and no other") {
  for (const bool drafts : {false, true}) {
    for (const bool dead : {false, true}) {
      EngineOptions options = options_with(wordy_backend());
      if (drafts) {
        options.speculation = fixed_drafts(4);
        options.draft_models.push_back(draft_model_of());
      }
      Engine engine(std::move(options));
      Request bad = request_for(prompt_of(20), 60);
      AutomatonOptions automaton;
      (dead ? automaton.dead_after : automaton.throws_after) = 12;
      bad.constraint = std::make_shared<AutomatonSource>(automaton);
      Stream first = engine.submit(bad), second = engine.submit(request_for(prompt_of(30), 20));
      const Answer broken = first.wait(), good = second.wait();
      CHECK(broken.finish.reason == FinishReason::error);
      REQUIRE(broken.finish.error);
      CHECK(broken.finish.error->code() == Errc::policy);
      CHECK(broken.finish.error->message().starts_with("constraint records: "));
      CHECK((broken.finish.error->message().find("no token may follow") != std::string::npos) == dead);
      CHECK(is_records(broken.tokens, eos));
      CHECK(broken.finish.ledger.consistent());
      CHECK(good.finish.reason == FinishReason::length);
      engine.check_integrity();
      CHECK(engine.stats().kv_bytes_leased == 0);
    }
  }
}

TEST_CASE("close_when_short ends every document within its cap, whatever drafts, batch, prefix hits or preemption") {
  const auto requests = [](bool seeded) {
    std::vector<Request> all = constrained_requests(seeded, true);
    for (std::uint32_t i = 0; i < 7; ++i) {
      all[i].constraint = std::make_shared<AutomatonSource>(AutomatonOptions{.least = 2, .most = 40});
      all[i].close_when_short = true;
      all[i].max_tokens = 10 + 3 * i;
      all[i].stop.clear(), all[i].type.clear(), all[i].sampling.logit_bias = {{eos, -60.0F}};
    }
    return all;
  };
  std::uint64_t closing = 0, preempted = 0;
  for (const bool seeded : {false, true}) {
    Engine alone(constrained_options(wordy_backend()));
    std::vector<Answer> plain;
    for (const Request& r : requests(seeded)) plain.push_back(run_all(alone, {r}).front());
    for (std::size_t i = 0; i < 7; ++i) {
      CAPTURE(i, plain[i].text);
      REQUIRE(plain[i].finish.document);
      CHECK(plain[i].finish.document->complete);
      CHECK(plain[i].tokens.size() <= 10 + 3 * i);
      if (plain[i].finish.reason != FinishReason::stop) CHECK(plain[i].tokens.size() >= 10 + 3 * i - 4);
      closing += plain[i].finish.document->closing_tokens;
    }
    CHECK_FALSE(plain[7].finish.document);
    for (const SpeculationSetup& setup : constrained_setups()) {
      for (const bool tight : {false, true}) {
        EngineOptions options = constrained_options(wordy_backend());
        setup.apply(options);
        if (tight) options.kv_bytes = std::size_t{36} * 4096;
        Engine engine(std::move(options));
        for (int turn = 0; turn < 2; ++turn) {
          std::vector<Request> now = requests(seeded);
          if (tight) now.push_back(request_for(prompt_of(150, 99), 300)), now.back().priority = 1;
          const std::vector<Answer> answers = run_all(engine, now);
          for (std::size_t i = 0; i < plain.size(); ++i) {
            CAPTURE(setup.name, tight, i, answers[i].text, plain[i].text);
            REQUIRE(answers[i].tokens == plain[i].tokens);
            CHECK(answers[i].finish.reason == plain[i].finish.reason);
            CHECK(answers[i].finish.ledger.consistent());
          }
        }
        preempted += engine.stats().preemptions;
      }
    }
  }
  CHECK(closing > 0);
  CHECK(preempted > 0);
}

TEST_CASE("an answer that is cut says that its document is not complete") {
  Engine engine(constrained_options(wordy_backend()));
  Request r = request_for(prompt_of(40), 12);
  r.constraint = std::make_shared<AutomatonSource>(AutomatonOptions{.least = 3, .most = 3});
  const Answer cut = run_all(engine, {r}).front();
  CHECK(cut.finish.reason == FinishReason::length);
  REQUIRE(cut.finish.document);
  CHECK_FALSE(cut.finish.document->complete);
  r.max_tokens = 15;
  const Answer whole = run_all(engine, {r}).front();
  CHECK(whole.finish.reason == FinishReason::stop);
  CHECK(whole.finish.document->complete);
  CHECK(whole.finish.document->closing_tokens == 0);
  r.stop = {"}"};
  const Answer stopped = run_all(engine, {r}).front();
  CHECK(stopped.finish.reason == FinishReason::stop);
  CHECK_FALSE(stopped.finish.document->complete);
}

TEST_CASE("close_when_short is refused by name where it cannot be kept") {
  Engine engine(constrained_options(wordy_backend()));
  Request r = request_for(prompt_of(40), 9);
  r.close_when_short = true;
  const auto why = [&] {
    const Answer a = run_all(engine, {r}).front();
    CHECK(a.finish.reason == FinishReason::refused);
    return a.finish.error ? a.finish.error->message() : std::string();
  };
  CHECK(why().find("close_when_short without a constraint") != std::string::npos);
  r.constraint = std::make_shared<AutomatonSource>(AutomatonOptions{});
  CHECK(why().find("has 10 tokens, the answer may have 9") != std::string::npos);
  r.max_tokens = 90;
  r.constraint = std::make_shared<AutomatonSource>(AutomatonOptions{.tells_ways = false});
  CHECK(why().find("knows no way to end its documents") != std::string::npos);
}
