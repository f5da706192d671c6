// An escalation that starts from what was written: the small model's answer, rejected by the cascade, is a draft for
// the big one, which verifies it instead of writing it again.
#include "cpu/identity.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/cascade.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>

using namespace frugal;
using testing::bits_of;

namespace {

using ModelPtr = std::shared_ptr<const Model>;

EngineOptions options_of(const ModelPtr& big, std::uint32_t layers, bool speculation) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = 2});
  o.models = {{"small", first_layers(big, layers)}, {"big", big}};
  if (speculation) o.speculation = fixed_drafts(8);
  return o;
}

Request request_for(const Model& model, std::uint32_t tokens) {
  const std::vector<Token> ids = testing::tokens_of_text(model);
  std::vector<Token> prompt(ids.begin() + 40, ids.begin() + 100);   // a passage and its beginning again: a small model
  prompt.insert(prompt.end(), ids.begin() + 40, ids.begin() + 60);  // goes on with it too
  Request r{TokenPrompt{std::move(prompt)}};
  r.max_tokens = tokens, r.logprobs = 2;
  return r;
}

/// Never content with the small one.
Answer escalated(Engine& engine, const Request& request) {
  Cascade cascade(
      {.tiers = {&engine.endpoint("small"), &engine.endpoint("big")}, .policy = margin_threshold(1.0, 0.0)});
  return cascade.run(request);
}

}  // namespace

TEST_CASE(
    "a rejected small answer is verified by the big model: the same tokens in fewer passes, and the ledger says so") {
  const ModelPtr model = testing::smollm2();
  const Request request = request_for(*model, 32);
  Engine with(options_of(model, 29, true)), without(options_of(model, 29, false));
  Request of_big = request;
  of_big.model = "big";
  const Answer alone = without.run(of_big);
  const Answer plain = escalated(without, request), drafted = escalated(with, request);
  REQUIRE(alone.tokens.size() == 32);
  CHECK(bits_of(plain) == bits_of(alone));
  CHECK(bits_of(drafted) == bits_of(alone));

  REQUIRE(drafted.finish.ledger.attempts.size() == 2);
  const Attempt &small = drafted.finish.ledger.attempts[0], &big = drafted.finish.ledger.attempts[1];
  const Attempt& big_plain = plain.finish.ledger.attempts.at(1);
  CHECK_FALSE(small.accepted);
  CHECK(small.drafts == DraftLedger{});
  CHECK(big.accepted);
  CHECK(big_plain.drafts == DraftLedger{});
  CHECK(big_plain.tokens->passes == 32);  // one with the prompt, then a token each
  CAPTURE(big.drafts.drafted, big.drafts.verified, big.drafts.accepted, big.tokens->passes);
  CHECK(big.drafts.verified == big.drafts.drafted);
  CHECK(big.drafts.accepted > 8);
  CHECK(big.drafts.accepted + big.drafts.wasted() == big.drafts.drafted);
  CHECK(big.tokens->accepted == big.drafts.accepted);
  CHECK(big.tokens->decoded + big.tokens->accepted == 32);
  CHECK(big.tokens->passes == big_plain.tokens->passes - big.drafts.accepted);  // each saved a pass
  CHECK(drafted.finish.ledger.consistent());
}

TEST_CASE("where both models agree an escalation is a few passes, and a request may still refuse the draft") {
  const ModelPtr model = testing::smollm2();
  Request request = request_for(*model, 28);
  Engine engine(options_of(model, model->spec().layers, true));
  const Answer answer = escalated(engine, request);
  const Attempt& big = answer.finish.ledger.attempts.at(1);
  CHECK(big.drafts.verified == 24);  // the first token with the prompt, then 8 and one more three times
  CHECK(big.drafts.accepted == 24);
  CHECK(big.drafts.wasted() == 0);
  CHECK(big.tokens->passes == 4);
  request.max_draft = 0;
  const Answer refused = escalated(engine, request);
  CHECK(bits_of(refused) == bits_of(answer));
  CHECK(refused.finish.ledger.attempts.at(1).drafts == DraftLedger{});
  CHECK(refused.finish.ledger.attempts.at(1).tokens->passes == 28);
}
