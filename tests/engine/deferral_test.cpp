// Request::deferral in an engine: zero is lossless, leave lets drafts stand, and backends without the rule refuse it.
#include <catch2/catch_test_macros.hpp>

#include <frugal/core/error.hpp>

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
