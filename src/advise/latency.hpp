// Where a request's time goes, fitted to the sample: how the wait for the first token grows with the prompt, and how a
// decode step grows with the requests in it.
#pragma once

#include "advise/estimate.hpp"

#include <frugal/advise/advisor.hpp>

#include <vector>

namespace frugal::advisor {

/// Time to first token = queue + constant + slope * computed prompt tokens.
struct PrefillModel {
  bool measured = false;  ///< prompts differ enough to fit a slope
  Interval slope_ms{};    ///< a token

  /// What a request waits less where `tokens` of its prompt need not be computed. Not measured: half to all of its
  /// wait, likely 0.8, is taken to be proportional to the computed tokens.
  double saved_ms(const Row& row, double tokens, Level level) const;
};

/// Decode step with n rows = step with one row * (1 + row * (n - 1)). Not measured where the pace does not clearly fall
/// with the requests in flight: then nobody knows over how many machines they are spread, and one row a step is taken.
struct DecodeModel {
  bool measured = false;
  Interval row{};
  double in_flight = 1;  ///< mean over output tokens; 1 where `row` is not measured
};

PrefillModel fit_prefill(const std::vector<Row>& rows);
DecodeModel fit_decode(const std::vector<Row>& rows, const Interval& usual);

}  // namespace frugal::advisor
