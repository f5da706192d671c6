// What a FittedCascade is made of, and the one rule by which it decides: when it is fitted, evaluated and served.
#pragma once

#include <frugal/calibrate/fit.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/isotonic.hpp"
#include "calibrate/logistic.hpp"
#include "calibrate/neighbours.hpp"

namespace frugal {

namespace calibrate {

/// route and neighbours decide before anything is generated.
enum class Mode : std::uint8_t { route, judge, neighbours };

/// A tier's cost, linear in the prompt's bytes: least squares over the recorded attempts.
struct CostLine {
  double fixed = 0, per_byte = 0;
  double at(double bytes) const { return fixed + per_byte * bytes; }
};

/// P(right) of a tier below the last, and of the last tier, given the same features.
struct TierModel {
  Logistic own{}, last{};
  std::optional<Isotonic> steps{};  ///< in place of `own`, where the judge is isotonic

  double right(const Example& example) const { return steps ? steps->right(example) : own.probability(example); }
};

/// What one decision is made from.
struct Sight {
  Example example{};
  double bytes = 0;              ///< of the prompt
  std::vector<double> shares{};  ///< [tiers]: Neighbours::shares, where the rule has them
};

}  // namespace calibrate

struct FittedCascade::Impl {
  std::vector<std::string> tiers{};
  Guarantee guarantee{};
  calibrate::Mode mode = calibrate::Mode::route;
  bool weigh_cost = false;                ///< risk is divided by the money that taking the answer saves
  std::vector<std::string> own_models{};  ///< [tiers]: what answered when it was recorded; empty texts = unknown
  /// Of score(), by type; -infinity = nothing is accepted. One entry = all types alike.
  std::vector<double> thresholds{0};
  std::vector<double> tight{0};         ///< the same, for FittedCascade::tightened
  std::vector<std::string> features{};  ///< in the models' order
  std::vector<std::string> types{};
  std::vector<calibrate::TierModel> models{};         ///< [tiers - 1]; none where there are neighbours
  std::optional<calibrate::Neighbours> neighbours{};  ///< in Mode::neighbours; of the training part
  std::string embedder{};                             ///< Embedder::identity of their vectors
  std::vector<calibrate::CostLine> costs{};           ///< [tiers]
  double mean_saving = 1;
  FitFacts facts{};
  std::uint64_t seed = 0;
  double calibration_share = 0;
  std::string date{}, version{};

  /// Of taking this tier's answer: P(wrong), or P(last right) - P(own right).
  double risk(std::size_t tier, const calibrate::Sight& sight) const;
  /// Risk per saved money where that is weighed; compared with the threshold.
  double score(std::size_t tier, const calibrate::Sight& sight) const;
  std::optional<std::size_t> type_number(std::string_view type) const;
  std::size_t below() const { return tiers.size() - 1; }  ///< tiers that may be accepted
  double threshold_of(std::size_t type) const { return thresholds.size() == 1 ? thresholds[0] : thresholds[type]; }
  double tight_of(std::size_t type) const { return tight.size() == 1 ? tight[0] : tight[type]; }
  /// The features by name, in order; none where one of them is missing or not finite.
  std::optional<std::vector<double>> pick(std::span<const Feature> measured) const;
};

namespace calibrate {

/// As FittedCascade::method.
const char* name_of(Mode mode);

/// What is known of a recorded attempt: its own features, then those measured on prompt and output.
std::vector<Feature> recorded_features(const Outcome& outcome, std::size_t tier, Mode mode);

double prompt_bytes(const Outcome& outcome);

/// The tier that answers each row when tiers are taken by `scores` [rows][tiers - 1] at a threshold.
std::size_t chosen_tier(std::span<const double> scores, double threshold);

/// What the row costs when `chosen` answers: in judge mode all tiers up to it are paid, with neighbours the embedding.
double cost_of(const Outcome& outcome, std::size_t chosen, Mode mode);

}  // namespace calibrate

}  // namespace frugal
