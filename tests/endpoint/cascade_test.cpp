#include <frugal/endpoint/cascade.hpp>

#include <catch2/catch_test_macros.hpp>

#include <stdexcept>

#include "endpoint/canned_endpoint.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {
Request ask() { return Request{RawPrompt{"why?"}}; }

struct Tiers {
  explicit Tiers(float small_margin, FinishReason small_reason = FinishReason::stop)
      : small("small", {{"may", "be"}, small_margin, small_reason}), big("big", {{"cer", "tain", "ly"}, 0.9F}) {}
  Cascade cascade(std::shared_ptr<CascadePolicy> policy = margin_threshold(0.5)) {
    return Cascade({.name = "two", .tiers = {&small, &big}, .policy = std::move(policy)});
  }
  CannedEndpoint small, big;
};

struct Policy final : CascadePolicy {
  std::string_view name() const override { return "test"; }
  std::size_t first(const RequestView&, std::size_t) override { return start; }
  Verdict judge(const AttemptView& a) override {
    if (throws) throw std::runtime_error("no verdict");
    return {.next = a.endpoint == 0 ? 1U : 0U};
  }
  std::size_t start = 0;
  bool throws = false;
};
}  // namespace

TEST_CASE("a confident small answer is accepted and the big model never asked") {
  Tiers tiers(0.8F);
  Cascade cascade = tiers.cascade();
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "maybe");
  CHECK(answer.finish.model == "small");
  CHECK(answer.scores.empty());  // measured for the policy, not asked for by the caller
  CHECK(tiers.big.requests.empty());
  REQUIRE(answer.finish.ledger.attempts.size() == 1);
  CHECK(answer.finish.ledger.attempts[0].accepted);
  CHECK(answer.finish.ledger.attempts[0].score > 0.7);
}

TEST_CASE("a doubtful answer escalates: the caller sees the big one and pays for both") {
  Tiers tiers(0.1F);
  ManualClock clock;
  tiers.small.clock = tiers.big.clock = &clock;
  Cascade cascade(
      {.name = "two", .tiers = {&tiers.small, &tiers.big}, .policy = margin_threshold(0.5), .clock = &clock});
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "certainly");
  CHECK(answer.finish.model == "big");
  REQUIRE(answer.finish.ledger.attempts.size() == 2);
  CHECK_FALSE(answer.finish.ledger.attempts[0].accepted);
  CHECK(answer.finish.ledger.attempts[0].endpoint == "small");
  CHECK(answer.finish.ledger.attempts[1].accepted);
  CHECK(answer.finish.usage == Usage{.input = 20, .output = 5});
  CHECK(answer.finish.ledger.consistent());
  CHECK(answer.finish.timing.e2e == std::chrono::milliseconds(10));
  CHECK(answer.finish.timing.ttft == answer.finish.timing.e2e);  // nothing was shown before the verdict
  CHECK_FALSE(answer.finish.timing.tpot(answer.finish.usage.output));
  CHECK(answer.finish.answer_usage() == Usage{.input = 10, .output = 3});
}

TEST_CASE("a small tier that refuses or fails hands over to the next") {
  for (const FinishReason reason : {FinishReason::refused, FinishReason::error}) {
    Tiers tiers(0.9F, reason);
    Cascade cascade = tiers.cascade();
    const Answer answer = cascade.run(ask());
    CHECK(answer.text == "certainly");
    CHECK(answer.finish.reason == FinishReason::stop);
  }
}

TEST_CASE("a policy cannot send a request in circles") {
  Tiers tiers(0.9F);
  auto policy = std::make_shared<Policy>();
  policy->start = 1;
  Cascade cascade = tiers.cascade(policy);
  const Answer answer = cascade.run(ask());
  CHECK(tiers.small.requests.size() + tiers.big.requests.size() <= 2);
  CHECK(answer.finish.reason == FinishReason::stop);
}

TEST_CASE("a first tier beyond the last means the last") {
  Tiers tiers(0.9F);
  auto policy = std::make_shared<Policy>();
  policy->start = 7;
  Cascade cascade = tiers.cascade(policy);
  CHECK(cascade.run(ask()).text == "certainly");
}

TEST_CASE("a policy that throws ends the request by name, with the bill of what ran") {
  Tiers tiers(0.9F);
  auto policy = std::make_shared<Policy>();
  policy->throws = true;
  Cascade cascade = tiers.cascade(policy);
  const Answer answer = cascade.run(ask());
  CHECK(answer.finish.reason == FinishReason::error);
  CHECK(answer.finish.error->message().find("test") != std::string::npos);
  CHECK(answer.finish.usage.output == 2);
}

TEST_CASE("cancelling reaches the tier that is trying, also after an escalation") {
  Tiers tiers(0.1F);
  Cascade cascade = tiers.cascade();
  Stream stream = cascade.submit(ask());
  int looks = 0;
  while (tiers.big.requests.empty() && ++looks < 100) cascade.step();
  REQUIRE(tiers.big.requests.size() == 1);
  stream.cancel();
  const Answer answer = stream.wait();
  CHECK(answer.finish.reason == FinishReason::cancelled);
  CHECK(answer.finish.ledger.attempts.size() == 2);
}

TEST_CASE("a cascade is an endpoint, so it can be a tier of another") {
  Tiers tiers(0.1F);
  Cascade inner = tiers.cascade();
  CannedEndpoint biggest("biggest", {{"yes"}});
  Cascade outer({.name = "three", .tiers = {&inner, &biggest}, .policy = margin_threshold(0.95)});
  const Answer answer = outer.run(ask());
  CHECK(answer.text == "yes");
  CHECK(answer.finish.ledger.attempts.size() == 3);
}

TEST_CASE("a cascade without tiers or policy is refused at set-up") {
  Tiers tiers(0.9F);
  CHECK_THROWS_AS(Cascade({.name = "x", .tiers = {}, .policy = margin_threshold(0.5)}), Error);
  CHECK_THROWS_AS(Cascade({.name = "x", .tiers = {&tiers.small}, .policy = nullptr}), Error);
}
