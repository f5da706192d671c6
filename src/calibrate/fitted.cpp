#include "calibrate/fitted.hpp"

#include <algorithm>
#include <cmath>

#include "calibrate/features.hpp"

namespace frugal {

double FittedCascade::Impl::risk(std::size_t tier, const calibrate::Sight& sight) const {
  const bool error = guarantee.kind == Guarantee::Kind::max_error;
  if (neighbours) return error ? 1 - sight.shares[tier] : sight.shares.back() - sight.shares[tier];
  const double right = models[tier].right(sight.example);
  if (error) return 1 - right;
  return models[tier].last.probability(sight.example) - right;
}

double FittedCascade::Impl::score(std::size_t tier, const calibrate::Sight& sight) const {
  const double plain = risk(tier, sight);
  if (!weigh_cost) return plain;
  const double own = mode == calibrate::Mode::judge ? 0 : costs[tier].at(sight.bytes);  // 0: it is paid already
  const double saving = costs.back().at(sight.bytes) - own;
  return plain / std::max(saving / mean_saving, 0.02);
}

std::optional<std::size_t> FittedCascade::Impl::type_number(std::string_view type) const {
  const auto found = std::find(types.begin(), types.end(), type);
  if (found == types.end()) return std::nullopt;
  return static_cast<std::size_t>(found - types.begin());
}

std::optional<std::vector<double>> FittedCascade::Impl::pick(std::span<const Feature> measured) const {
  std::vector<double> out;
  for (const std::string& name : features) {
    const std::optional<double> value = calibrate::value_of(measured, name);
    if (!value || !std::isfinite(*value)) return std::nullopt;
    out.push_back(*value);
  }
  return out;
}

namespace calibrate {

const char* name_of(Mode mode) { return mode == Mode::route ? "route" : mode == Mode::judge ? "judge" : "neighbours"; }

std::vector<Feature> recorded_features(const Outcome& outcome, std::size_t tier, Mode mode) {
  std::vector<Feature> all;
  const auto add = [&](const std::vector<Feature>& more) { all.insert(all.end(), more.begin(), more.end()); };
  if (outcome.prompt) add(prompt_features(*outcome.prompt));
  if (mode != Mode::judge) return all;
  const TierOutcome& attempt = outcome.attempts[tier];
  add(attempt.features);
  if (attempt.output) add(answer_features(*attempt.output));
  return all;
}

double prompt_bytes(const Outcome& outcome) { return outcome.prompt ? static_cast<double>(outcome.prompt->size()) : 0; }

std::size_t chosen_tier(std::span<const double> scores, double threshold) {
  for (std::size_t t = 0; t < scores.size(); ++t)
    if (scores[t] <= threshold) return t;
  return scores.size();
}

double cost_of(const Outcome& outcome, std::size_t chosen, Mode mode) {
  if (mode == Mode::route) return outcome.attempts[chosen].cost;
  if (mode == Mode::neighbours) return outcome.attempts[chosen].cost + outcome.embedding_cost;
  double sum = 0;
  for (std::size_t t = 0; t <= chosen; ++t) sum += outcome.attempts[t].cost;
  return sum;
}

}  // namespace calibrate

}  // namespace frugal
