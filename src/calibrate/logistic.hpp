// Logistic regression with an L2 penalty, on standardised features and one indicator a request type. A target may be any
// number in [0, 1]. The penalty shrinks a type's own effect towards what all types share.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace frugal::calibrate {

/// What the model sees of one request: features in the model's order, and its type's number.
struct Example {
  std::vector<double> features{};
  std::size_t type = 0;
};

/// P(right | example). Plain values; written to the policy file.
struct Logistic {
  double intercept = 0;
  std::vector<double> weights{}, mean{}, scale{};  ///< [features]; a feature enters as (x - mean) / scale
  std::vector<double> types{};                     ///< [types]: added to the intercept

  double probability(const Example& example) const;
};

/// Newton's method until it stands still (at most 50 steps). O(n p^2 + p^3 + p^2 types) for p features. `penalty` > 0 is in
/// units of examples: a type with that many quarter-examples of its own is believed half. Deterministic.
Logistic fit_logistic(std::span<const Example> examples, std::span<const double> targets, std::size_t types,
                      double penalty);

}  // namespace frugal::calibrate
