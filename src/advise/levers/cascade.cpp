// Cascade: the first endpoint's answer is kept where its score reaches the threshold; only the rest pays for the next.
#include "advise/levers/levers.hpp"

#include <algorithm>
#include <cmath>

namespace frugal::advisor {

namespace {

/// The threshold in force: the lowest score that was accepted; where none was (a shadow run), the caller's.
double threshold(const Facts& facts) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const Row& row : facts.rows)
    if (row.first_accepted && !std::isnan(row.score)) lowest = std::min(lowest, row.score);
  return std::isinf(lowest) ? facts.options.accept_score : lowest;
}

}  // namespace

Judgement judge_cascade(const Facts& facts) {
  Judgement j;
  double scored = 0, good = 0;
  const double least = threshold(facts);
  for (const Row& row : facts.rows)
    if (!std::isnan(row.score)) ++scored, good += row.score >= least;
  if (scored == 0) {
    j.unknown = "no request carries an answer of a smaller model with its score";
    return j;
  }
  j.reprice = [least](const Row& row, Level) -> Saved {
    if (std::isnan(row.score) || row.score < least) return {};
    return {.cost = row.later_cost};
  };
  j.settings.push_back({"accept_score", least});
  j.assumption = "an answer with a score of " + number(least) + " or more is good enough: that holds for " +
                 percent(good / scored) + " of the first answers";
  j.experiment =
      "record 400 requests per type with `frugal cascade record --tier SMALL --tier BIG`, then `frugal cascade fit "
      "--max-error 0.05` certifies a threshold, or says how many more it needs; 3 errors in 153 accepted answers "
      "certify "
      "5 % (95 % confidence)";
  return j;
}

}  // namespace frugal::advisor
