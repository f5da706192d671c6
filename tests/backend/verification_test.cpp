#include <frugal/backend/verification.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <numeric>

#include "backend/acceptance_oracle.hpp"

namespace frugal {
namespace {

using testing::Distribution;
using testing::Judged;
using testing::Rule;
using testing::Trial;

constexpr std::uint64_t kDraws = 200000;

struct Pair {
  std::string name;
  Distribution p, q;
};

Distribution power_law(std::size_t n, double exponent, std::size_t shift = 0) {
  Distribution p(n);
  for (std::size_t i = 0; i < n; ++i)
    p[(i + shift) % n] = static_cast<float>(std::pow(static_cast<double>(i + 1), -exponent));
  const float total = std::accumulate(p.begin(), p.end(), 0.0F);
  for (float& x : p) x /= total;
  return p;
}

Distribution sampled_from(std::uint64_t seed, std::size_t n, const Sampling& s) {
  std::vector<float> logits(n);
  for (std::size_t i = 0; i < n; ++i)
    logits[i] = static_cast<float>(6.0 * counter_uniform(seed, static_cast<std::uint32_t>(i), 9));
  return draw_distribution(logits, {.sampling = &s});
}

std::vector<Pair> hard_pairs() {
  const Distribution spread{0.1F, 0.2F, 0.3F, 0.4F};
  return {
      {"equal", spread, spread},
      {"reversed", spread, {0.4F, 0.3F, 0.2F, 0.1F}},
      {"the target never says what the draft likes", {0.0F, 0.5F, 0.5F, 0.0F}, {0.7F, 0.1F, 0.1F, 0.1F}},
      {"the draft never says what the target likes", {0.6F, 0.2F, 0.1F, 0.1F}, {0.0F, 0.5F, 0.5F, 0.0F}},
      {"disjoint", {0.3F, 0.7F, 0.0F, 0.0F}, {0.0F, 0.0F, 0.2F, 0.8F}},
      {"one-hot target", {0.0F, 1.0F, 0.0F, 0.0F}, spread},
      {"one-hot draft", spread, {0.0F, 0.0F, 1.0F, 0.0F}},
      {"both one-hot, equal", {0.0F, 1.0F}, {0.0F, 1.0F}},
      {"both one-hot, different", {0.0F, 1.0F}, {1.0F, 0.0F}},
      {"a vocabulary of one", {1.0F}, {1.0F}},
      {"uniform against a peak", Distribution(16, 1.0F / 16.0F), power_law(16, 3.0)},
      {"a peak against uniform", power_law(16, 3.0), Distribution(16, 1.0F / 16.0F)},
      {"heavy tails", power_law(300, 1.05), power_law(300, 1.05, 7)},
      {"heavy tail against a light one", power_law(300, 1.0), power_law(300, 2.0)},
      {"a hair apart", spread, {0.1F, 0.2F, 0.30001F, 0.39999F}},
      {"different filters", sampled_from(5, 40, {.temperature = 1.0F, .top_k = 12}),
       sampled_from(5, 40, {.temperature = 0.7F, .top_p = 0.9F})},
      {"different models and temperatures", sampled_from(5, 40, {.temperature = 0.8F, .min_p = 0.02F}),
       sampled_from(6, 40, {.temperature = 1.5F})},
      {"not quite normalised", {0.11F, 0.22F, 0.33F, 0.44F}, {0.36F, 0.27F, 0.18F, 0.09F}},
  };
}

double overlap(const Distribution& p, const Distribution& q) {
  const auto a = testing::normalised(p), b = testing::normalised(q);
  double sum = 0.0;
  for (std::size_t t = 0; t < a.size(); ++t) sum += std::min(a[t], b[t]);
  return std::min(sum, 1.0);
}

TEST_CASE("judged drafts follow the target's distribution, whatever they were drawn from") {
  for (const Pair& pair : hard_pairs()) {
    CAPTURE(pair.name);
    const Judged judged = testing::judge(testing::library_rule, pair.p, pair.q, kDraws);
    INFO(judged.fit.text());
    CHECK(judged.fit.good());
  }
}

TEST_CASE("as many drafts stand as any lossless rule allows: the overlap of both distributions") {
  for (const Pair& pair : hard_pairs()) {
    CAPTURE(pair.name);
    const double expected = overlap(pair.p, pair.q);
    const double share =
        static_cast<double>(testing::judge(testing::library_rule, pair.p, pair.q, kDraws).accepted) / kDraws;
    const double deviation = std::sqrt(expected * (1.0 - expected) / kDraws);
    CHECK(share == Catch::Approx(expected).margin(testing::z_million * deviation + 1e-6));
  }
}

// --- the rules below are wrong on purpose: a test that lets one of them pass is no test ---

double ratio(float a, float b) { return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : 1e9; }
float at(const Distribution& d, Token t) { return d[static_cast<std::size_t>(t)]; }
bool stands(const Trial& t) { return t.uniform(DrawPurpose::accept) < ratio(at(t.p, t.draft), at(t.q, t.draft)); }

std::vector<double> difference(const Distribution& a, const Distribution& b) {
  std::vector<double> r(a.size());
  for (std::size_t t = 0; t < r.size(); ++t)
    r[t] = std::max(0.0, static_cast<double>(a[t]) - static_cast<double>(b[t]));
  return r;
}

Token resample(const Trial& t, const std::vector<double>& weights, DrawPurpose purpose = DrawPurpose::residual) {
  const bool any = std::any_of(weights.begin(), weights.end(), [](double w) { return w > 0; });
  return any ? testing::invert(weights, t.uniform(purpose)) : testing::invert(t.p, t.uniform(purpose));
}
Token residual(const Trial& t) { return resample(t, difference(t.p, t.q)); }
Token keep_below(const Trial& t, double r) { return t.uniform(DrawPurpose::accept) < r ? t.draft : residual(t); }

/// q as it would be at another temperature.
Distribution flattened(const Distribution& q) {
  Distribution out;
  for (const float x : q) out.push_back(std::sqrt(x));
  const float total = std::accumulate(out.begin(), out.end(), 0.0F);
  for (float& x : out) x /= total;
  return out;
}

std::vector<double> without(const Distribution& p, Token draft) {
  std::vector<double> w(p.begin(), p.end());
  w[static_cast<std::size_t>(draft)] = 0.0;
  return w;
}

struct Mutant {
  std::string name;
  Rule rule;
};

std::vector<Mutant> mutants() {
  return {
      {"every draft stands", [](const Trial& t) { return t.draft; }},
      {"no draft stands", residual},
      {"the ratio of another token, the target's own draw",
       [](const Trial& t) {
         return keep_below(t, ratio(at(t.p, testing::invert(t.p, t.uniform(DrawPurpose::draw))), at(t.q, t.draft)));
       }},
      {"the ratio upside down",
       [](const Trial& t) { return keep_below(t, ratio(at(t.q, t.draft), at(t.p, t.draft))); }},
      {"resampled from p instead of the residual",
       [](const Trial& t) { return stands(t) ? t.draft : testing::invert(t.p, t.uniform(DrawPurpose::residual)); }},
      {"resampled from p without the fallen draft",
       [](const Trial& t) { return stands(t) ? t.draft : resample(t, without(t.p, t.draft)); }},
      {"the residual upside down",
       [](const Trial& t) { return stands(t) ? t.draft : resample(t, difference(t.q, t.p)); }},
      {"one number for acceptance and residual",
       [](const Trial& t) { return stands(t) ? t.draft : resample(t, difference(t.p, t.q), DrawPurpose::accept); }},
      {"one number for draft and acceptance",
       [](const Trial& t) {
         return t.uniform(DrawPurpose::draft) < ratio(at(t.p, t.draft), at(t.q, t.draft)) ? t.draft : residual(t);
       }},
      {"a number in steps of 1/20 for acceptance",
       [](const Trial& t) {
         const double u = std::floor(t.uniform(DrawPurpose::accept) * 20.0) / 20.0;
         return u < ratio(at(t.p, t.draft), at(t.q, t.draft)) ? t.draft : residual(t);
       }},
      {"a threshold instead of chance",
       [](const Trial& t) { return at(t.p, t.draft) >= 0.1F ? t.draft : residual(t); }},
      {"q of another temperature than the draft was drawn at",
       [](const Trial& t) {
         const Distribution q = flattened(t.q);
         const bool stays = t.uniform(DrawPurpose::accept) < ratio(at(t.p, t.draft), at(q, t.draft));
         return stays ? t.draft : resample(t, difference(t.p, q));
       }},
  };
}

TEST_CASE("a wrong acceptance rule fails the same test") {
  const auto pairs = hard_pairs();
  for (const Mutant& mutant : mutants()) {
    CAPTURE(mutant.name);
    CHECK(std::any_of(pairs.begin(), pairs.end(), [&](const Pair& pair) {
      return !testing::judge(mutant.rule, pair.p, pair.q, kDraws).fit.good();
    }));
  }
}

TEST_CASE("verify gives back the draft where it stands and never where it falls") {
  const Distribution p{0.5F, 0.5F, 0.0F}, q{0.0F, 0.5F, 0.5F};
  for (std::uint32_t i = 0; i < 1000; ++i) {
    CHECK(verify(p, q, 1, 7, i) == 1);  // p = q there
    CHECK(verify(p, q, 2, 7, i) == 0);  // the only token of which p has more
  }
}

TEST_CASE("a sample is the inverse CDF of its weights and never a token of weight 0") {
  const Distribution weights{0.0F, 1.0F, 0.0F, 3.0F, 0.0F};
  CHECK(sample(weights, 0.0) == 1);
  CHECK(sample(weights, 0.24) == 1);
  CHECK(sample(weights, 0.26) == 3);
  CHECK(sample(weights, 0.9999999) == 3);
}

// --- chains: several steps of drafts and verification against the joint distribution of an answer ---

constexpr std::size_t kVocab = 4, kAnswer = 3;

/// Next-token logits after `context`, for a model without a transformer: fixed numbers for each last token.
std::vector<float> markov(std::uint64_t model, std::span<const Token> context) {
  const auto last = context.empty() ? 99U : static_cast<std::uint32_t>(context.back());
  std::vector<float> x(kVocab);
  for (std::uint32_t t = 0; t < kVocab; ++t) x[t] = static_cast<float>(3.0 * counter_uniform(model, t, 50 + last));
  return x;
}

DrawSpec spec_at(const Sampling& s, std::span<const Token> answer, std::uint64_t seed) {
  return {.sampling = &s, .output = answer, .seed = seed, .position = static_cast<std::uint32_t>(answer.size())};
}

Token draw_alone(std::span<const Token> answer, const Sampling& s, std::uint64_t seed) {
  return draw(markov(1, answer), spec_at(s, answer, seed)).token;
}

/// One step: g drafts from the draft model, judged row by row as a backend does; appends what the step yields.
void speculate(std::vector<Token>& answer, std::size_t g, const Sampling& of_target, const Sampling& of_draft,
               std::uint64_t seed) {
  std::vector<Token> with = answer;
  std::vector<Distribution> q;
  for (std::size_t i = 0; i < g; ++i) {
    const auto position = static_cast<std::uint32_t>(with.size());
    q.push_back(draw_distribution(markov(2, with), spec_at(of_draft, with, seed)));
    with.push_back(sample(q.back(), counter_uniform(seed, position, static_cast<std::uint32_t>(DrawPurpose::draft))));
  }
  for (std::size_t i = 0; i < g; ++i) {
    DrawSpec spec = spec_at(of_target, answer, seed);
    const Token drafted = with[answer.size()];
    spec.draft_distribution = q[i], spec.drafted = drafted;
    answer.push_back(draw(markov(1, answer), spec).token);
    if (answer.back() != drafted) return;
  }
  answer.push_back(draw_alone(answer, of_target, seed));
}

std::size_t cell_of(std::span<const Token> answer) {
  std::size_t cell = 0;
  for (const Token t : answer.first(kAnswer)) cell = cell * kVocab + static_cast<std::size_t>(t);
  return cell;
}

/// The probability of each answer of kAnswer tokens when the target answers alone.
std::vector<double> joint(const Sampling& s) {
  std::vector<double> p(kVocab * kVocab * kVocab);
  std::vector<Token> answer(kAnswer);
  for (std::size_t cell = 0; cell < p.size(); ++cell) {
    for (std::size_t i = kAnswer, rest = cell; i-- > 0; rest /= kVocab) answer[i] = static_cast<Token>(rest % kVocab);
    double product = 1.0;
    for (std::size_t i = 0; i < kAnswer; ++i) {
      const auto seen = std::span(answer).first(i);
      const auto row = draw_distribution(markov(1, seen), spec_at(s, seen, 0));
      product *= testing::normalised(row)[static_cast<std::size_t>(answer[i])];
    }
    p[cell] = product;
  }
  return p;
}

TEST_CASE("answers of several tokens follow the target's joint distribution through steps of any draft length") {
  const Sampling target{.temperature = 0.9F, .top_k = 3, .presence_penalty = 0.8F};
  const Sampling draft{.temperature = 1.4F, .presence_penalty = 0.3F};
  const auto p = joint(target);
  for (const std::size_t g : {1U, 2U, 4U}) {
    std::vector<std::uint64_t> seen(p.size());
    for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
      std::vector<Token> answer;
      while (answer.size() < kAnswer) speculate(answer, g, target, draft, seed);
      ++seen[cell_of(answer)];
    }
    const auto fit = testing::fit_of(seen, p, kDraws);
    INFO("g = " << g << ": " << fit.text());
    CHECK(fit.good());
  }
}

TEST_CASE("a greedy target keeps exactly the drafts it would have said, whatever they were drawn from") {
  const Sampling greedy{}, draft{.temperature = 2.0F};
  std::vector<Token> plain, answer;
  while (plain.size() < 40) plain.push_back(draw_alone(plain, greedy, 3));
  while (answer.size() < 40) speculate(answer, 3, greedy, draft, 3);
  answer.resize(40);
  CHECK(answer == plain);
}

TEST_CASE("after a draft that stands as a whole comes the target's own draw") {
  const Sampling s{.temperature = 1.0F};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::vector<Token> answer;
    speculate(answer, 0, s, s, seed);
    CHECK(answer == std::vector<Token>{draw_alone({}, s, seed)});
  }
}

TEST_CASE("a judged draft is reported with scores like any other token") {
  const Sampling s{.temperature = 1.0F};
  const auto x = markov(1, {});
  const Distribution q = draw_distribution(x, {.sampling = &s});
  DrawSpec spec{.sampling = &s, .top_logprobs = 2, .scores = true, .draft_distribution = q, .drafted = 2};
  const TokenScore score = draw(x, spec);
  CHECK(score.token == 2);  // p = q
  CHECK(score.logprob == Catch::Approx(std::log(q[2])));
  CHECK(score.top.size() == 2);
}

TEST_CASE("a draft is judged without the padding of a wide head, and may not come from it") {
  const Sampling s{.temperature = 1.0F};
  auto x = markov(1, {});
  const auto vocab = static_cast<std::uint32_t>(x.size());
  Distribution q = draw_distribution(x, {.sampling = &s});
  x.push_back(50.0F), q.push_back(0.0F);
  for (std::uint32_t i = 0; i < 200; ++i) {
    const DrawSpec spec{.sampling = &s, .tokens = vocab, .position = i, .draft_distribution = q, .drafted = 2};
    CHECK(draw(x, spec).token == 2);  // p = q
  }
  q.back() = 0.1F;
  const DrawSpec outside{
      .sampling = &s, .tokens = vocab, .draft_distribution = q, .drafted = static_cast<Token>(vocab)};
  CHECK_THROWS_AS(draw(x, outside), Error);
}

TEST_CASE("a draft that its distribution cannot have given is a fault of the caller, named") {
  const Sampling s{.temperature = 1.0F};
  const auto x = markov(1, {});
  const Distribution q{1.0F, 0.0F, 0.0F, 0.0F}, small{1.0F};
  const auto error = [&](std::span<const float> from, Token drafted) -> std::string {
    try {
      draw(x, {.sampling = &s, .draft_distribution = from, .drafted = drafted});
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(error(q, 0).empty());
  CHECK(error(q, 1).find("token 1 has no probability") != std::string::npos);
  CHECK(error(q, 4).find("token 4 is outside") != std::string::npos);
  CHECK(error(q, -1).find("token -1 is outside") != std::string::npos);
  CHECK(error(small, 0).find("distribution of 1 tokens, the vocabulary 4") != std::string::npos);
}

}  // namespace
}  // namespace frugal
