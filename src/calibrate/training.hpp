// Training a rule on a part of the outcomes: its features, models and costs, and how it would do on rows that it has not
// seen. Used by fit.cpp only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "calibrate/fitted.hpp"

namespace frugal::calibrate {

/// One way to build a rule.
struct Candidate {
  Mode mode = Mode::route;
  bool use_features = true;  ///< false: by request type alone
  bool weigh_cost = false;
  double penalty = 10;
  bool isotonic = false;       ///< P(right) by steps over one feature, instead of logistic over all
  std::size_t neighbours = 0;  ///< how many are asked, in Mode::neighbours
};

/// The features that every attempt below the last tier has, measured once: rules pick them by place, not by name.
struct Measured {
  std::vector<std::string> names{};
  std::vector<std::vector<double>> values{};  ///< [rows * (tiers - 1)][names]

  Measured(const Outcomes& outcomes, Mode mode);
};

/// Outcomes with every grade rounded to right or wrong: up with the grade's own probability, so that the mean is kept and
/// exact tests for counts apply. 0 and 1 stay what they are.
struct Graded {
  const Outcomes* outcomes = nullptr;
  std::vector<std::vector<bool>> right{};  ///< [rows][tiers]
  Measured route, judge;
  std::vector<std::vector<float>> vectors{};  ///< [rows]: the embeddings at length 1, where there are any

  const Measured& measured(Mode mode) const { return mode == Mode::judge ? judge : route; }

  Graded(const Outcomes& o, std::uint64_t seed);
  std::size_t tiers() const { return outcomes->tiers.size(); }
};

using Rows = std::vector<std::size_t>;

/// 0 .. n - 1 in an order that the seed gives.
Rows shuffled(std::size_t n, std::uint64_t seed);

/// The rules worth trying on these outcomes, what is plain and usual first. Throws Error(invalid_argument) where the
/// router needs embeddings and there are none.
std::vector<Candidate> candidates(const Graded& graded, const Guarantee& guarantee, Router router);

/// Fits the candidate's models on these rows. Types are those of `rows`.
FittedCascade::Impl train(const Graded& graded, const Candidate& candidate, const Guarantee& guarantee,
                          std::span<const std::size_t> rows);

/// [rows][tiers - 1]: the rule's scores; infinite where it cannot judge.
std::vector<std::vector<double>> scores_of(const FittedCascade::Impl& rule, const Outcomes& outcomes,
                                           std::span<const std::size_t> rows);
/// The same for a rule that was trained on these outcomes.
std::vector<std::vector<double>> scores_of(const FittedCascade::Impl& rule, const Graded& graded,
                                           std::span<const std::size_t> rows);

/// The same for rules trained without the fold that a row is in (5 folds).
std::vector<std::vector<double>> held_out_scores(const Graded& graded, const Candidate& candidate,
                                                 const Guarantee& guarantee, std::span<const std::size_t> rows);

/// What answering by a threshold does to some rows.
struct Tally {
  std::uint64_t n = 0, accepted = 0, errors = 0, losses = 0, gains = 0;
  double cost = 0, cost_of_last = 0;

  double loss() const { return n == 0 ? 0 : (static_cast<double>(losses) - static_cast<double>(gains)) / double(n); }
};
Tally tally(const Graded& graded, std::span<const std::size_t> rows, const std::vector<std::vector<double>>& scores,
            double threshold, Mode mode);

/// Increasing thresholds that take from about one in fifty of the rows to all of them.
std::vector<double> threshold_grid(const std::vector<std::vector<double>>& scores);

}  // namespace frugal::calibrate
