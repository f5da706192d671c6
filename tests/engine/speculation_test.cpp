#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <cmath>
#include <stdexcept>

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

// Eight requests, each with another thing that looks at tokens one by one.
std::vector<Request> mixed_requests(bool seeded) {
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 8; ++i) {
    Request r = request_for(prompt_of(37 + 9 * i, i), 48);
    r.stream_capacity = 64;
    if (seeded) r.sampling.temperature = 0.7F, r.sampling.seed = 1000 + i;
    requests.push_back(std::move(r));
  }
  requests[1].stop = {"ab", "gc", "kk", "d"};
  requests[2].type = "capped";
  requests[3].sampling.repetition_penalty = 1.2F;
  requests[3].sampling.presence_penalty = 0.4F;
  requests[3].sampling.frequency_penalty = 0.3F;
  requests[4].sampling.logit_bias = {{'c', 1.0F}, {eos, 34.0F}};
  requests[4].logprobs = 3;
  requests[5].sampling.top_k = 3;
  requests[5].scores = true;
  requests[6].type = "looping";
  requests[7].sampling.top_p = 0.8F;
  requests[7].sampling.min_p = 0.05F;
  requests[7].stop = {"never in it"};
  return requests;
}

EngineOptions mixed_options(std::shared_ptr<Backend> backend) {
  EngineOptions options = options_with(std::move(backend));
  options.kv_bytes = std::size_t{3} << 20;
  options.prefill_chunk = 48;
  options.prefix_cache = lru();
  options.output = first_of({for_type("capped", max_tokens(19)),
                             for_type("looping", repeat_guard({.max_period = 8, .repeats = 2, .min_tokens = 4}))});
  return options;
}

std::size_t pages_of_prompts(const std::vector<Request>& requests) {
  std::size_t pages = 0;
  for (const Request& r : requests) pages += std::get<TokenPrompt>(r.prompt).tokens.size() / 16 + 1;
  return pages;
}

std::vector<Answer> plain_answers(const std::vector<Request>& requests) {
  Engine engine(mixed_options(wordy_backend()));
  return run_all(engine, requests);
}

// As a backend that draws on a device: the engine leaves distributions where they were made.
class DrawsOnDevice final : public BackendWrapper {
 public:
  explicit DrawsOnDevice(std::shared_ptr<Backend> inner) : BackendWrapper(std::move(inner)) {}
  BackendTraits traits() const override {
    BackendTraits t = BackendWrapper::traits();
    t.device_draws = true;
    return t;
  }
};

double acceptance(const DraftLedger& d) { return static_cast<double>(d.accepted) / static_cast<double>(d.verified); }

}  // namespace

TEST_CASE("no answer changes by speculation: drafters, prefix hits, preemption, batches, and all that reads tokens") {
  std::uint64_t preempted_alone = 0, preempted_together = 0;
  for (const bool seeded : {false, true}) {
    std::vector<Request> requests = mixed_requests(seeded);
    const std::vector<Answer> plain = plain_answers(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {  // right to begin with, then not
      requests[i].draft.tokens = plain[i].tokens;
      if (requests[i].draft.tokens.size() > 9) requests[i].draft.tokens[9] = 'z';
    }
    for (const SpeculationSetup& setup : speculation_setups()) {
      for (const char* state : {"cold", "prefix hit", "preempted"}) {
        for (const std::size_t batch : {std::size_t{1}, requests.size()}) {
          INFO(setup.name << ", " << state << ", batch " << batch << (seeded ? ", seeded" : ", greedy"));
          const bool preempted = std::string(state) == "preempted";
          std::uint64_t accepted = 0, preemptions = 0;
          for (std::size_t first = 0; first < requests.size(); first += batch) {
            const auto from = requests.begin() + static_cast<std::ptrdiff_t>(first);
            std::vector<Request> now(from, from + static_cast<std::ptrdiff_t>(batch));
            if (preempted) now.insert(now.begin(), request_for(prompt_of(150, 99), 300));  // older, and growing
            const auto backend = wordy_backend();
            EngineOptions options = mixed_options(backend);
            setup.apply(options);
            if (preempted) options.kv_bytes = (batch == 1 ? pages_of_prompts(now) + 1 : 36) * 4096;
            Engine engine(std::move(options));
            if (std::string(state) == "prefix hit") run_all(engine, now);
            const std::vector<Answer> answers = run_all(engine, now);
            for (std::size_t i = 0; i < batch; ++i) {
              const Answer& answer = answers[preempted ? i + 1 : i];
              check_same(answer, plain[first + i]);
              accepted += answer.finish.ledger.drafts().accepted;
            }
            preemptions += engine.stats().preemptions;
            CHECK(backend->counts().bad_reads == 0);
            CHECK(engine.stats().kv_bytes_leased == 0);
            engine.check_integrity();
          }
          CHECK(accepted > 0);  // of the text that each request brings, if of nothing else
          if (!preempted) CHECK(preemptions == 0);
          (batch == 1 ? preempted_alone : preempted_together) += preemptions;
        }
      }
    }
  }
  CHECK(preempted_alone > 50);  // nearly every run: good drafts end some answers before pages run short
  CHECK(preempted_together > 10);
}

// A draft's miss must not cost the target's hit, nor the target's hit the draft's knowledge of the prompt: the fault by
// which acceptance falls on every repeated prompt while the answers stay right.
TEST_CASE("a draft model's acceptance is the same after a prefix hit as cold") {
  for (const std::uint32_t prompt : {40U, 90U, 200U}) {
    const auto backend = wordy_backend();
    EngineOptions options = options_with(backend);
    options.prefix_cache = lru();
    options.speculation = fixed_drafts(4);
    options.draft_models.push_back(draft_model_of());
    Engine engine(std::move(options));
    const Request request = request_for(prompt_of(prompt), 60);
    const Answer cold = engine.run(request);
    const Answer warm = engine.run(request);
    Request elsewhere = request;
    elsewhere.max_draft = 0;
    engine.clear_prefixes();
    engine.run(elsewhere);  // now the target alone has the prompt
    const Answer half = engine.run(request);
    CHECK(cold.finish.usage.cached_read == 0);
    CHECK(warm.finish.usage.cached_read >= prompt / 16 * 16 - 16);
    CHECK(half.finish.usage.cached_read == warm.finish.usage.cached_read);
    const DraftLedger a = cold.finish.ledger.drafts(), b = warm.finish.ledger.drafts(), c = half.finish.ledger.drafts();
    CHECK(a.accepted > 10);
    CHECK(a.wasted() > 0);
    CHECK(b.drafted == c.drafted);
    CHECK(b.accepted == c.accepted);
    CHECK(b.accepted_at == c.accepted_at);
    // A prompt that was found is a decode row from the first token on, so runs begin one token earlier than cold.
    CHECK(std::abs(acceptance(b) - acceptance(a)) < 0.04);
    CHECK(b.catch_up < a.catch_up);  // its own pages were found
    CHECK(c.catch_up >= prompt - 1);
    CHECK(warm.tokens == cold.tokens);
    CHECK(half.tokens == cold.tokens);
    CHECK(backend->counts().bad_reads == 0);
  }
}

TEST_CASE("a draft model that is the target is always right, and costs one row a draft and one to catch up") {
  const auto backend = wordy_backend(true);
  EngineOptions options = options_with(backend);
  options.speculation = fixed_drafts(4);
  options.draft_models.push_back(draft_model_of());
  Engine engine(std::move(options));
  const std::uint64_t before = backend->counts().forwards;
  const Answer answer = engine.run(request_for(prompt_of(30), 51));
  const DraftLedger drafts = answer.finish.ledger.drafts();
  CHECK(drafts.drafted == 40);  // one token by prefill, then ten runs of 4 and the target's own
  CHECK(drafts.accepted == 40);
  CHECK(drafts.passes == 10);
  CHECK(drafts.verified_at == std::vector<std::uint64_t>(4, 10));
  CHECK(drafts.accepted_at == std::vector<std::uint64_t>(4, 10));
  CHECK(drafts.catch_up == 30 + 9);  // the prompt, and after each full run the draft that was never fed
  CHECK(backend->counts().forwards - before == 1 + 10 + 40);
  const TokenLedger tokens = answer.finish.ledger.total();
  CHECK(tokens.decoded == 11);
  CHECK(tokens.accepted == 40);
  CHECK(tokens.wasted_drafts == 0);
  CHECK(tokens.passes == 11);
  CHECK(tokens.rows == 30 + 50);
}

TEST_CASE("what is off costs nothing: no policy, no drafter for the request, or a request that says so") {
  const std::vector<Token> prompt = prompt_of(40);
  const auto forwards = [&](const std::function<void(EngineOptions&, Request&)>& set) {
    const auto backend = wordy_backend();
    EngineOptions options = options_with(backend);
    Request request = request_for(prompt, 20);
    set(options, request);
    Engine engine(std::move(options));
    const std::uint64_t before = backend->counts().rows;
    const Answer answer = engine.run(request);
    CHECK(answer.finish.ledger.drafts() == DraftLedger{});
    return backend->counts().rows - before;
  };
  const std::uint64_t plain = forwards([](EngineOptions&, Request&) {});
  CHECK(forwards([](EngineOptions& o, Request&) { o.draft_models.push_back(draft_model_of()); }) == plain);
  CHECK(forwards([](EngineOptions& o, Request&) { o.speculation = fixed_drafts(4); }) == plain);
  CHECK(forwards([](EngineOptions& o, Request& r) {
          o.speculation = fixed_drafts(4), o.draft_models.push_back(draft_model_of()), r.max_draft = 0;
        }) == plain);
}

TEST_CASE("a request may say how much is drafted for it, and bring the draft itself") {
  EngineOptions options = options_with(wordy_backend());
  options.speculation = fixed_drafts(30);
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(25), 40);
  const Answer plain = engine.run(request);
  CHECK(plain.finish.ledger.drafts() == DraftLedger{});
  request.draft.text = plain.text;
  const Answer drafted = engine.run(request);
  check_same(drafted, plain);
  CHECK(drafted.finish.ledger.drafts().accepted >= 36);
  CHECK(drafted.finish.ledger.total().passes <= 4);
  request.max_draft = 3;
  const DraftLedger limited = engine.run(request).finish.ledger.drafts();
  CHECK(limited.verified_at.size() == 3);
  request.draft = {.text = {}, .tokens = plain.tokens, .vocabulary = plain.finish.vocabulary};
  CHECK(engine.run(request).finish.ledger.drafts().accepted > 20);
  request.draft.vocabulary ^= 1;  // another model's tokens mean nothing here
  CHECK(engine.run(request).finish.ledger.drafts() == DraftLedger{});
  request.draft = {.text = {}, .tokens = {5, 9999}};
  const Answer refused = engine.run(request);
  CHECK(refused.finish.reason == FinishReason::refused);
  CHECK(refused.finish.error->message().find("9999") != std::string::npos);
}

// The model knows all prompts but their last tokens, the draft model none, and a pass has room for one whole prompt and
// most of another: the first draws are long forgotten when the last of the sequences has its draft.
TEST_CASE("drafts that many others keep waiting until the backend has forgotten their draws are not verified") {
  constexpr std::uint32_t many = 140;
  EngineOptions options = options_with(std::make_shared<DrawsOnDevice>(wordy_backend()));
  options.speculation = fixed_drafts(1);
  options.draft_models.push_back(draft_model_of(2, true));
  options.max_running = many;
  options.prefill_chunk = 145, options.step_tokens = 289;
  options.kv_bytes = std::size_t{128} << 20;
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < many; ++i) {
    std::vector<Token> prompt = prompt_of(145, i);
    prompt[0] = static_cast<Token>('a' + i % 12), prompt[1] = static_cast<Token>('a' + i / 12);  // nothing is shared
    requests.push_back(request_for(std::move(prompt), 4));
    requests.back().sampling.temperature = 1.0F;
    requests.back().max_draft = 0;
  }
  (void)run_all(engine, requests);
  for (Request& r : requests) r.max_draft = std::nullopt;
  for (const Answer& answer : run_all(engine, requests)) {
    CAPTURE(answer.finish.error ? answer.finish.error->what() : "");
    REQUIRE_FALSE(answer.finish.error);
    CHECK(answer.tokens.size() == 4);
  }
}

// The tiny model's head has 272 rows, its tokenizer 259 tokens, the foreign one's 260; here the padding looks best
// everywhere, to target and draft model alike.
TEST_CASE("the padding of a wide head is never drawn and has no share in log-probabilities, drafted or not") {
  const auto padded = [](std::span<const Token> tokens, std::span<float> logits) {
    const std::vector<float> wanted = wordy_logits(tokens);
    std::copy(wanted.begin(), wanted.end(), logits.begin());
    std::fill(logits.begin() + 260, logits.end(), 40.0F);
  };
  for (const bool bridged : {false, true}) {
    for (const bool sampled : {false, true}) {
      for (const float temperature : {0.0F, 1.0F}) {
        const auto backend =
            std::make_shared<ScriptedBackend>([&](ModelId, auto tokens, auto logits) { padded(tokens, logits); });
        EngineOptions options = options_with(backend);
        options.speculation = fixed_drafts(4);
        options.draft_models.push_back(bridged ? foreign_draft_model(sampled) : draft_model_of(2, sampled));
        Engine engine(std::move(options));
        Request request = request_for(prompt_of(30), 60);
        request.sampling.temperature = temperature;
        request.logprobs = 272;
        CHECK(engine.run(request).finish.reason == FinishReason::refused);  // there are only 259 to report
        request.logprobs = 259;
        const Answer drafted = engine.run(request);
        CHECK(drafted.finish.ledger.drafts().accepted > 5);
        request.max_draft = 0;
        const Answer plain = engine.run(request);
        for (const Answer* answer : {&drafted, &plain}) {
          REQUIRE(answer->scores.size() == 60);
          for (const TokenScore& score : answer->scores) {
            CHECK(score.token < 259);
            double mass = 0;
            for (const TokenLogprob& t : score.top) mass += std::exp(static_cast<double>(t.logprob));
            CHECK(std::abs(mass - 1) < 1e-5);
          }
        }
        if (temperature == 0) check_same(drafted, plain);
      }
    }
  }
  Engine engine(options_with(wordy_backend()));
  const Answer refused = engine.run(request_for({5, 260}));  // nothing can be made of it either
  CHECK(refused.finish.reason == FinishReason::refused);
  CHECK(refused.finish.error->message() == "the prompt holds token 260, the vocabulary has 259");
}

TEST_CASE("forced tokens go before everything else, without the policy, and have their own owner in the ledger") {
  struct Forced final : Drafter {
    std::string_view name() const override { return "grammar"; }
    bool forced() const override { return true; }
    std::unique_ptr<Drafting> open(const RequestView& r) override { return oracle.open(r); }
    Oracle oracle{0, 2};
  };
  struct Never final : SpeculationPolicy {
    std::string_view name() const override { return "never"; }
    DraftPlan propose(const SequenceView&, const DraftRoom&) override { return {}; }
    void learn(const SequenceView&, const DraftOutcome&) override { FAIL("nothing was planned"); }
  };
  EngineOptions options = options_with(wordy_backend());
  options.speculation = std::make_shared<Never>();
  options.drafters = {std::make_shared<Oracle>(0), std::make_shared<Forced>()};
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(25), 40);
  request.max_draft = 5;
  const Answer answer = engine.run(request);
  const TokenLedger tokens = answer.finish.ledger.total();
  CHECK(tokens.forced > 20);
  CHECK(tokens.accepted == 0);
  CHECK(tokens.forced + tokens.decoded == 40);
  CHECK(answer.finish.ledger.consistent());
}

TEST_CASE("a policy hears of every pass it may learn from, and of each chain once") {
  struct Listening final : SpeculationPolicy {
    std::string_view name() const override { return "listening"; }
    DraftPlan propose(const SequenceView&, const DraftRoom& room) override {
      rooms.push_back(room.most_tokens);
      return {room.drafters.front().index, 3};
    }
    void learn(const SequenceView& s, const DraftOutcome& o) override {
      outcomes.push_back(o);
      CHECK(s.output.size() > o.accepted);
    }
    void observe(const PassCost& pass) override { passes.push_back(pass); }
    void finished(RequestId) override { ++ended; }
    std::vector<std::uint32_t> rooms;
    std::vector<DraftOutcome> outcomes;
    std::vector<PassCost> passes;
    int ended = 0;
  };
  const auto policy = std::make_shared<Listening>();
  EngineOptions options = options_with(wordy_backend());
  options.speculation = policy;
  options.draft_models.push_back(draft_model_of());
  Engine engine(std::move(options));
  CHECK(policy->passes.size() == 9);  // trials: eight lengths of the target's, one of the draft's
  policy->passes.clear();
  const Answer answer = engine.run(request_for(prompt_of(25), 20));
  const DraftLedger drafts = answer.finish.ledger.drafts();
  CHECK(policy->ended == 1);
  CHECK(policy->outcomes.size() == drafts.passes);
  std::uint64_t accepted = 0, target_rows = 0;
  for (const DraftOutcome& o : policy->outcomes) {
    accepted += o.accepted;
    CHECK(o.drafted <= o.plan.tokens);
  }
  CHECK(accepted == drafts.accepted);
  for (const PassCost& p : policy->passes) target_rows += p.draft ? 0 : p.rows;
  CHECK(target_rows == answer.finish.ledger.total().rows - 25);
  for (std::size_t i = 1; i < policy->rooms.size(); ++i) CHECK(policy->rooms[i] < policy->rooms[i - 1]);
  CHECK(policy->rooms.front() == 18);  // a run ends in a token of the target's
}

TEST_CASE("a reader's capacity and its pauses hold with runs of several tokens") {
  EngineOptions options = options_with(wordy_backend());
  options.speculation = fixed_drafts(6);
  options.drafters = {std::make_shared<Oracle>(5)};
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(20), 60);
  const Answer plain = engine.run(request);
  request.stream_capacity = 2;
  Stream stream = engine.submit(request);
  while (engine.step() == Progress::worked) engine.check_integrity();
  std::vector<Token> read;
  std::size_t deltas = 0;
  while (const auto delta = stream.try_next()) {
    ++deltas;
    read.insert(read.end(), delta->tokens.begin(), delta->tokens.end());
  }
  CHECK(deltas == 2);
  const Answer rest = stream.wait();
  read.insert(read.end(), rest.tokens.begin(), rest.tokens.end());
  CHECK(read == plain.tokens);
}
