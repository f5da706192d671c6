// draw and draw_distribution share one pipeline: adjust (bias, penalties) -> allow (mask) -> filter (temperature,
// top-k, top-p, min-p). Both use the same rounded probabilities, so a draw is exactly the inverse CDF of the
// distribution that is reported for it.
//
// A weight is exp((x - max) / T) with max itself mapped to 1: infinities then need no case of their own (several +inf
// share the mass, a row of nothing but -inf is uniform).
#include <frugal/backend/sampling.hpp>
#include <frugal/backend/verification.hpp>

#include <frugal/core/error.hpp>

#include "backend/philox.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <unordered_map>

namespace frugal {
namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

float clean(float x) noexcept { return std::isnan(x) ? minus_infinity : x; }

/// Higher value first, lower id among equals.
struct Better {
  std::span<const float> values;
  bool operator()(Token a, Token b) const noexcept {
    const float va = clean(values[static_cast<std::size_t>(a)]), vb = clean(values[static_cast<std::size_t>(b)]);
    return va != vb ? va > vb : a < b;
  }
};

bool in_range(Token t, std::size_t vocab) noexcept { return t >= 0 && static_cast<std::size_t>(t) < vocab; }

bool adjusts(const Sampling& s) noexcept {
  return !s.logit_bias.empty() || s.repetition_penalty != 1.0F || s.presence_penalty != 0.0F ||
         s.frequency_penalty != 0.0F;
}

void penalise_repetition(std::span<float> x, const DrawSpec& spec, float penalty) {
  std::vector<bool> seen(x.size());
  for (const auto history : {spec.prompt, spec.output}) {
    for (const Token t : history) {
      if (!in_range(t, x.size()) || seen[static_cast<std::size_t>(t)]) continue;
      seen[static_cast<std::size_t>(t)] = true;
      float& value = x[static_cast<std::size_t>(t)];
      value = value > 0.0F ? value / penalty : value * penalty;
    }
  }
}

void penalise_presence_and_frequency(std::span<float> x, const DrawSpec& spec, const Sampling& s) {
  std::unordered_map<Token, std::uint32_t> count;
  for (const Token t : spec.output) {
    if (in_range(t, x.size())) ++count[t];
  }
  for (const auto& [t, n] : count) {
    x[static_cast<std::size_t>(t)] -= s.presence_penalty + s.frequency_penalty * static_cast<float>(n);
  }
}

/// The logits after bias and penalties; `storage` is used only where there is something to change.
std::span<const float> adjust(std::span<const float> logits, const DrawSpec& spec, std::vector<float>& storage) {
  const Sampling& s = *spec.sampling;
  if (!adjusts(s)) return logits;
  storage.assign(logits.begin(), logits.end());
  for (const auto& [t, bias] : s.logit_bias) {
    if (in_range(t, storage.size())) storage[static_cast<std::size_t>(t)] += bias;
  }
  if (s.repetition_penalty != 1.0F) penalise_repetition(storage, spec, s.repetition_penalty);
  if (s.presence_penalty != 0.0F || s.frequency_penalty != 0.0F) penalise_presence_and_frequency(storage, spec, s);
  return storage;
}

/// Calls f for every allowed token in id order.
template <class F>
void for_each_allowed(std::span<const std::uint32_t> mask, std::size_t vocab, F f) {
  if (mask.empty()) {
    for (std::size_t t = 0; t < vocab; ++t) f(static_cast<Token>(t));
    return;
  }
  for (std::size_t w = 0; w < std::min(mask.size(), (vocab + 31) / 32); ++w) {
    for (std::uint32_t bits = mask[w]; bits != 0; bits &= bits - 1) {
      const std::size_t t = w * 32 + static_cast<std::size_t>(std::countr_zero(bits));
      if (t < vocab) f(static_cast<Token>(t));
    }
  }
}

bool any_allowed(std::span<const std::uint32_t> mask, std::size_t vocab) {
  bool any = mask.empty();
  for_each_allowed(mask, vocab, [&](Token) { any = true; });
  return any;
}

Token best_allowed(std::span<const float> x, std::span<const std::uint32_t> mask) {
  Token best = -1;
  float best_value = minus_infinity;
  for_each_allowed(mask, x.size(), [&](Token t) {
    const float value = x[static_cast<std::size_t>(t)];  // NaN compares false, so it never wins
    if (best < 0 || value > best_value) best = t, best_value = clean(value);
  });
  if (best < 0) throw Error(Errc::invalid_argument, "draw: the token mask allows no token");
  return best;
}

double weight(float x, float max, double temperature) noexcept {
  if (x == max) return 1.0;
  const double w = std::exp((static_cast<double>(x) - static_cast<double>(max)) / temperature);
  return std::isnan(w) ? 0.0 : w;
}

/// Tokens that may be drawn, in id order, and the probability of each.
struct Kept {
  std::vector<Token> ids;
  std::vector<float> probability;  // [ids]; sums to 1 but for rounding
};

void keep_top_k(std::vector<Token>& ids, std::span<const float> x, std::size_t k) {
  if (k == 0 || k >= ids.size()) return;
  std::nth_element(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(k), ids.end(), Better{x});
  ids.resize(k);
}

/// Sorts only as long a head as is needed to reach the mass: doubling keeps the usual case (a few hundred tokens)
/// cheap.
template <class Weight>
void keep_top_p(std::vector<Token>& ids, std::span<const float> x, float top_p, Weight weight_of) {
  double total = 0.0;
  for (const Token t : ids) total += weight_of(t);
  const double wanted = static_cast<double>(top_p) * total;
  std::size_t sorted = 0;
  double sum = 0.0;
  for (std::size_t head = 256; sorted < ids.size(); head *= 2) {
    const std::size_t end = std::min(head, ids.size());
    std::partial_sort(ids.begin() + static_cast<std::ptrdiff_t>(sorted), ids.begin() + static_cast<std::ptrdiff_t>(end),
                      ids.end(), Better{x});
    for (; sorted < end; ++sorted) {
      sum += weight_of(ids[sorted]);
      if (sum >= wanted) return ids.resize(sorted + 1);
    }
  }
}

Kept filter(std::span<const float> x, const DrawSpec& spec) {
  const Sampling& s = *spec.sampling;
  const float max = clean(x[static_cast<std::size_t>(best_allowed(x, spec.mask))]);
  const auto weight_of = [&](Token t) {
    return weight(clean(x[static_cast<std::size_t>(t)]), max, static_cast<double>(s.temperature));
  };
  Kept kept;
  for_each_allowed(spec.mask, x.size(), [&](Token t) { kept.ids.push_back(t); });
  keep_top_k(kept.ids, x, s.top_k > 0 ? static_cast<std::size_t>(s.top_k) : 0);
  if (s.top_p < 1.0F) keep_top_p(kept.ids, x, s.top_p, weight_of);
  std::vector<double> weights(kept.ids.size());
  if (s.min_p > 0.0F) {  // the best has weight 1, so it always stays
    std::erase_if(kept.ids, [&](Token t) { return weight_of(t) < std::min(1.0, static_cast<double>(s.min_p)); });
  }
  std::sort(kept.ids.begin(), kept.ids.end());
  weights.resize(kept.ids.size());
  double total = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) total += weights[i] = weight_of(kept.ids[i]);
  kept.probability.reserve(weights.size());
  for (const double w : weights) kept.probability.push_back(static_cast<float>(w / total));
  return kept;
}

Token inverse_cdf(const Kept& kept, double u) noexcept {
  double mass = 0.0;
  for (const float p : kept.probability) mass += static_cast<double>(p);
  double sum = 0.0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < kept.ids.size(); ++i) {
    if (kept.probability[i] <= 0.0F) continue;
    sum += static_cast<double>(kept.probability[i]);
    last = i;
    if (sum > u * mass) break;
  }
  return kept.ids[last];
}

bool is_greedy(const Sampling& s) noexcept { return !(s.temperature > 0.0F); }

/// Probabilities [vocab] of adjusted logits.
std::vector<float> distribution(std::span<const float> x, const DrawSpec& spec) {
  std::vector<float> p(x.size(), 0.0F);
  if (is_greedy(*spec.sampling)) {
    p[static_cast<std::size_t>(best_allowed(x, spec.mask))] = 1.0F;
    return p;
  }
  const Kept kept = filter(x, spec);
  for (std::size_t i = 0; i < kept.ids.size(); ++i) p[static_cast<std::size_t>(kept.ids[i])] = kept.probability[i];
  return p;
}

Token own_draw(std::span<const float> x, const DrawSpec& spec) {
  if (is_greedy(*spec.sampling)) return best_allowed(x, spec.mask);
  return inverse_cdf(filter(x, spec),
                     counter_uniform(spec.seed, spec.position, static_cast<std::uint32_t>(spec.purpose)));
}

/// What a token drafted at random comes to. `vocab`: with padding.
Token judged_draft(std::span<const float> x, std::size_t vocab, const DrawSpec& spec) {
  const auto fail = [](const std::string& what) { throw Error(Errc::invalid_argument, "draw: the draft " + what); };
  if (spec.draft_distribution.size() != vocab)
    fail("has a distribution of " + std::to_string(spec.draft_distribution.size()) + " tokens, the vocabulary " +
         std::to_string(vocab));
  const std::string name = "token " + std::to_string(spec.drafted);
  if (!in_range(spec.drafted, x.size())) fail(name + " is outside the vocabulary");
  if (!(spec.draft_distribution[static_cast<std::size_t>(spec.drafted)] > 0.0F))
    fail(name + " has no probability where it is said to be drawn from");
  return verify(distribution(x, spec), spec.draft_distribution.first(x.size()), spec.drafted, spec.seed, spec.position);
}

/// Log-probabilities of the model's own distribution: x - log_mass(x), where the maximum counts as 0.
struct RawDistribution {
  std::span<const float> logits;
  float max = minus_infinity;
  double log_total = 0.0;  // of the weights, so of a number >= 1

  explicit RawDistribution(std::span<const float> x) : logits(x) {
    for (const float v : x) max = std::max(max, clean(v));
    double total = 0.0;
    for (const float v : x) total += weight(clean(v), max, 1.0);
    log_total = std::log(total);
  }

  float logprob(Token t) const noexcept {
    const float x = clean(logits[static_cast<std::size_t>(t)]);
    const double above = x == max ? 0.0 : static_cast<double>(x) - static_cast<double>(max);
    return static_cast<float>(above - log_total);
  }

  std::vector<Token> top(std::size_t k) const {
    std::vector<Token> ids(logits.size());
    for (std::size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<Token>(t);
    k = std::min(k, ids.size());
    std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(k), ids.end(), Better{logits});
    ids.resize(k);
    return ids;
  }

  float margin() const {
    float first = minus_infinity, second = minus_infinity;
    for (const float v : logits) {
      const float x = clean(v);
      if (x > first) {
        second = first, first = x;
      } else {
        second = std::max(second, x);
      }
    }
    const double p2 = logits.size() < 2 ? 0.0 : weight(second, max, 1.0);
    return static_cast<float>((1.0 - p2) * std::exp(-log_total));
  }
};

void score(std::span<const float> logits, const DrawSpec& spec, TokenScore& out) {
  const RawDistribution raw(logits);
  if (spec.scores) out.logprob = raw.logprob(out.token), out.margin = raw.margin();
  if (spec.top_logprobs == 0) return;
  for (const Token t : raw.top(spec.top_logprobs)) out.top.push_back({.token = t, .logprob = raw.logprob(t)});
}

/// Without the padding of a head that is wider than the vocabulary.
std::span<const float> logits_of_tokens(std::span<const float> logits, const DrawSpec& spec) {
  return spec.tokens == 0 ? logits : logits.first(std::min<std::size_t>(spec.tokens, logits.size()));
}

void check(std::span<const float> logits, const DrawSpec& spec) {
  if (logits.empty()) throw Error(Errc::invalid_argument, "draw: no logits");
  if (spec.sampling == nullptr) throw Error(Errc::invalid_argument, "draw: DrawSpec.sampling is null");
}

}  // namespace

double counter_uniform(std::uint64_t seed, std::uint32_t position, std::uint32_t purpose) noexcept {
  const auto r = backend::philox4x32_10({position, purpose, 0, 0},
                                        {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  const std::uint64_t bits = std::uint64_t{r[0]} << 32 | r[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

TokenScore draw(std::span<const float> logits, const DrawSpec& spec) {
  check(logits, spec);
  const std::span<const float> raw = logits_of_tokens(logits, spec);
  TokenScore out;
  if (std::none_of(raw.begin(), raw.end(), [](float x) { return std::isfinite(x); }) ||
      !any_allowed(spec.mask, raw.size())) {
    out.token = -1;
    return out;
  }
  std::vector<float> storage;
  const std::span<const float> x = adjust(raw, spec, storage);
  out.token = spec.draft_distribution.empty() ? own_draw(x, spec) : judged_draft(x, logits.size(), spec);
  if (spec.scores || spec.top_logprobs > 0) score(raw, spec, out);
  if (spec.distribution != nullptr) *spec.distribution = draw_distribution(logits, spec);
  return out;
}

std::vector<float> draw_distribution(std::span<const float> logits, const DrawSpec& spec) {
  check(logits, spec);
  std::vector<float> storage;
  std::vector<float> p = distribution(adjust(logits_of_tokens(logits, spec), spec, storage), spec);
  p.resize(logits.size(), 0.0F);
  return p;
}

}  // namespace frugal
