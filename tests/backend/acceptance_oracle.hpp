// Does a rule for judging drawn drafts leave the target's distribution as it is? Answered by many draws: chi-square and
// total variation, both with bounds that a right rule passes all but once in a million. Used on the library's rule, and
// on wrong ones, which must not pass.
#pragma once

#include <frugal/backend/sampling.hpp>
#include <frugal/backend/verification.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

namespace frugal::testing {

using Distribution = std::vector<float>;

/// What a draft is judged from: p and q as they are sampled, the draft, and the numbers of its place.
struct Trial {
  const Distribution& p;
  const Distribution& q;
  Token draft;
  std::uint64_t seed;
  std::uint32_t position;
  double uniform(DrawPurpose purpose) const {
    return counter_uniform(seed, position, static_cast<std::uint32_t>(purpose));
  }
};
/// The draft where it stands, else what takes its place.
using Rule = std::function<Token(const Trial&)>;

inline Token library_rule(const Trial& t) { return verify(t.p, t.q, t.draft, t.seed, t.position); }

/// Inverse CDF in id order; weights need not sum to 1.
template <class Weights>
Token invert(const Weights& weights, double u) {
  double total = 0.0, sum = 0.0;
  for (const auto w : weights) total += static_cast<double>(w);
  Token last = 0;
  for (std::size_t t = 0; t < weights.size(); ++t) {
    if (!(weights[t] > 0)) continue;
    last = static_cast<Token>(t), sum += static_cast<double>(weights[t]);
    if (sum > u * total) break;
  }
  return last;
}

constexpr double z_million = 4.753;        // one-sided normal quantile of 1e-6
constexpr double log_million = 13.815511;  // -ln 1e-6

/// The chi-square value that is exceeded once in a million (Wilson and Hilferty 1931).
inline double chi_square_limit(double freedom) {
  const double v = 2.0 / (9.0 * freedom);
  return freedom * std::pow(1.0 - v + z_million * std::sqrt(v), 3.0);
}

/// Counts against probabilities. Cells that expect fewer than 5 are taken together.
struct Fit {
  double chi_square = 0.0, limit = 0.0;
  double variation = 0.0, variation_limit = 0.0;
  std::uint64_t impossible = 0;  ///< draws of a token without probability

  bool good() const { return impossible == 0 && chi_square <= limit && variation <= variation_limit; }
  std::string text() const {
    return "chi-square " + std::to_string(chi_square) + " of " + std::to_string(limit) + ", variation " +
           std::to_string(variation) + " of " + std::to_string(variation_limit) + ", impossible " +
           std::to_string(impossible);
  }
};

/// Expected variation of n draws from their own distribution, about sum sqrt(2 p (1 - p) / (pi n)) / 2, plus what
/// McDiarmid's inequality allows once in a million.
inline Fit fit_of(const std::vector<std::uint64_t>& seen, const std::vector<double>& p, std::uint64_t n) {
  Fit fit;
  const double draws = static_cast<double>(n);
  double cells = -1.0, rare_seen = 0.0, rare_expected = 0.0;
  const auto cell = [&](double count, double expected) {
    fit.chi_square += (count - expected) * (count - expected) / expected, cells += 1.0;
  };
  for (std::size_t t = 0; t < p.size(); ++t) {
    const double count = static_cast<double>(seen[t]), expected = draws * p[t];
    fit.variation += std::abs(count / draws - p[t]) / 2.0;
    fit.variation_limit += std::sqrt(2.0 * p[t] * (1.0 - p[t]) / (std::numbers::pi * draws)) / 2.0;
    if (p[t] == 0.0) {
      fit.impossible += seen[t];
    } else if (expected < 5.0) {
      rare_seen += count, rare_expected += expected;
    } else {
      cell(count, expected);
    }
  }
  if (rare_expected > 0.0) cell(rare_seen, rare_expected);
  fit.limit = chi_square_limit(std::max(cells, 1.0));
  fit.variation_limit += std::sqrt(log_million / (2.0 * draws));
  return fit;
}

inline std::vector<double> normalised(const Distribution& p) {
  double total = 0.0;
  for (const float x : p) total += static_cast<double>(x);
  std::vector<double> out;
  for (const float x : p) out.push_back(static_cast<double>(x) / total);
  return out;
}

struct Judged {
  Fit fit;
  std::uint64_t accepted = 0;
};

/// `draws` drafts from q, judged by the rule, against p.
inline Judged judge(const Rule& rule, const Distribution& p, const Distribution& q, std::uint64_t draws,
                    std::uint64_t seed = 1) {
  std::vector<std::uint64_t> seen(p.size());
  Judged out;
  for (std::uint32_t i = 0; i < draws; ++i) {
    const double u = counter_uniform(seed, i, static_cast<std::uint32_t>(DrawPurpose::draft));
    const Token draft = invert(q, u), token = rule({p, q, draft, seed, i});
    out.accepted += token == draft;
    ++seen[static_cast<std::size_t>(token)];
  }
  out.fit = fit_of(seen, normalised(p), draws);
  return out;
}

}  // namespace frugal::testing
