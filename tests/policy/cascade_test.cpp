#include <frugal/core/error.hpp>
#include <frugal/policy/cascade.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <vector>

namespace frugal {
namespace {

std::vector<TokenScore> margins(const std::vector<float>& values) {
  std::vector<TokenScore> scores;
  for (float value : values) scores.push_back({.token = 0, .logprob = 0, .margin = value});
  return scores;
}

Verdict judge(CascadePolicy& policy, const std::vector<float>& values, std::size_t endpoint = 0,
              std::optional<FinishReason> finish = FinishReason::stop) {
  const RequestView request;
  const std::vector<TokenScore> scores = margins(values);
  return policy.judge({.request = request,
                       .endpoint = endpoint,
                       .endpoints = 3,
                       .text = "an answer",
                       .scores = scores,
                       .finish = finish});
}

TEST_CASE("margin_threshold accepts what the model was sure of, and sends the rest one endpoint up") {
  const auto policy = margin_threshold(0.5, 0.0);
  CHECK(policy->name() == "margin_threshold");
  CHECK(policy->first({}, 3) == 0);
  CHECK(judge(*policy, {0.9F, 0.5F, 0.7F}) == Verdict{.next = std::nullopt, .score = 0.5});
  CHECK(judge(*policy, {0.9F, 0.25F, 0.7F}) == Verdict{.next = 1, .score = 0.25});
  CHECK(judge(*policy, {0.25F}, 1).next == 2);
  CHECK(judge(*policy, {0.25F}, 2).accepted());
}

TEST_CASE("a running answer is abandoned where its rejection is certain, and never where it would be accepted") {
  std::uint64_t state = 1;
  const auto dice = [&] {
    return static_cast<float>((state = state * 6364136223846793005ULL + 1) >> 40) / 16777216.0F;
  };
  int abandoned = 0, rejected = 0;
  for (int trial = 0; trial < 300; ++trial) {
    const double quantile = trial % 3 == 0 ? 0.0 : static_cast<double>(dice());
    const auto policy = margin_threshold(0.5, quantile, true);
    CHECK(policy->judges_running());
    RequestView request;
    request.max_tokens = 20;
    const auto length = static_cast<std::size_t>(1 + 19 * dice());
    std::vector<float> values;
    for (std::size_t i = 0; i < length; ++i) values.push_back(dice());
    const std::vector<TokenScore> scores = margins(values);
    bool gave_up = false;
    for (std::size_t n = 1; n <= length && !gave_up; ++n)
      gave_up =
          policy->judge_running({.request = request, .endpoints = 2, .text = "x", .scores = std::span(scores).first(n)})
              .next.has_value();
    const bool bad =
        !policy
             ->judge({.request = request, .endpoints = 2, .text = "x", .scores = scores, .finish = FinishReason::stop})
             .accepted();
    CHECK((bad || !gave_up));
    abandoned += gave_up ? 1 : 0, rejected += bad ? 1 : 0;
  }
  CHECK(abandoned > 50);
  CHECK(rejected > abandoned);
  const RequestView unlimited;
  const std::vector<TokenScore> poor = margins({0.1F, 0.1F, 0.1F});
  const AttemptView running{.request = unlimited, .endpoints = 2, .text = "x", .scores = poor};
  CHECK(margin_threshold(0.5, 0, true)->judge_running(running).next == 1);
  CHECK_FALSE(margin_threshold(0.5, 0.5, true)->judge_running(running).next);
  CHECK_FALSE(margin_threshold(0.5, 0)->judges_running());
}

TEST_CASE("the score is the nearest-rank quantile of the margins") {
  const std::vector<float> values{0.5F, 0.1F, 0.4F, 0.2F, 0.3F};
  const auto score = [&](double quantile) { return judge(*margin_threshold(0, quantile), values).score; };
  CHECK(score(0.0) == Catch::Approx(0.1));
  CHECK(score(0.2) == Catch::Approx(0.1));
  CHECK(score(0.21) == Catch::Approx(0.2));
  CHECK(score(0.5) == Catch::Approx(0.3));
  CHECK(score(1.0) == Catch::Approx(0.5));
}

TEST_CASE("an answer that is empty, failed, or came without scores is not good enough") {
  const auto policy = margin_threshold(0.0, 0.5);
  CHECK(judge(*policy, {}).next == 1);
  CHECK(judge(*policy, {1.0F}, 0, FinishReason::error).next == 1);
  CHECK(judge(*policy, {1.0F}, 0, FinishReason::refused).next == 1);
  CHECK(judge(*policy, {1.0F}, 0, FinishReason::capped).accepted());
  CHECK(judge(*policy, {}, 2, FinishReason::error).accepted());
  CHECK(judge(*margin_threshold(0.1, 0), {std::numeric_limits<float>::quiet_NaN()}).next == 1);
}

TEST_CASE("numbers outside [0, 1] are refused") {
  CHECK_THROWS_AS(margin_threshold(1.5, 0.5), Error);
  CHECK_THROWS_AS(margin_threshold(0.5, -0.1), Error);
  CHECK_THROWS_AS(margin_threshold(std::numeric_limits<double>::quiet_NaN(), 0.5), Error);
}

TEST_CASE("when: others go to another policy, or straight to the last endpoint") {
  const auto easy = [](const RequestView& r) { return r.type == "easy"; };
  const auto policy = when(easy, margin_threshold(0.5, 0));
  CHECK(policy->first({.type = "easy"}, 3) == 0);
  CHECK(policy->first({.type = "hard"}, 3) == 2);
  CHECK(policy->first({.type = "hard"}, 0) == 0);
  CHECK(judge(*policy, {0.0F}).accepted());
  const auto both = when(easy, margin_threshold(0.5, 0), margin_threshold(0.1, 0));
  CHECK(both->first({.type = "hard"}, 3) == 0);
  CHECK(judge(*both, {0.2F}).accepted());
  CHECK_THROWS_AS(when(easy, std::shared_ptr<CascadePolicy>()), Error);
}

TEST_CASE("commit_after judges by the first tokens alone, and leaves everything else to the inner policy") {
  const auto policy = commit_after(margin_threshold(0.5, 0), 2, 0.8, 0);
  CHECK(policy->name() == "margin_threshold");
  CHECK(policy->judges_running());
  CHECK(policy->first({}, 3) == 0);
  const RequestView request;
  const auto running = [&](const std::vector<float>& values) {
    const std::vector<TokenScore> scores = margins(values);
    return policy->judge_running({.request = request, .endpoints = 3, .text = "so far", .scores = scores});
  };
  CHECK(running({}) == Verdict{});
  CHECK(running({0.9F}) == Verdict{});
  CHECK(running({0.9F, 0.85F}).commit);
  CHECK(running({0.9F, 0.85F}).score == Catch::Approx(0.85));
  CHECK(running({0.9F, 0.85F, 0.1F}).commit);
  CHECK_FALSE(running({0.9F, 0.7F, 1.0F, 1.0F}).commit);
  CHECK_FALSE(running({0.9F, std::numeric_limits<float>::quiet_NaN()}).commit);
  CHECK(judge(*policy, {0.9F, 0.85F, 0.1F}).next == 1);  // not committed to by its end: judged as a whole
}

TEST_CASE("an inner policy that abandons a running answer comes before the commitment") {
  struct Abandons final : CascadePolicy {
    std::string_view name() const override { return "abandons"; }
    std::size_t first(const RequestView&, std::size_t) override { return 0; }
    Verdict judge(const AttemptView&) override { return {}; }
    bool judges_running() const override { return true; }
    Verdict judge_running(const AttemptView& a) override {
      return a.scores.size() >= 2 ? Verdict{.next = 1} : Verdict{};
    }
  };
  const auto policy = commit_after(std::make_shared<Abandons>(), 2, 0.5, 0);
  const RequestView request;
  const auto scores = margins({1.0F, 1.0F});
  const Verdict verdict = policy->judge_running({.request = request, .endpoints = 2, .scores = scores});
  CHECK(verdict.next == 1);
  CHECK_FALSE(verdict.commit);
}

TEST_CASE("limited accepts whatever comes after the last escalation") {
  const auto policy = limited(margin_threshold(0.5, 0), 1);
  const RequestView request;
  const auto scores = margins({0.1F});
  const AttemptView first{.request = request, .endpoint = 0, .endpoints = 3, .attempt = 0, .scores = scores};
  const AttemptView second{.request = request, .endpoint = 1, .endpoints = 3, .attempt = 1, .scores = scores};
  CHECK(policy->judge(first).next == 1);
  CHECK(policy->judge(second).accepted());
  CHECK(policy->judge(second).score == Catch::Approx(0.1));
  CHECK(policy->first({}, 3) == 0);
}

}  // namespace
}  // namespace frugal
