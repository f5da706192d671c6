// Deferral: zero is lossless, drafts drawn at random come out in the rule's distribution, others stand by its letter.
#include "backend/deferral.hpp"

#include <frugal/backend/sampling.hpp>

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "backend/acceptance_oracle.hpp"

namespace frugal {
namespace {

using testing::Distribution;

std::vector<float> logits_of(std::uint64_t seed, std::size_t vocab) {
  std::vector<float> out;
  for (std::uint32_t i = 0; i < vocab; ++i) out.push_back(static_cast<float>(6 * counter_uniform(seed, i, 9)));
  return out;
}

Sampling some_sampling() {
  Sampling s;
  s.temperature = *rc::gen::element(0.0F, 0.7F, 1.0F, 1.6F);
  s.top_k = *rc::gen::element(0, 0, 5);
  s.top_p = *rc::gen::element(1.0F, 1.0F, 0.8F);
  s.min_p = *rc::gen::element(0.0F, 0.0F, 0.05F);
  s.repetition_penalty = *rc::gen::element(1.0F, 1.3F);
  return s;
}

TEST_CASE("with alpha 0 a draft changes nothing: token, scores and distribution are those without the rule") {
  const bool held = rc::check([] {
    const Sampling sampling = some_sampling();
    const std::vector<float> logits = logits_of(*rc::gen::arbitrary<std::uint64_t>(), 40);
    const std::vector<Token> output{1, 2, 3};
    DrawSpec plain;
    plain.sampling = &sampling, plain.output = output, plain.scores = true;
    plain.seed = *rc::gen::arbitrary<std::uint64_t>();
    DrawSpec drafted = plain;
    drafted.drafted = *rc::gen::inRange(0, 40);
    drafted.deferral = {*rc::gen::element(DeferralRule::token, DeferralRule::opt), 0.0F};
    std::vector<float> own, other;
    plain.distribution = &own, drafted.distribution = &other;
    const TokenScore a = draw(logits, plain), b = draw(logits, drafted);
    RC_ASSERT(a.token == b.token);
    RC_ASSERT(a.logprob == b.logprob);
    RC_ASSERT(a.margin == b.margin);
    RC_ASSERT(own == other);

    const Sampling warm{.temperature = 1};
    const Distribution q = draw_distribution(logits_of(plain.seed, 40), {.sampling = &warm});
    DrawSpec judged = plain;
    judged.sampling = &warm, judged.draft_distribution = q;
    judged.drafted = testing::invert(q, 0.5);
    DrawSpec lossless = judged;
    lossless.deferral = drafted.deferral;
    RC_ASSERT(draw(logits, judged).token == draw(logits, lossless).token);
  });
  CHECK(held);
}

TEST_CASE("a draft stands where the rule says so, and else the model's own draw takes its place") {
  const bool held = rc::check([] {
    const Sampling sampling = some_sampling();
    const std::vector<float> logits = logits_of(*rc::gen::arbitrary<std::uint64_t>(), 40);
    const std::vector<std::uint32_t> mask{*rc::gen::arbitrary<std::uint32_t>() | 1U, 0xFFU};
    DrawSpec spec;
    spec.sampling = &sampling, spec.seed = *rc::gen::arbitrary<std::uint64_t>();
    if (*rc::gen::arbitrary<bool>()) spec.mask = mask;
    const Token own = draw(logits, spec).token;
    spec.drafted = *rc::gen::inRange(0, 40);
    spec.deferral = {DeferralRule::token, *rc::gen::element(0.01F, 0.3F, 0.9F, 1.0F)};
    Sampling as_judged =
        sampling;  // a greedy row is judged at temperature 1, without filters that greedy draws have not
    if (!(sampling.temperature > 0))
      as_judged.temperature = 1, as_judged.top_k = 0, as_judged.top_p = 1, as_judged.min_p = 0;
    DrawSpec seen = spec;
    seen.sampling = &as_judged, seen.deferral = {};
    const std::vector<float> p = draw_distribution(logits, seen);
    const auto of_draft = static_cast<double>(p[static_cast<std::size_t>(spec.drafted)]);
    const double least =
        (1 - static_cast<double>(spec.deferral.alpha)) * static_cast<double>(*std::max_element(p.begin(), p.end()));
    if (std::abs(of_draft - least) < 1e-6) return;  // on the edge rounding may say either
    RC_ASSERT(draw(logits, spec).token == (of_draft > 0 && of_draft > least ? spec.drafted : own));
  });
  CHECK(held);
}

TEST_CASE("greedy, a little alpha takes near ties only, and a whole one every draft that is possible at all") {
  const Sampling greedy;
  const std::vector<float> logits{0, 3, 2.95F, 1, -std::numeric_limits<float>::infinity()};
  const auto drawn = [&](Token draft, float alpha, DeferralRule rule = DeferralRule::token) {
    DrawSpec spec;
    spec.sampling = &greedy, spec.drafted = draft, spec.deferral = {rule, alpha};
    return draw(logits, spec).token;
  };
  CHECK(drawn(2, 0.01F) == 1);
  CHECK(drawn(2, 0.06F) == 2);  // e^-0.05 = 0.951
  CHECK(drawn(0, 0.06F) == 1);
  CHECK(drawn(0, 1.0F) == 0);
  CHECK(drawn(4, 1.0F) == 1);
  CHECK(drawn(2, 1.0F, DeferralRule::opt) == 1);  // what it was drawn from is not known
  CHECK(drawn(-1, 1.0F) == 1);
  CHECK(drawn(99, 1.0F) == 1);
}

// The rules written out from the paper, by the token.
std::vector<double> wanted(const Distribution& p_in, const Distribution& q_in, const Deferral& rule) {
  const std::vector<double> p = testing::normalised(p_in), q = testing::normalised(q_in);
  const double p_most = *std::max_element(p.begin(), p.end()), q_most = *std::max_element(q.begin(), q.end());
  double variation = 0, mass = 0;
  for (std::size_t t = 0; t < p.size(); ++t) variation += std::abs(p[t] - q[t]) / 2;
  if (rule.rule == DeferralRule::opt) return q_most < p_most - static_cast<double>(rule.alpha) * variation ? p : q;
  std::vector<double> out(p.size());
  const auto trusted = [&](std::size_t t) { return p[t] >= (1 - static_cast<double>(rule.alpha)) * p_most; };
  for (std::size_t t = 0; t < p.size(); ++t) mass += trusted(t) ? 0 : q[t];
  for (std::size_t t = 0; t < p.size(); ++t) out[t] = (trusted(t) ? q[t] : 0) + mass * p[t];
  return out;
}

TEST_CASE("greedy, under opt, the draft of a known distribution stands where the rule says so at temperature 1") {
  const bool held = rc::check([] {
    Sampling sampling = some_sampling();
    sampling.temperature = 0;
    Sampling as_judged;  // greedy draws have no filters
    as_judged.temperature = 1, as_judged.repetition_penalty = sampling.repetition_penalty;
    const std::vector<float> logits = logits_of(*rc::gen::arbitrary<std::uint64_t>(), 40);
    const std::vector<float> others = logits_of(*rc::gen::arbitrary<std::uint64_t>(), 40);
    const std::vector<std::uint32_t> mask{*rc::gen::arbitrary<std::uint32_t>() | 1U, 0xFFU};
    const std::vector<Token> output{1, 2, 3};
    DrawSpec spec;
    spec.sampling = &sampling, spec.output = output;
    if (*rc::gen::arbitrary<bool>()) spec.mask = mask;
    const Token own = draw(logits, spec).token;
    DrawSpec warm = spec;
    warm.sampling = &as_judged;
    const Distribution p = draw_distribution(logits, warm);
    const Sampling free{.temperature = 1};
    const Distribution q = draw_distribution(others, {.sampling = &free});  // may be on tokens that the mask excludes
    spec.draft_distribution = q;
    spec.drafted = static_cast<Token>(std::max_element(q.begin(), q.end()) - q.begin());
    spec.deferral = {DeferralRule::opt, *rc::gen::element(0.05F, 0.3F, 1.0F)};
    double variation = 0;
    const std::vector<double> a = testing::normalised(p), b = testing::normalised(q);
    for (std::size_t t = 0; t < a.size(); ++t) variation += std::abs(a[t] - b[t]) / 2;
    const double over = *std::max_element(b.begin(), b.end()) - *std::max_element(a.begin(), a.end()) +
                        static_cast<double>(spec.deferral.alpha) * variation;
    if (std::abs(over) < 1e-6) return;  // on the edge rounding may say either
    const bool stands = over > 0 && a[static_cast<std::size_t>(spec.drafted)] > 0;
    RC_ASSERT(draw(logits, spec).token == (stands ? spec.drafted : own));
    spec.deferral.alpha = 0;
    RC_ASSERT(draw(logits, spec).token == own);
  });
  CHECK(held);
}

TEST_CASE("drafts that were drawn at random come out in the rule's distribution") {
  const std::uint32_t draws = 60000;
  const Sampling warm{.temperature = 1};
  for (const Deferral rule : {Deferral{DeferralRule::token, 0.3F}, Deferral{DeferralRule::token, 0.95F},
                              Deferral{DeferralRule::opt, 0.1F}, Deferral{DeferralRule::opt, 1.0F}}) {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
      const std::vector<float> logits = logits_of(seed, 12);
      const Distribution p = draw_distribution(logits, {.sampling = &warm});
      const Distribution q = draw_distribution(logits_of(seed + 10, 12), {.sampling = &warm});
      std::vector<std::uint64_t> seen(p.size());
      std::uint64_t stood = 0, plainly = 0;
      for (std::uint32_t i = 0; i < draws; ++i) {
        DrawSpec spec;
        spec.sampling = &warm, spec.seed = seed, spec.position = i, spec.draft_distribution = q;
        spec.drafted = testing::invert(q, counter_uniform(seed, i, static_cast<std::uint32_t>(DrawPurpose::draft)));
        plainly += draw(logits, spec).token == spec.drafted;
        spec.deferral = rule;
        const Token token = draw(logits, spec).token;
        stood += token == spec.drafted;
        ++seen[static_cast<std::size_t>(token)];
      }
      const testing::Fit fit = testing::fit_of(seen, wanted(p, q, rule), draws);
      INFO(fit.text());
      CHECK(fit.good());
      if (rule.rule == DeferralRule::opt) CHECK(stood >= plainly);  // `token` may trust other tokens than q's
    }
  }
}

}  // namespace
}  // namespace frugal
