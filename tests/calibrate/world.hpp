// A made-up service with known truth: request types of known difficulty, a cheap tier that knows when it is unsure.
#pragma once

#include <frugal/calibrate/outcomes.hpp>

#include <cmath>
#include <random>
#include <string>

namespace frugal::testing {

struct World {
  std::size_t n = 1000;
  std::uint64_t seed = 1;
  bool scores = true;        ///< the cheap tier's attempts carry a score that tells how likely they are right
  double small_penalty = 0;  ///< taken from the cheap tier's P(right)
  bool prompts = true;
};

/// Two tiers, "small" at a tenth of the price of "big". Four types: big is right in 90 % of each, small in 90, 80, 60, 30.
inline Outcomes make(const World& w) {
  std::mt19937_64 random(w.seed);
  std::uniform_real_distribution<double> uniform;
  Outcomes out;
  out.tiers = {"small", "big"};
  constexpr double easy[] = {0.9, 0.8, 0.6, 0.3};
  for (std::size_t i = 0; i < w.n; ++i) {
    const auto type = static_cast<std::size_t>(random() % 4);
    // Within a type, some requests are easier than others, and the score shows it.
    const double shift = (uniform(random) - 0.5) * 0.6;
    const double p = std::min(1.0, std::max(0.0, easy[type] + shift - w.small_penalty));
    Outcome row;
    row.id = std::to_string(i);
    row.type = "type" + std::to_string(type);
    if (w.prompts) row.prompt = std::string(20 + random() % 400, 'x');
    const double size = row.prompt ? double(row.prompt->size()) : 100;
    TierOutcome small, big;
    small.quality = uniform(random) < p ? 1 : 0;
    if (w.scores) small.features = {{"score", p + 0.05 * (uniform(random) - 0.5)}};
    small.cost = 0.1 * size;
    big.quality = uniform(random) < 0.9 ? 1 : 0;
    big.cost = size;
    row.attempts = {small, big};
    out.rows.push_back(std::move(row));
  }
  return out;
}

}  // namespace frugal::testing
