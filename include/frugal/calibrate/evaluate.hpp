// evaluate: what a fitted cascade would have done with recorded outcomes, beside the single tiers, a random mix and an
// oracle. For outcomes that it was not fitted on.
#pragma once

#include <frugal/calibrate/fit.hpp>
#include <frugal/calibrate/outcomes.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace frugal {

/// Cost and quality of one way to answer.
struct FrontPoint {
  std::string name{};     ///< "tier small", "random mix", "policy", "policy at other thresholds", "oracle"
  double cost_share = 0;  ///< of always asking the last tier
  double accuracy = 0;    ///< mean quality
};

struct EvaluationOf {
  std::string type{};  ///< empty = all
  std::uint64_t n = 0;
  double accepted_share = 0;
  std::optional<double> error_among_accepted{};  ///< none = nothing was accepted
  double loss_against_last = 0;
  std::optional<double> cost_share_of_last{};  ///< none = the last tier costs nothing
};

struct Evaluation {
  EvaluationOf all{};
  std::vector<EvaluationOf> by_type{};
  std::vector<FrontPoint> front{};
  /// Mean over the costs between the cheapest and the last tier of the share of their quality gap that the policy's
  /// thresholds recover (after RouteLLM's APGR): a random mix has 0.5. None where the tiers do not differ.
  std::optional<double> area_of_gap_recovered{};
  bool held = true;  ///< the guarantee's limit was kept on these outcomes
};

/// Throws Error(invalid_argument) where the outcomes are of other tiers, lack a feature that the rule reads, or are none.
FRUGAL_API Evaluation evaluate(const FittedCascade& cascade, const Outcomes& outcomes);

/// One JSON object: n, accepted_share, error_among_accepted, loss_against_last, cost_share_of_last, by_type, front, ...
FRUGAL_API std::string evaluation_json(const FittedCascade& cascade, const Evaluation& evaluation);

/// A page with the cost-quality front and the table by type. No script, nothing from outside.
FRUGAL_API std::string evaluation_html(const FittedCascade& cascade, const Evaluation& evaluation);

}  // namespace frugal
