#include "calibrate/training.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "calibrate/features.hpp"
#include "core/splitmix.hpp"

namespace frugal::calibrate {

namespace {

constexpr std::size_t folds = 5;
constexpr std::size_t grid_steps = 80;
constexpr std::size_t neighbour_counts[] = {40, 10, 160};
constexpr double infinity = std::numeric_limits<double>::infinity();

CostLine cost_line(const Outcomes& outcomes, std::span<const std::size_t> rows, std::size_t tier) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const std::size_t r : rows) {
    const double bytes = prompt_bytes(outcomes.rows[r]), cost = outcomes.rows[r].attempts[tier].cost;
    n += 1;
    x += bytes;
    y += cost;
    xx += bytes * bytes;
    xy += bytes * cost;
  }
  const double spread = n * xx - x * x;
  const double slope = spread > 1e-9 * n * xx ? std::max(0.0, (n * xy - x * y) / spread) : 0;
  return {(y - slope * x) / n, slope};
}

// The features that the rule uses: all that were measured in its mode, or none.
std::vector<double> seen_by(const FittedCascade::Impl& rule, const Graded& graded, std::size_t row, std::size_t tier) {
  if (rule.features.empty()) return {};
  return graded.measured(rule.mode).values[row * (graded.tiers() - 1) + tier];
}

std::vector<Example> examples_of(const FittedCascade::Impl& rule, const Graded& graded,
                                 std::span<const std::size_t> rows, std::size_t tier) {
  std::vector<Example> out;
  for (const std::size_t r : rows)
    out.push_back({seen_by(rule, graded, r, tier), *rule.type_number(graded.outcomes->rows[r].type)});
  return out;
}

std::vector<double> targets_of(const Graded& graded, std::span<const std::size_t> rows, std::size_t tier) {
  std::vector<double> out;
  for (const std::size_t r : rows) out.push_back(graded.right[r][tier] ? 1 : 0);
  return out;
}

Neighbours neighbours_of(const Graded& graded, std::size_t count, std::span<const std::size_t> rows) {
  Neighbours out;
  out.count = std::min(count, rows.size());
  out.width = graded.vectors.front().size();
  out.tiers = graded.tiers();
  for (const std::size_t r : rows) {
    out.at.insert(out.at.end(), graded.vectors[r].begin(), graded.vectors[r].end());
    for (const bool right : graded.right[r]) out.right.push_back(right ? 1 : 0);
  }
  return out;
}

void fit_costs(FittedCascade::Impl& rule, const Outcomes& outcomes, std::span<const std::size_t> rows) {
  for (std::size_t t = 0; t < outcomes.tiers.size(); ++t) rule.costs.push_back(cost_line(outcomes, rows, t));
  double saving = 0;
  for (const std::size_t r : rows) {
    const std::vector<TierOutcome>& a = outcomes.rows[r].attempts;
    saving += a.back().cost - (rule.mode == Mode::judge ? 0 : a.front().cost);
  }
  saving /= static_cast<double>(rows.size());
  rule.mean_saving = saving > 0 ? saving : 1;
}

}  // namespace

Rows shuffled(std::size_t n, std::uint64_t seed) {
  Rows rows(n);
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  for (std::size_t i = n; i > 1; --i) {
    const auto j = static_cast<std::size_t>(uniform_at(seed, i) * static_cast<double>(i));
    std::swap(rows[i - 1], rows[std::min(j, i - 1)]);
  }
  return rows;
}

Measured::Measured(const Outcomes& outcomes, Mode mode) {
  const std::size_t below = outcomes.tiers.size() - 1;
  std::vector<std::vector<Feature>> all;
  for (const Outcome& row : outcomes.rows)
    for (std::size_t t = 0; t < below; ++t) all.push_back(recorded_features(row, t, mode));
  // Attempts that were recorded alike have their features in the same places.
  const auto find = [](const std::vector<Feature>& features, const std::string& name, std::size_t place) {
    if (place < features.size() && features[place].first == name) return std::optional(features[place].second);
    return value_of(features, name);
  };
  std::vector<std::pair<std::string, std::size_t>> common;
  for (std::size_t i = 0; i < all.front().size(); ++i) {
    const std::string& name = all.front()[i].first;
    const auto has = [&](const std::vector<Feature>& features) { return find(features, name, i).has_value(); };
    const auto same = [&](const auto& other) { return other.first == name; };
    if (std::none_of(common.begin(), common.end(), same) && std::all_of(all.begin(), all.end(), has))
      common.emplace_back(name, i);
  }
  std::sort(common.begin(), common.end());
  for (const auto& [name, place] : common) names.push_back(name);
  for (const std::vector<Feature>& features : all) {
    std::vector<double> row;
    for (const auto& [name, place] : common) row.push_back(*find(features, name, place));
    values.push_back(std::move(row));
  }
}

Graded::Graded(const Outcomes& o, std::uint64_t seed) : outcomes(&o), route(o, Mode::route), judge(o, Mode::judge) {
  for (std::size_t r = 0; r < o.rows.size(); ++r) {
    std::vector<bool> row;
    for (std::size_t t = 0; t < o.tiers.size(); ++t)
      row.push_back(uniform_at(seed ^ 0x726f756e64ULL, r * o.tiers.size() + t) < o.rows[r].attempts[t].quality);
    right.push_back(std::move(row));
    if (!o.embedder.empty()) vectors.push_back(unit(o.rows[r].embedding));
    if (!o.embedder.empty() && (vectors.back().empty() || vectors.back().size() != vectors.front().size()))
      throw Error(Errc::invalid_argument, "outcome \"" + o.rows[r].id +
                                              "\": its embedding is missing, zero, not finite " +
                                              "or of another length than the first one's");
  }
}

std::vector<Candidate> candidates(const Graded& graded, const Guarantee& guarantee, Router router) {
  const bool prompts = !graded.route.names.empty();
  const bool answers = graded.judge.names.size() > graded.route.names.size();
  std::vector<Candidate> all;
  if (router == Router::neighbours) {
    if (graded.vectors.empty())
      throw Error(Errc::invalid_argument,
                  "fit_cascade: nearest neighbours need outcomes with embeddings, and these have none");
    for (const bool weigh : {true, false})
      for (const std::size_t count : neighbour_counts)
        if (!weigh || guarantee.kind == Guarantee::Kind::max_loss)
          all.push_back({.mode = Mode::neighbours, .use_features = false, .weigh_cost = weigh, .neighbours = count});
    return all;
  }
  for (const bool weigh : {true, false})
    for (const double penalty : {40.0, 10.0, 160.0}) {
      if (weigh && guarantee.kind == Guarantee::Kind::max_error) continue;
      if (answers) all.push_back({Mode::judge, true, weigh, penalty});
      if (prompts) all.push_back({Mode::route, true, weigh, penalty});
      all.push_back({Mode::route, false, weigh, penalty});
    }
  for (const bool weigh : {true, false}) {
    if (!answers || (weigh && guarantee.kind == Guarantee::Kind::max_error)) continue;
    all.push_back({Mode::judge, true, weigh, 10, true});
  }
  return all;
}

FittedCascade::Impl train(const Graded& graded, const Candidate& candidate, const Guarantee& guarantee,
                          std::span<const std::size_t> rows) {
  const Outcomes& outcomes = *graded.outcomes;
  FittedCascade::Impl rule;
  rule.tiers = outcomes.tiers;
  rule.own_models = outcomes.models;
  rule.own_models.resize(rule.tiers.size());
  rule.guarantee = guarantee;
  rule.mode = candidate.mode;
  rule.weigh_cost = candidate.weigh_cost;
  if (candidate.use_features) rule.features = graded.measured(candidate.mode).names;
  std::set<std::string> types;
  for (const std::size_t r : rows) types.insert(outcomes.rows[r].type);
  rule.types.assign(types.begin(), types.end());
  fit_costs(rule, outcomes, rows);
  if (candidate.mode == Mode::neighbours) {
    rule.neighbours = neighbours_of(graded, candidate.neighbours, rows);
    rule.embedder = outcomes.embedder;
    return rule;
  }
  for (std::size_t t = 0; t + 1 < outcomes.tiers.size(); ++t) {
    const std::vector<Example> examples = examples_of(rule, graded, rows, t);
    TierModel model;
    if (candidate.isotonic) model.steps = fit_isotonic(examples, targets_of(graded, rows, t));
    if (!model.steps)
      model.own = fit_logistic(examples, targets_of(graded, rows, t), rule.types.size(), candidate.penalty);
    if (guarantee.kind == Guarantee::Kind::max_loss)
      model.last =
          fit_logistic(examples, targets_of(graded, rows, graded.tiers() - 1), rule.types.size(), candidate.penalty);
    rule.models.push_back(std::move(model));
  }
  return rule;
}

std::vector<std::vector<double>> scores_of(const FittedCascade::Impl& rule, const Outcomes& outcomes,
                                           std::span<const std::size_t> rows) {
  std::vector<std::vector<double>> out;
  for (const std::size_t r : rows) {
    const Outcome& row = outcomes.rows[r];
    const std::optional<std::size_t> type = rule.type_number(row.type);
    std::vector<double> scores(rule.below(), infinity), shares;
    if (type && rule.neighbours) shares = rule.neighbours->shares(unit(row.embedding));
    for (std::size_t t = 0; type && t < scores.size(); ++t) {
      const auto features = rule.pick(recorded_features(row, t, rule.mode));
      if (features) scores[t] = rule.score(t, {{*features, *type}, prompt_bytes(row), shares});
    }
    out.push_back(std::move(scores));
  }
  return out;
}

std::vector<std::vector<double>> scores_of(const FittedCascade::Impl& rule, const Graded& graded,
                                           std::span<const std::size_t> rows) {
  std::vector<std::vector<double>> out;
  for (const std::size_t r : rows) {
    const Outcome& row = graded.outcomes->rows[r];
    const std::optional<std::size_t> type = rule.type_number(row.type);
    std::vector<double> scores(rule.below(), infinity), shares;
    if (type && rule.neighbours) shares = rule.neighbours->shares(graded.vectors[r]);
    for (std::size_t t = 0; type && t < scores.size(); ++t)
      scores[t] = rule.score(t, {{seen_by(rule, graded, r, t), *type}, prompt_bytes(row), shares});
    out.push_back(std::move(scores));
  }
  return out;
}

std::vector<std::vector<double>> held_out_scores(const Graded& graded, const Candidate& candidate,
                                                 const Guarantee& guarantee, std::span<const std::size_t> rows) {
  std::vector<std::vector<double>> out(rows.size());
  for (std::size_t fold = 0; fold < folds; ++fold) {
    Rows inside, outside, places;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      (i % folds == fold ? inside : outside).push_back(rows[i]);
      if (i % folds == fold) places.push_back(i);
    }
    const FittedCascade::Impl rule = train(graded, candidate, guarantee, outside);
    std::vector<std::vector<double>> scores = scores_of(rule, graded, inside);
    for (std::size_t i = 0; i < places.size(); ++i) out[places[i]] = std::move(scores[i]);
  }
  return out;
}

Tally tally(const Graded& graded, std::span<const std::size_t> rows, const std::vector<std::vector<double>>& scores,
            double threshold, Mode mode) {
  Tally sum;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Outcome& row = graded.outcomes->rows[rows[i]];
    const std::vector<bool>& right = graded.right[rows[i]];
    const std::size_t chosen = chosen_tier(scores[i], threshold);
    ++sum.n;
    sum.cost += cost_of(row, chosen, mode);
    sum.cost_of_last += row.attempts.back().cost;
    if (chosen + 1 == graded.tiers()) continue;
    ++sum.accepted;
    if (!right[chosen]) ++sum.errors;
    if (!right[chosen] && right.back()) ++sum.losses;
    if (right[chosen] && !right.back()) ++sum.gains;
  }
  return sum;
}

std::vector<double> threshold_grid(const std::vector<std::vector<double>>& scores) {
  std::vector<double> all;
  for (const std::vector<double>& row : scores)
    for (const double s : row)
      if (std::isfinite(s)) all.push_back(s);
  std::sort(all.begin(), all.end());
  std::vector<double> grid;
  for (std::size_t i = 1; i <= grid_steps && !all.empty(); ++i) {
    const double at = all[std::min(all.size() - 1, all.size() * (i + 1) / (grid_steps + 1))];
    if (grid.empty() || at > grid.back()) grid.push_back(at);
  }
  return grid;
}

}  // namespace frugal::calibrate
