// Isotonic regression of P(right) on one feature: the non-decreasing (or non-increasing) steps with the least squares,
// by pooling adjacent violators (Ayer et al. 1955; for probabilities Zadrozny and Elkan 2002). No shape is assumed but
// that more of the feature is better, or worse.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "calibrate/logistic.hpp"

namespace frugal::calibrate {

/// Plain values; written to the policy file.
struct Isotonic {
  std::size_t feature = 0;                  ///< place in the rule's features
  std::vector<double> at{}, probability{};  ///< [steps]: centres that rise, and P(right) there; at least one step

  /// Linear between the centres, constant beyond the first and the last.
  double right(const Example& example) const;
};

/// The feature whose steps have the least log loss on these examples; each step is drawn towards the mean by one
/// example's weight. None where there is no feature that varies. O(features n log n). Deterministic.
std::optional<Isotonic> fit_isotonic(std::span<const Example> examples, std::span<const double> targets);

}  // namespace frugal::calibrate
