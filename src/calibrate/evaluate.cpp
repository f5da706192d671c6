#include <frugal/calibrate/evaluate.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "calibrate/training.hpp"

namespace frugal {

namespace {

using calibrate::Rows;
using Scores = std::vector<std::vector<double>>;

constexpr std::size_t curve_points = 40;

// Sums over rows, with grades as they are.
struct Sums {
  double n = 0, accepted = 0, wrong = 0, quality = 0, last_quality = 0, cost = 0, last_cost = 0;

  void add(const Outcome& row, std::size_t chosen, calibrate::Mode mode) {
    const TierOutcome& last = row.attempts.back();
    n += 1;
    quality += row.attempts[chosen].quality;
    last_quality += last.quality;
    cost += calibrate::cost_of(row, chosen, mode);
    last_cost += last.cost;
    if (chosen + 1 == row.attempts.size()) return;
    accepted += 1;
    wrong += 1 - row.attempts[chosen].quality;
  }
};

EvaluationOf summary(const std::string& type, const Sums& s) {
  EvaluationOf out;
  out.type = type;
  out.n = static_cast<std::uint64_t>(s.n);
  out.accepted_share = s.accepted / s.n;
  if (s.accepted > 0) out.error_among_accepted = s.wrong / s.accepted;
  out.loss_against_last = (s.last_quality - s.quality) / s.n;
  if (s.last_cost > 0) out.cost_share_of_last = s.cost / s.last_cost;
  return out;
}

Sums at_threshold(const FittedCascade::Impl& rule, const Outcomes& outcomes, const Scores& scores, double threshold) {
  Sums sums;
  for (std::size_t i = 0; i < outcomes.rows.size(); ++i)
    sums.add(outcomes.rows[i], calibrate::chosen_tier(scores[i], threshold), rule.mode);
  return sums;
}

std::size_t chosen_by(const FittedCascade::Impl& rule, const Outcome& row, const std::vector<double>& scores) {
  const std::optional<std::size_t> type = rule.type_number(row.type);
  return type ? calibrate::chosen_tier(scores, rule.threshold_of(*type)) : scores.size();
}

FrontPoint point(std::string name, const Sums& s) {
  return {std::move(name), s.last_cost > 0 ? s.cost / s.last_cost : 1, s.quality / s.n};
}

void add_single_tiers(const Outcomes& outcomes, std::vector<FrontPoint>& front) {
  for (std::size_t t = 0; t < outcomes.tiers.size(); ++t) {
    Sums sums;
    for (const Outcome& row : outcomes.rows) sums.add(row, t, calibrate::Mode::route);
    front.push_back(point("tier " + outcomes.tiers[t], sums));
  }
}

// Knows every answer beforehand: the best one, and the cheapest among equals.
FrontPoint oracle(const Outcomes& outcomes) {
  Sums sums;
  for (const Outcome& row : outcomes.rows) {
    std::size_t best = 0;
    for (std::size_t t = 1; t < row.attempts.size(); ++t)
      if (row.attempts[t].quality > row.attempts[best].quality) best = t;
    sums.add(row, best, calibrate::Mode::route);
  }
  return point("oracle", sums);
}

// Accuracy of a curve at a cost, linear between its points; the curve is sorted by cost.
double accuracy_at(const std::vector<FrontPoint>& curve, double cost) {
  if (cost <= curve.front().cost_share) return curve.front().accuracy;
  for (std::size_t i = 1; i < curve.size(); ++i) {
    if (cost > curve[i].cost_share) continue;
    const double width = curve[i].cost_share - curve[i - 1].cost_share;
    const double part = width > 0 ? (cost - curve[i - 1].cost_share) / width : 1;
    return curve[i - 1].accuracy + part * (curve[i].accuracy - curve[i - 1].accuracy);
  }
  return curve.back().accuracy;
}

std::optional<double> area_of_gap(std::vector<FrontPoint> curve, const FrontPoint& cheap, const FrontPoint& last) {
  if (!(last.cost_share > cheap.cost_share) || last.accuracy == cheap.accuracy) return std::nullopt;
  std::sort(curve.begin(), curve.end(),
            [](const FrontPoint& a, const FrontPoint& b) { return a.cost_share < b.cost_share; });
  double sum = 0;
  constexpr int steps = 200;
  for (int i = 0; i < steps; ++i) {
    const double cost = cheap.cost_share + (last.cost_share - cheap.cost_share) * (i + 0.5) / steps;
    sum += (accuracy_at(curve, cost) - cheap.accuracy) / (last.accuracy - cheap.accuracy);
  }
  return sum / steps;
}

void check(const FittedCascade::Impl& rule, const Outcomes& outcomes) {
  const auto refuse = [](const std::string& why) { throw Error(Errc::invalid_argument, "evaluate: " + why); };
  if (outcomes.rows.empty()) refuse("there are no outcomes");
  if (outcomes.tiers != rule.tiers) refuse("the outcomes are of other tiers than the policy");
  if (rule.neighbours && outcomes.embedder != rule.embedder)
    refuse("the policy looks for neighbours by \"" + rule.embedder + "\", and the outcomes have " +
           (outcomes.embedder.empty() ? "no embeddings" : "embeddings by \"" + outcomes.embedder + "\""));
  for (const Outcome& row : outcomes.rows) {
    if (rule.neighbours && row.embedding.size() != rule.neighbours->width)
      refuse("outcome \"" + row.id + "\" has an embedding of another length than the policy's");
    if (!rule.type_number(row.type)) continue;  // goes to the last tier, as when serving
    for (std::size_t t = 0; t + 1 < rule.tiers.size(); ++t)
      if (!rule.pick(calibrate::recorded_features(row, t, rule.mode)))
        refuse("outcome \"" + row.id + "\" lacks a feature that the policy judges by");
  }
}

}  // namespace

Evaluation evaluate(const FittedCascade& cascade, const Outcomes& outcomes) {
  const FittedCascade::Impl& rule = cascade.impl();
  check(rule, outcomes);
  Rows rows(outcomes.rows.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const Scores scores = calibrate::scores_of(rule, outcomes, rows);

  Evaluation out;
  std::map<std::string, Sums> by_type;
  for (std::size_t i = 0; i < rows.size(); ++i)
    by_type[outcomes.rows[i].type].add(outcomes.rows[i], chosen_by(rule, outcomes.rows[i], scores[i]), rule.mode);
  Sums all;
  for (std::size_t i = 0; i < rows.size(); ++i)
    all.add(outcomes.rows[i], chosen_by(rule, outcomes.rows[i], scores[i]), rule.mode);
  out.all = summary({}, all);
  for (const auto& [type, sums] : by_type) out.by_type.push_back(summary(type, sums));

  add_single_tiers(outcomes, out.front);
  const FrontPoint cheap = out.front.front(), last = out.front.back();
  out.front.push_back({"random mix", (cheap.cost_share + last.cost_share) / 2, (cheap.accuracy + last.accuracy) / 2});
  out.front.push_back(oracle(outcomes));
  out.front.push_back(point("policy", all));
  std::vector<FrontPoint> curve;
  const std::vector<double> grid = calibrate::threshold_grid(scores);
  const std::size_t stride = std::max<std::size_t>(1, grid.size() / curve_points);
  curve.push_back(point("policy at other thresholds",
                        at_threshold(rule, outcomes, scores, -std::numeric_limits<double>::infinity())));
  for (std::size_t i = 0; i < grid.size(); i += stride)
    curve.push_back(point("policy at other thresholds", at_threshold(rule, outcomes, scores, grid[i])));
  curve.push_back(
      point("policy at other thresholds", at_threshold(rule, outcomes, scores, std::numeric_limits<double>::max())));
  out.area_of_gap_recovered = area_of_gap(curve, cheap, last);
  out.front.insert(out.front.end(), curve.begin(), curve.end());

  const double limit = rule.guarantee.limit * (1 + 1e-12);
  out.held = rule.guarantee.kind == Guarantee::Kind::max_loss ? out.all.loss_against_last <= limit
                                                              : out.all.error_among_accepted.value_or(0) <= limit;
  return out;
}

}  // namespace frugal
