#include <frugal/backend/sampling.hpp>
#include <frugal/core/error.hpp>

#include <rapidcheck.h>
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/philox.hpp"

namespace frugal {
namespace {

using Catch::Approx;
using Logits = std::vector<float>;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

DrawSpec spec_of(const Sampling& s, std::uint64_t seed = 1, std::uint32_t position = 0) {
  return {.sampling = &s, .seed = seed, .position = position};
}

Token greedy(const Logits& x) {
  const Sampling s;
  return draw(x, spec_of(s)).token;
}

std::vector<float> distribution(const Logits& x, const Sampling& s) { return draw_distribution(x, spec_of(s)); }

/// The tokens a distribution can draw.
std::vector<Token> support(const std::vector<float>& p) {
  std::vector<Token> ids;
  for (std::size_t t = 0; t < p.size(); ++t) {
    if (p[t] > 0.0F) ids.push_back(static_cast<Token>(t));
  }
  return ids;
}

/// The inverse CDF in id order, as the contract states it.
Token invert(const std::vector<float>& p, double u) {
  const double mass = std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0.0;
  for (std::size_t t = 0; t < p.size(); ++t) {
    sum += static_cast<double>(p[t]);
    if (p[t] > 0.0F && sum > u * mass) return static_cast<Token>(t);
  }
  return -1;
}

Logits random_logits(std::uint64_t seed, std::size_t n, double scale) {
  Logits x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(scale * (2.0 * counter_uniform(seed, static_cast<std::uint32_t>(i), 9) - 1.0));
  }
  return x;
}

Sampling random_sampling(std::uint64_t seed) {
  const auto u = [&](std::uint32_t i) { return counter_uniform(seed, i, 11); };
  Sampling s;
  s.temperature = static_cast<float>(0.1 + 2.0 * u(0));
  if (u(1) < 0.5) s.top_k = 1 + static_cast<std::int32_t>(u(2) * 40);
  if (u(3) < 0.5) s.top_p = static_cast<float>(u(4));
  if (u(5) < 0.5) s.min_p = static_cast<float>(u(6));
  if (u(7) < 0.3) s.repetition_penalty = static_cast<float>(0.5 + 2.0 * u(8));
  if (u(9) < 0.3) s.presence_penalty = static_cast<float>(4.0 * u(10) - 2.0);
  if (u(11) < 0.3) s.frequency_penalty = static_cast<float>(u(12));
  if (u(13) < 0.3) s.logit_bias = {{3, 2.5F}, {5, -inf}};
  return s;
}

TEST_CASE("Philox4x32-10 gives the published known answers") {
  using backend::PhiloxCounter;
  CHECK(backend::philox4x32_10({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(backend::philox4x32_10({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
        PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(backend::philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("counter_uniform is in [0, 1), even, and differs by seed, position and purpose") {
  double sum = 0.0;
  std::vector<int> tenth(10);
  constexpr std::uint32_t n = 100000;
  for (std::uint32_t i = 0; i < n; ++i) {
    const double u = counter_uniform(42, i);
    REQUIRE((u >= 0.0 && u < 1.0));
    sum += u, ++tenth[static_cast<std::size_t>(u * 10)];
  }
  CHECK(sum / n == Approx(0.5).margin(0.005));
  for (const int count : tenth) CHECK(count == Approx(n / 10.0).margin(450));  // 4.7 deviations
  CHECK(counter_uniform(1, 2, 3) == counter_uniform(1, 2, 3));
  CHECK(counter_uniform(1, 2, 3) != counter_uniform(1, 2, 4));
  CHECK(counter_uniform(1, 2, 3) != counter_uniform(1, 3, 3));
  CHECK(counter_uniform(1, 2, 3) != counter_uniform(1ULL << 32 | 1, 2, 3));
}

TEST_CASE("greedy takes the highest logit and the lowest id among equals") {
  CHECK(greedy({1, 3, 2}) == 1);
  CHECK(greedy({1, 3, 3}) == 1);
  CHECK(greedy({0, -0.0F}) == 0);
  CHECK(greedy({-5}) == 0);
}

TEST_CASE("NaN counts as minus infinity and infinities are ordered") {
  CHECK(greedy({nan, -1, -2}) == 1);
  CHECK(greedy({-1, nan, -2}) == 0);
  CHECK(greedy({-1, inf, 100, inf}) == 1);
  const Sampling s{.temperature = 1.0F};
  CHECK(distribution({nan, 0, -inf, 0}, s) == std::vector<float>{0, 0.5F, 0, 0.5F});
  CHECK(distribution({inf, 0, inf, 5}, s) == std::vector<float>{0.5F, 0, 0.5F, 0});
}

TEST_CASE("a row without a finite value draws no token, whatever is asked, and never throws") {
  for (const Logits& x : {Logits{nan, nan}, Logits{-inf}, Logits{nan, -inf, inf}, Logits(40, nan)}) {
    for (const float temperature : {0.0F, 0.8F}) {
      const Sampling s{.temperature = temperature, .top_k = 3, .top_p = 0.9F, .logit_bias = {{0, 2.0F}}};
      DrawSpec spec = spec_of(s);
      spec.scores = true, spec.top_logprobs = 2;
      const TokenScore score = draw(x, spec);
      CHECK(score.token == -1);
      CHECK((score.logprob == 0.0F && score.margin == 0.0F && score.top.empty()));
    }
  }
}

TEST_CASE("a mask allows its tokens only, and one that allows none draws none") {
  const std::vector<std::uint32_t> mask{0b0101U, 0b1U};  // tokens 0, 2 and 32
  Logits x(40, 9.0F);
  x[2] = 10.0F, x[32] = 10.0F;
  for (const float temperature : {0.0F, 1.0F}) {
    const Sampling s{.temperature = temperature};
    DrawSpec spec = spec_of(s);
    spec.mask = mask;
    const auto ids = support(draw_distribution(x, spec));
    CHECK(ids == (temperature == 0.0F ? std::vector<Token>{2} : std::vector<Token>{0, 2, 32}));
    const std::vector<std::uint32_t> none{0, 0xFFFFFF00U};  // bits beyond the vocabulary allow nothing
    spec.mask = none;
    CHECK(draw(x, spec).token == -1);
  }
}

TEST_CASE("a masked row of minus infinities still draws an allowed token") {
  const std::vector<std::uint32_t> mask{0b1000U};
  for (const float temperature : {0.0F, 0.7F}) {
    const Sampling s{.temperature = temperature};
    DrawSpec spec = spec_of(s);
    spec.mask = mask;
    CHECK(draw(Logits{5, 5, 5, -inf}, spec).token == 3);
  }
}

TEST_CASE("bias and penalties move the logits as documented") {
  const Logits x{2, 1, -1, 0};
  const std::vector<Token> prompt{0}, output{1, 1, 2};
  const auto after = [&](const Sampling& s) {  // log ratios to token 3, which nothing touches
    DrawSpec spec = spec_of(s);
    spec.prompt = prompt, spec.output = output;
    const auto p = draw_distribution(x, spec);
    return std::vector<double>{std::log(p[0] / p[3]), std::log(p[1] / p[3]), std::log(p[2] / p[3])};
  };
  const auto equal = [](const std::vector<double>& a, const std::vector<double>& b) {
    for (std::size_t i = 0; i < b.size(); ++i) CHECK(a[i] == Approx(b[i]).margin(1e-5));
  };
  equal(after({.temperature = 1}), {2, 1, -1});
  equal(after({.temperature = 0.5F}), {4, 2, -2});
  equal(after({.temperature = 1, .repetition_penalty = 2}), {1, 0.5, -2});
  equal(after({.temperature = 1, .presence_penalty = 0.5F}), {2, 0.5, -1.5});
  equal(after({.temperature = 1, .frequency_penalty = 0.5F}), {2, 0, -1.5});
  equal(after({.temperature = 1, .repetition_penalty = 2, .logit_bias = {{0, -3.0F}}}), {-2, 0.5, -2});
  equal(after({.temperature = 1, .logit_bias = {{0, 1.0F}, {0, 1.0F}, {-1, 5.0F}, {4, 5.0F}}}), {4, 1, -1});
}

TEST_CASE("top-k keeps the k most likely, lowest ids among equals") {
  CHECK(support(distribution({1, 2, 2, 2, 0}, {.temperature = 1, .top_k = 2})) == std::vector<Token>{1, 2});
  CHECK(support(distribution({1, 2, 3}, {.temperature = 1, .top_k = 9})).size() == 3);
}

TEST_CASE("top-p keeps the smallest set that reaches the mass") {
  const Logits x{std::log(0.1F), std::log(0.5F), std::log(0.4F)};
  CHECK(support(distribution(x, {.temperature = 1, .top_p = 0.45F})) == std::vector<Token>{1});
  CHECK(support(distribution(x, {.temperature = 1, .top_p = 0.55F})) == std::vector<Token>{1, 2});
  CHECK(support(distribution(x, {.temperature = 1, .top_p = 0.95F})).size() == 3);
  CHECK(support(distribution(x, {.temperature = 1, .top_p = 0.0F})) == std::vector<Token>{1});
}

TEST_CASE("top-p over a flat row of thousands keeps the right count") {
  const auto p = distribution(Logits(10000, 0.0F), {.temperature = 1, .top_p = 0.25F});
  CHECK(support(p).size() == 2500);
  CHECK(p[2499] > 0.0F);
}

TEST_CASE("min-p keeps what is likely enough beside the best") {
  const Logits x{std::log(0.1F), std::log(0.5F), std::log(0.4F)};
  CHECK(support(distribution(x, {.temperature = 1, .min_p = 0.5F})) == std::vector<Token>{1, 2});
  CHECK(support(distribution(x, {.temperature = 1, .min_p = 1.0F})) == std::vector<Token>{1});
  CHECK(support(distribution(x, {.temperature = 1, .min_p = 2.0F})) == std::vector<Token>{1});
}

TEST_CASE("scores come from the raw distribution whatever the sampling does to it") {
  const Logits x{std::log(0.2F), std::log(0.5F), std::log(0.3F)};
  const Sampling s{.temperature = 0.3F, .top_k = 1, .logit_bias = {{0, 50.0F}}};
  DrawSpec spec = spec_of(s);
  spec.scores = true, spec.top_logprobs = 2;
  const TokenScore score = draw(x, spec);
  CHECK(score.token == 0);
  CHECK(score.logprob == Approx(std::log(0.2)));
  CHECK(score.margin == Approx(0.2));
  REQUIRE(score.top.size() == 2);
  CHECK((score.top[0].token == 1 && score.top[1].token == 2));
  CHECK(score.top[1].logprob == Approx(std::log(0.3)));
  spec.scores = false, spec.top_logprobs = 9;
  CHECK(draw(x, spec).logprob == 0.0F);
  CHECK(draw(x, spec).top.size() == 3);
}

TEST_CASE("the padding of a wide head is as if it were not there: never drawn, no share of any probability") {
  CHECK(rc::check([](std::uint64_t seed, std::uint32_t position) {
    const std::size_t n = 9 + seed % 300, padding = 1 + seed % 7;
    const Logits narrow = random_logits(seed, n, 6.0);
    Logits wide = narrow;
    for (std::size_t i = 0; i < padding; ++i) wide.push_back(i % 2 == 0 ? 90.0F : std::nanf(""));
    const Sampling s = random_sampling(seed);
    DrawSpec spec = spec_of(s, seed, position);
    spec.scores = true, spec.top_logprobs = 5;
    const TokenScore want = draw(narrow, spec);
    const auto p = draw_distribution(narrow, spec);
    spec.tokens = static_cast<std::uint32_t>(n);
    const TokenScore got = draw(wide, spec);
    RC_ASSERT(got.token == want.token);
    RC_ASSERT(got.logprob == want.logprob);
    RC_ASSERT(got.margin == want.margin);
    for (std::size_t i = 0; i < want.top.size(); ++i) {
      RC_ASSERT(got.top[i].token == want.top[i].token);
      RC_ASSERT(got.top[i].logprob == want.top[i].logprob);
    }
    auto q = draw_distribution(wide, spec);
    RC_ASSERT(q.size() == wide.size());
    RC_ASSERT(std::all_of(q.begin() + static_cast<std::ptrdiff_t>(n), q.end(), [](float x) { return x == 0.0F; }));
    q.resize(n);
    RC_ASSERT(q == p);
  }));
}

TEST_CASE("draw refuses what has no answer") {
  const Sampling s;
  CHECK_THROWS_AS(draw({}, spec_of(s)), Error);
  CHECK_THROWS_AS(draw(Logits{1}, DrawSpec{}), Error);
}

TEST_CASE("a draw is the inverse CDF of its distribution at the counter's number") {
  CHECK(rc::check([](std::uint64_t seed, std::uint32_t position) {
    const std::size_t n = 1 + seed % 700;
    const Logits x = random_logits(seed, n, 8.0);
    const Sampling s = random_sampling(seed);
    const std::vector<Token> output{3, 3, 4, 7};
    std::vector<std::uint32_t> mask;
    if (seed % 3 == 0) mask.assign((n + 31) / 32, 0xA5A5A5A5U);
    DrawSpec spec = spec_of(s, seed, position);
    spec.output = output, spec.mask = mask;
    const auto p = draw_distribution(x, spec);
    RC_ASSERT(std::abs(std::accumulate(p.begin(), p.end(), 0.0) - 1.0) < 1e-4);
    RC_ASSERT(draw(x, spec).token == invert(p, counter_uniform(seed, position)));
  }));
}

TEST_CASE("filters only ever remove tokens and keep the ratios of the others") {
  CHECK(rc::check([](std::uint64_t seed) {
    const Logits x = random_logits(seed, 300, 6.0);
    Sampling s = random_sampling(seed);
    s.logit_bias.clear();
    const auto filtered = distribution(x, s);
    s.top_k = 0, s.top_p = 1.0F, s.min_p = 0.0F;
    const auto whole = distribution(x, s);
    const auto best = static_cast<std::size_t>(std::max_element(whole.begin(), whole.end()) - whole.begin());
    RC_ASSERT(filtered[best] > 0.0F);
    for (std::size_t t = 0; t < x.size(); ++t) {
      if (filtered[t] == 0.0F) continue;
      RC_ASSERT(std::abs(filtered[t] / filtered[best] - whole[t] / whole[best]) < 1e-3F);
    }
  }));
}

TEST_CASE("draws over positions follow the distribution (chi-square)") {
  for (const Sampling& s : {Sampling{.temperature = 1.0F}, Sampling{.temperature = 0.7F, .top_k = 12, .top_p = 0.9F},
                            Sampling{.temperature = 1.5F, .min_p = 0.2F}}) {
    const Logits x = random_logits(77, 24, 2.0);
    const auto p = distribution(x, s);
    std::vector<double> seen(x.size());
    constexpr std::uint32_t n = 40000;
    for (std::uint32_t i = 0; i < n; ++i) seen[static_cast<std::size_t>(draw(x, spec_of(s, 5, i)).token)] += 1.0;
    double chi2 = 0.0, cells = -1.0;
    for (std::size_t t = 0; t < x.size(); ++t) {
      if (p[t] == 0.0F) {
        CHECK(seen[t] == 0.0);
        continue;
      }
      const double expected = n * static_cast<double>(p[t]);
      chi2 += (seen[t] - expected) * (seen[t] - expected) / expected, cells += 1.0;
    }
    CHECK(chi2 < cells + 4.0 * std::sqrt(2.0 * cells));
  }
}

}  // namespace
}  // namespace frugal
