// The draw against a twin that sorts everything and adds everything up.
#include "backend/drawer.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "backend/counter.hpp"
#include "backend/draw_cases.hpp"

namespace frugal::backend {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
using testing::DrawCase;
using testing::random_draw_case;
__extension__ using Wide = unsigned __int128;

/// What may be drawn: ids rising, and the weight of each.
struct Kept {
  std::vector<Token> ids;
  std::vector<std::uint64_t> w;
};

std::vector<float> adjusted(const DrawCase& c) {
  std::vector<float> x(c.logits.begin(),
                       c.logits.begin() + (c.tokens == 0 ? static_cast<std::ptrdiff_t>(c.logits.size())
                                                         : static_cast<std::ptrdiff_t>(c.tokens)));
  const Sampling& s = c.sampling;
  for (const auto& [t, bias] : s.logit_bias) x[static_cast<std::size_t>(t)] += bias;
  const auto count = [](const std::vector<Token>& all, std::size_t t) {
    return std::count(all.begin(), all.end(), static_cast<Token>(t));
  };
  for (std::size_t t = 0; t < x.size(); ++t) {
    const auto in_output = count(c.output, t);
    if (s.repetition_penalty != 1.0F && count(c.prompt, t) + in_output > 0)
      x[t] = x[t] > 0 ? x[t] / s.repetition_penalty : x[t] * s.repetition_penalty;
    if (in_output > 0) x[t] -= s.presence_penalty + s.frequency_penalty * static_cast<float>(in_output);
    if (std::isnan(x[t])) x[t] = -inf;
  }
  return x;
}

Kept kept_by_sorting(const DrawCase& c, const RowKernels& kernels) {
  const std::vector<float> x = adjusted(c);
  Kept kept;
  if (std::none_of(c.logits.begin(), c.logits.begin() + static_cast<std::ptrdiff_t>(x.size()),
                   [](float v) { return std::isfinite(v); }))
    return kept;
  for (std::size_t t = 0; t < x.size(); ++t)
    if (c.mask.empty() || (t / 32 < c.mask.size() && (c.mask[t / 32] >> t % 32 & 1U) != 0))
      kept.ids.push_back(static_cast<Token>(t));
  const auto at = [&](Token t) { return x[static_cast<std::size_t>(t)]; };
  if (kept.ids.empty()) return kept;
  std::stable_sort(kept.ids.begin(), kept.ids.end(), [&](Token a, Token b) { return at(a) > at(b); });
  const WeightScale scale{at(kept.ids.front()), 0x1.715476p+0F / c.sampling.temperature};
  std::vector<float> sorted;
  for (const Token t : kept.ids) sorted.push_back(at(t));
  kept.w.resize(sorted.size());
  kernels.weights(sorted.data(), sorted.size(), scale, kept.w.data());
  const auto cut = [&](std::size_t n) {
    kept.ids.resize(n);
    kept.w.resize(n);
  };
  if (c.sampling.top_k > 0) cut(std::min(kept.ids.size(), static_cast<std::size_t>(c.sampling.top_k)));
  if (c.sampling.top_p < 1.0F) {
    const Wide total = std::accumulate(kept.w.begin(), kept.w.end(), Wide{0});
    const Wide share = static_cast<Wide>(std::ldexp(static_cast<double>(c.sampling.top_p), 64));
    Wide sum = 0;
    std::size_t n = 0;
    while (n < kept.ids.size() && (n == 0 || sum << 64 < total * share)) sum += kept.w[n++];
    cut(n);
  }
  if (c.sampling.min_p > 0.0F) {
    const double least = std::min(1.0, static_cast<double>(c.sampling.min_p)) * 0x1p40;
    std::size_t n = 0;
    while (n < kept.ids.size() && static_cast<double>(kept.w[n]) >= std::floor(least)) ++n;
    cut(n);
  }
  std::vector<std::size_t> order(kept.ids.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return kept.ids[a] < kept.ids[b]; });
  Kept by_id;
  for (const std::size_t i : order) by_id.ids.push_back(kept.ids[i]), by_id.w.push_back(kept.w[i]);
  return by_id;
}

Token token_at(const Kept& kept, std::uint64_t number) {
  const Wide total = std::accumulate(kept.w.begin(), kept.w.end(), Wide{0});
  const Wide target = total * number >> 64;
  Wide sum = 0;
  for (std::size_t i = 0; i < kept.ids.size(); ++i)
    if ((sum += kept.w[i]) > target) return kept.ids[i];
  return -1;
}

TEST_CASE("draws and distributions are those of a twin that sorts everything, on every instruction set") {
  std::vector<Drawer> drawers;  // kept: memory of one row must not show in the next
  for (const RowKernels* k : available_row_kernels()) drawers.emplace_back(*k);
  int drawn = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    CAPTURE(seed);
    const DrawCase c = random_draw_case(seed);
    const DrawSpec spec = c.spec();
    const Kept kept = kept_by_sorting(c, portable_row_kernels());
    const Token want = token_at(kept, counter_number(spec.seed, spec.position, spec.purpose));
    const double total = static_cast<double>(std::accumulate(kept.w.begin(), kept.w.end(), std::uint64_t{0}));
    std::vector<float> p(c.logits.size());
    for (std::size_t i = 0; i < kept.ids.size(); ++i)
      p[static_cast<std::size_t>(kept.ids[i])] = static_cast<float>(static_cast<double>(kept.w[i]) / total);
    for (Drawer& drawer : drawers) {
      REQUIRE(drawer.draw(c.logits, spec).token == want);
      std::vector<float> got(c.logits.size(), -1.0F);
      drawer.distribution(c.logits, spec, got);
      REQUIRE(got == p);
    }
    drawn += want >= 0 ? 1 : 0;
  }
  CHECK(drawn > 3500);  // the others have no finite logit, or a mask that allows nothing
}

namespace {

/// Takes the pieces from the last to the first, as threads might.
struct Backwards final : RowTeam {
  void run(std::uint32_t pieces, Work work) noexcept override {
    for (std::uint32_t p = pieces; p-- > 0;) work.call(work.self, p);
    ++runs;
  }
  int runs = 0;
};

}  // namespace

TEST_CASE("a team that shares a row's passes draws and scores what one thread does") {
  std::mt19937 random(29);
  std::normal_distribution<float> bell(0.0F, 3.0F);
  const std::vector<Sampling> settings = {{},
                                          {.temperature = 0.8F},
                                          {.temperature = 1.5F, .top_p = 0.95F},
                                          {.temperature = 1.0F, .top_k = 500, .top_p = 0.9F},
                                          {.temperature = 1.0F, .min_p = 0.01F},
                                          {.temperature = 2.0F, .top_k = 20000}};
  for (const RowKernels* k : available_row_kernels()) {
    Drawer alone(*k), shared(*k);
    Backwards team;
    for (const std::size_t n : {8193U, 16384U, 20001U, 49152U}) {
      std::vector<float> logits(n);
      for (float& x : logits) x = bell(random);
      for (std::size_t i = 0; i < n; i += 97) logits[i] = logits[0];
      logits[n / 2] = std::numeric_limits<float>::quiet_NaN();
      for (const Sampling& s : settings) {
        for (std::uint32_t position = 0; position < 20; ++position) {
          const DrawSpec spec{.sampling = &s, .seed = 5, .position = position, .top_logprobs = 7, .scores = true};
          const TokenScore want = alone.draw(logits, spec), got = shared.draw(logits, spec, &team);
          REQUIRE(got.token == want.token);
          REQUIRE(got.logprob == want.logprob);
          REQUIRE(got.margin == want.margin);
          REQUIRE(got.top.size() == want.top.size());
          for (std::size_t i = 0; i < got.top.size(); ++i) REQUIRE(got.top[i].token == want.top[i].token);
        }
      }
    }
    CHECK(team.runs > 1000);
  }
}

TEST_CASE("top-p of wide rows is that of the twin, whatever their shape") {
  std::vector<Drawer> drawers;
  for (const RowKernels* k : available_row_kernels()) drawers.emplace_back(*k);
  std::mt19937_64 random(11);
  const auto u = [&] { return std::uniform_real_distribution<float>(0.0F, 1.0F)(random); };
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    CAPTURE(seed);
    DrawCase c;
    c.seed = seed;
    c.logits.resize(20000 + random() % 40000);
    // Normal, one bend, two heaps, coarse ties, a slope by id, a few far above the rest.
    const auto shape = seed % 6;
    std::normal_distribution<float> normal(0.0F, 0.2F + 4.0F * u());
    const std::size_t n = c.logits.size();
    for (std::size_t i = 0; i < n; ++i) {
      float& x = c.logits[i] = normal(random);
      if (shape == 1) x = -std::abs(x);
      if (shape == 2) x = (i % 7 == 0 ? 0.0F : -8.0F) + 0.01F * x;
      if (shape == 3) x = std::round(x);
      if (shape == 4) x = 0.1F * x - 12.0F * static_cast<float>(i) / static_cast<float>(n);
      if (shape == 5 && i % 9973 == 17) x += 15.0F;
    }
    c.sampling.temperature = std::vector<float>{0.3F, 0.8F, 1.0F, 1.5F, 5.0F, 1e-30F, 1e30F}[random() % 7];
    c.sampling.top_p = std::vector<float>{0.0F, 0.01F, 0.5F, 0.9F, 0.95F, 0.999F, 0.99999994F}[random() % 7];
    const DrawSpec spec = c.spec();
    const Kept kept = kept_by_sorting(c, portable_row_kernels());
    for (Drawer& drawer : drawers) {
      REQUIRE(drawer.draw(c.logits, spec).token ==
              token_at(kept, counter_number(spec.seed, spec.position, spec.purpose)));
      std::vector<float> p(n);
      drawer.distribution(c.logits, spec, p);
      REQUIRE(
          static_cast<std::size_t>(std::count_if(p.begin(), p.end(), [](float v) { return v > 0.0F; })) ==
          static_cast<std::size_t>(std::count_if(kept.w.begin(), kept.w.end(), [](std::uint64_t w) { return w > 0; })));
    }
  }
}

TEST_CASE("greedy tokens, scores and top log-probabilities are those of a twin in doubles") {
  std::vector<Drawer> drawers;
  for (const RowKernels* k : available_row_kernels()) drawers.emplace_back(*k);
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    CAPTURE(seed);
    DrawCase c = random_draw_case(seed);
    std::erase_if(c.logits, [](float x) { return x == inf; });
    if (c.logits.size() <= c.tokens) continue;
    const bool greedy = seed % 2 == 0;
    if (greedy) c.sampling.temperature = 0.0F;
    if (!greedy && seed % 3 == 0) c.sampling.temperature = 1.0F;
    DrawSpec spec = c.spec();
    spec.scores = true, spec.top_logprobs = static_cast<std::uint32_t>(seed % 30);
    std::vector<float> x(c.logits.begin(),
                         c.logits.begin() + static_cast<std::ptrdiff_t>(c.tokens == 0 ? c.logits.size() : c.tokens));
    for (float& v : x) v = std::isnan(v) ? -inf : v;
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
    const double max = static_cast<double>(x[order[0]]);
    double sum = 0.0;
    for (const float v : x) sum += std::exp(static_cast<double>(v) - max);
    const auto logprob = [&](std::size_t t) { return static_cast<double>(x[t]) - max - std::log(sum); };
    const auto near = [](double a, double b) { return a == b || std::abs(a - b) <= 2e-6 * (1.0 + std::abs(b)); };
    for (Drawer& drawer : drawers) {
      const TokenScore score = drawer.draw(c.logits, spec);
      if (score.token < 0) continue;
      if (greedy && c.mask.empty() && c.output.empty()) REQUIRE(score.token == static_cast<Token>(order[0]));
      REQUIRE(near(static_cast<double>(score.logprob), logprob(static_cast<std::size_t>(score.token))));
      const double margin = x.size() < 2 ? 1.0 / sum : std::exp(logprob(order[0])) - std::exp(logprob(order[1]));
      REQUIRE(near(static_cast<double>(score.margin), margin));
      REQUIRE(score.top.size() == std::min<std::size_t>(spec.top_logprobs, x.size()));
      for (std::size_t i = 0; i < score.top.size(); ++i) {
        REQUIRE(score.top[i].token == static_cast<Token>(order[i]));
        REQUIRE(near(static_cast<double>(score.top[i].logprob), logprob(order[i])));
      }
    }
  }
}

/// Logits from whole numbers alone, so that they are the same everywhere.
std::vector<float> fixed_logits(std::size_t n) {
  std::vector<float> x(n);
  std::uint32_t h = 12345;
  for (float& v : x) {
    h = h * 1664525U + 1013904223U;
    v = static_cast<float>(h >> 8) * 0x1p-20F;  // in [0, 16), steps of 2^-20
  }
  return x;
}

TEST_CASE("draws are frozen: seeds are public behaviour") {
  const std::vector<float> x = fixed_logits(5000);
  const auto drawn = [&](const Sampling& s) {
    std::vector<Token> tokens;
    for (std::uint32_t position = 0; position < 8; ++position)
      tokens.push_back(draw(x, {.sampling = &s, .seed = 42, .position = position}).token);
    return tokens;
  };
  using Tokens = std::vector<Token>;
  CHECK(drawn({.temperature = 1.0F}) == Tokens{3095, 4936, 4155, 3707, 1533, 1495, 1094, 1651});
  CHECK(drawn({.temperature = 0.8F, .top_p = 0.95F}) == Tokens{3102, 4936, 4227, 3744, 1499, 1481, 1059, 1612});
  CHECK(drawn({.temperature = 2.0F, .top_k = 50}) == Tokens{3209, 4936, 4490, 4106, 1399, 1391, 1146, 1495});
  CHECK(drawn({.temperature = 0.5F, .min_p = 0.1F}) == Tokens{3121, 4936, 4353, 3820, 1481, 1459, 1033, 1547});
}

TEST_CASE("the distribution of a draw is written beside it, whatever kind of draw it is") {
  const std::vector<float> x = fixed_logits(2000);
  for (const Sampling& s : {Sampling{}, Sampling{.temperature = 1.0F}, Sampling{.temperature = 1.0F, .top_p = 0.5F}}) {
    DrawSpec spec{.sampling = &s, .seed = 3};
    const std::vector<float> want = draw_distribution(x, spec);
    const Token token = draw(x, spec).token;
    std::vector<float> p(7, 9.0F);
    spec.distribution = &p;
    CHECK(draw(x, spec).token == token);
    CHECK(p == want);
  }
}

TEST_CASE("each purpose has random numbers of its own") {
  const std::vector<float> x = fixed_logits(2000);
  const Sampling s{.temperature = 3.0F};
  int same = 0;
  for (std::uint32_t i = 0; i < 50; ++i) {
    DrawSpec spec{.sampling = &s, .seed = 3, .position = i};
    const Token own = draw(x, spec).token;
    spec.purpose = DrawPurpose::draft;
    same += draw(x, spec).token == own ? 1 : 0;
  }
  CHECK(same < 5);
}

}  // namespace
}  // namespace frugal::backend
