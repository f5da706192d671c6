// Request::deferral in an engine: zero is lossless, leave lets drafts stand, and backends without the rule refuse it.
#include <catch2/catch_test_macros.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>

#include "engine/speculation_fixture.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

// A backend whose rule is obeyed: the scripted one draws by frugal::draw.
class Deferring final : public BackendWrapper {
 public:
  explicit Deferring(std::shared_ptr<Backend> inner) : BackendWrapper(std::move(inner)) {}
  BackendTraits traits() const override {
    BackendTraits t = BackendWrapper::traits();
    t.deferral = true;
    return t;
  }
};

std::unique_ptr<Engine> engine_with(const SpeculationSetup& setup) {
  EngineOptions options = options_with(std::make_shared<Deferring>(wordy_backend()));
  setup.apply(options);
  return std::make_unique<Engine>(std::move(options));
}

}  // namespace

TEST_CASE("with alpha 0 every drafter leaves the answer as it is, greedy and drawn, under either rule") {
  for (const SpeculationSetup& setup : speculation_setups()) {
    CAPTURE(setup.name);
    const std::unique_ptr<Engine> engine = engine_with(setup);
    for (const float temperature : {0.0F, 0.9F}) {
      Request request = request_for(prompt_of(25), 40);
      request.sampling.temperature = temperature;
      request.sampling.seed = 11;
      request.logprobs = 2;
      Request plain = request;
      plain.max_draft = 0;
      const Answer wanted = engine->run(plain);
      for (const DeferralRule rule : {DeferralRule::token, DeferralRule::opt}) {
        request.deferral = {rule, 0.0F};
        check_same(engine->run(request), wanted);
      }
    }
  }
}

TEST_CASE("with all leave a draft stands as it is, token for token, and costs fewer passes") {
  EngineOptions options = options_with(std::make_shared<Deferring>(wordy_backend()));
  options.speculation = fixed_drafts(30);
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(25), 12);
  const Answer own = engine.run(request);
  std::vector<Token>& draft = request.draft.tokens;
  draft = own.tokens;
  draft[4] = 'a' + (draft[4] - 'a' + 5) % 12;  // possible, but not what the model would draw
  const Answer strict = engine.run(request);
  CHECK(strict.tokens == own.tokens);
  request.deferral.alpha = 1;
  const Answer lenient = engine.run(request);
  REQUIRE(lenient.tokens.size() == 12);
  for (std::size_t i = 0; i < 11; ++i) CHECK(lenient.tokens[i] == draft[i]);  // the last one follows no draft
  CHECK(lenient.finish.ledger.drafts().accepted == 10);
  CHECK(lenient.finish.ledger.total().passes < strict.finish.ledger.total().passes);
  CHECK(lenient.finish.ledger.consistent());
  draft = own.tokens;
  draft[3] = 'z';  // has next to no probability: alpha 1 lets it stand, less does not
  CHECK(engine.run(request).tokens[3] == 'z');
  request.deferral.alpha = 0.999F;
  CHECK(engine.run(request).tokens == own.tokens);
}

namespace {

std::vector<double> softmax(const std::vector<float>& logits) {
  std::vector<double> out;
  double sum = 0;
  for (const float x : logits) sum += out.emplace_back(std::exp(static_cast<double>(x)));
  for (double& x : out) x /= sum;
  return out;
}

Token best(const std::vector<double>& p) {
  return static_cast<Token>(std::max_element(p.begin(), p.end()) - p.begin());
}

bool opt_keeps(const std::vector<double>& p, const std::vector<double>& q, double alpha) {
  double variation = 0;
  for (std::size_t t = 0; t < p.size(); ++t) variation += std::abs(p[t] - q[t]) / 2;
  return *std::max_element(q.begin(), q.end()) >= *std::max_element(p.begin(), p.end()) - alpha * variation;
}

// What an engine with four drafts a step has to answer greedily, by the letter of the rule. `lead`: how many tokens come
// before the draft model has caught up with the prompt.
std::vector<Token> greedy_by_opt(std::vector<Token> tokens, std::size_t budget, double alpha, std::size_t lead) {
  constexpr std::size_t drafts = 4;
  const std::size_t before = tokens.size();
  while (tokens.size() < before + lead) tokens.push_back(best(softmax(wordy_logits(tokens))));
  while (tokens.size() < before + budget) {
    std::vector<Token> chain = tokens;  // no more drafts than leave room for the draw after them
    const std::size_t most = std::min(drafts, before + budget - tokens.size() - 1);
    bool stood = true;
    for (std::size_t i = 0; i < most && stood; ++i) {
      const std::vector<double> p = softmax(wordy_logits(chain)), q = softmax(half_right_logits(chain));
      stood = opt_keeps(p, q, alpha) || best(p) == best(q);
      chain.push_back(stood ? best(q) : best(p));
    }
    if (stood) chain.push_back(best(softmax(wordy_logits(chain))));
    tokens = std::move(chain);
  }
  return {tokens.begin() + static_cast<std::ptrdiff_t>(before), tokens.end()};
}

}  // namespace

TEST_CASE("greedy, the rule opt lets the likeliest token of a draft model stand exactly where it says so") {
  for (const bool foreign : {false, true}) {
    CAPTURE(foreign);
    EngineOptions options = options_with(std::make_shared<Deferring>(wordy_backend()));
    options.speculation = fixed_drafts(4);
    options.draft_models.push_back(foreign ? foreign_draft_model() : draft_model_of());
    Engine engine(std::move(options));
    Request request = request_for(prompt_of(25), 40);
    const Answer own = engine.run(request);
    std::size_t changed = 0;
    for (const float alpha : {0.02F, 0.2F, 0.5F, 1.0F}) {
      CAPTURE(alpha);
      request.deferral = {DeferralRule::opt, alpha};
      const Answer lenient = engine.run(request);
      bool found = false;
      for (std::size_t lead = 1; lead <= 4 && !found; ++lead)
        found = lenient.tokens == greedy_by_opt(prompt_of(25), 40, static_cast<double>(alpha), lead);
      CHECK(found);
      CHECK(lenient.finish.ledger.consistent());
      changed += lenient.tokens != own.tokens;
      request.sampling.seed = 5;  // nothing is drawn at random
      CHECK(engine.run(request).tokens == lenient.tokens);
      request.sampling.seed.reset();
    }
    CHECK(changed > 0);
  }
}

TEST_CASE("leave that cannot be given is refused: out of range, or by a backend that has no such rule") {
  EngineOptions options = options_with(wordy_backend());
  options.speculation = fixed_drafts(4);
  Engine engine(std::move(options));
  Request request = request_for(prompt_of(10), 4);
  request.deferral.alpha = 0.5F;
  const Finish unable = engine.run(request).finish;
  CHECK(unable.reason == FinishReason::refused);
  REQUIRE(unable.error);
  CHECK(unable.error->code() == Errc::unsupported);
  CHECK(mentions(*unable.error, "backend scripted"));
  for (const float alpha : {-0.1F, 1.5F, std::numeric_limits<float>::quiet_NaN()}) {
    request.deferral.alpha = alpha;
    const Finish odd = engine.run(request).finish;
    CHECK(odd.reason == FinishReason::refused);
    CHECK(mentions(*odd.error, "deferral.alpha"));
  }
}
