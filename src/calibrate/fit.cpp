#include <frugal/calibrate/bounds.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/training.hpp"
#include "core/version_text.hpp"

namespace frugal {

namespace {

using calibrate::Candidate;
using calibrate::Graded;
using calibrate::Mode;
using calibrate::Rows;
using calibrate::Tally;
using Kind = Guarantee::Kind;

constexpr std::size_t fewest_outcomes = 20;
constexpr double clearly_cheaper = 0.96;
constexpr std::size_t fewest_of_a_type = 80;  // of a type's calibration outcomes, for a threshold of its own
constexpr std::size_t starts = 2;  // sequences of thresholds for max_error; each gets its share of the error level

[[noreturn]] void refuse(const std::string& why) { throw Error(Errc::invalid_argument, "fit_cascade: " + why); }

void check(const Outcomes& outcomes, const FitOptions& o) {
  const Guarantee& g = o.guarantee;
  if (!(g.limit > 0 && g.limit < 1)) refuse("the guarantee's limit must be above 0 and below 1");
  if (!(g.confidence > 0.5 && g.confidence < 1)) refuse("the confidence must be above 0.5 and below 1");
  if (!(o.calibration_share >= 0.2 && o.calibration_share <= 0.8))
    refuse("the calibration share must lie between 0.2 and 0.8");
  if (outcomes.tiers.size() < 2) refuse("a cascade needs at least two tiers");
  if (outcomes.rows.size() < fewest_outcomes)
    refuse("only " + std::to_string(outcomes.rows.size()) + " outcomes; at least " + std::to_string(fewest_outcomes) +
           " are needed to fit anything, and hundreds for a certificate");
}

// The two parts of the outcomes.
struct Split {
  Rows train, calibration;
};

Split split(std::size_t n, const FitOptions& o) {
  const Rows order = calibrate::shuffled(n, o.seed);
  const auto first = static_cast<std::ptrdiff_t>(static_cast<double>(n) * (1 - o.calibration_share));
  return {Rows(order.begin(), order.begin() + first), Rows(order.begin() + first, order.end())};
}

std::uint64_t horizon_of(const Guarantee& g, std::size_t outcomes) { return g.horizon.value_or(outcomes); }

// The horizon in accepted answers, for a limit on their errors.
std::uint64_t accepted_horizon(const Tally& t, std::uint64_t horizon) {
  if (horizon == 0 || t.n == 0) return 0;
  return std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(horizon) * static_cast<double>(t.accepted) / double(t.n)));
}

double p_value(const Tally& t, const Guarantee& g, std::uint64_t horizon) {
  if (g.kind == Kind::max_error) return error_p_value(t.errors, t.accepted, g.limit, accepted_horizon(t, horizon));
  return loss_p_value({t.losses, t.gains, t.n}, g.limit, horizon);
}

// What a p-value would be for `n` calibration outcomes that come out as these did; a normal approximation, for choosing
// among rules only.
bool likely_to_pass(const Tally& t, const Guarantee& g, double n, double horizon) {
  const double level = g.confidence > 0.98 ? 2.33 : 1.75;
  double mean = t.loss(), variance = double(t.losses + t.gains) / double(t.n) - mean * mean, scale = 1;
  if (g.kind == Kind::max_error) {
    if (t.accepted == 0) return false;
    mean = (double(t.errors) + 0.5) / (double(t.accepted) + 1);
    variance = mean * (1 - mean);
    scale = double(t.accepted) / double(t.n);
  }
  const double spread = 1 / (n * scale) + (horizon > 0 ? 1 / (horizon * scale) : 0);
  return mean + level * std::sqrt(std::max(variance, 1e-9) * spread) <= g.limit;
}

// How far into a limit some rows go: 1 = they are at it.
double used_up(const Tally& t, const Guarantee& g) {
  if (g.kind == Kind::max_loss) return t.loss() / g.limit;
  return t.accepted == 0 ? 0 : (double(t.errors) + 0.5) / (double(t.accepted) + 1) / g.limit;
}

// The cost of a candidate on held-out rows: the mean of what it spends where the guarantee leaves room, and at quarters
// of the limit. One threshold alone would be too noisy to choose by where outcomes are few.
double expected_cost(const Graded& graded, const Candidate& c, const FitOptions& o, const Split& parts) {
  constexpr std::size_t quarters = 4;
  const double horizon = static_cast<double>(horizon_of(o.guarantee, graded.outcomes->rows.size()));
  const auto scores = calibrate::held_out_scores(graded, c, o.guarantee, parts.train);
  const auto at = [&](double threshold) { return calibrate::tally(graded, parts.train, scores, threshold, c.mode); };
  std::array<double, quarters + 1> least{};
  least.fill(at(-std::numeric_limits<double>::infinity()).cost_of_last);  // where nothing else is possible
  for (const double threshold : calibrate::threshold_grid(scores)) {
    const Tally t = at(threshold);
    for (std::size_t i = 0; i < quarters; ++i)
      if (used_up(t, o.guarantee) <= double(i + 1) / quarters) least[i] = std::min(least[i], t.cost);
    if (t.cost < least[quarters] && likely_to_pass(t, o.guarantee, double(parts.calibration.size()), horizon))
      least[quarters] = t.cost;
  }
  return std::accumulate(least.begin(), least.end(), 0.0) / double(least.size());
}

// The candidate that costs least. A later one must be clearly cheaper than those before it: small differences are noise.
Candidate choose(const Graded& graded, const FitOptions& o, const Split& parts) {
  const std::vector<Candidate> all = calibrate::candidates(graded, o.guarantee, o.router);
  Candidate best = all.front();
  double least = std::numeric_limits<double>::infinity();
  for (const Candidate& c : all) {
    const double cost = expected_cost(graded, c, o, parts);
    if (cost >= clearly_cheaper * least) continue;
    least = cost;
    best = c;
  }
  return best;
}

struct Chosen {
  double threshold = 0, p = 1;
  Tally tally{};
};

// Raises the threshold from grid[start] while the test passes at `level`; none = it fails at once.
template <class Test>
std::optional<Chosen> climb(const std::vector<double>& grid, std::size_t start, double level, const Test& test) {
  std::optional<Chosen> best;
  for (std::size_t i = start; i < grid.size(); ++i) {
    Chosen here = test(grid[i]);
    if (here.p > level) break;
    best = std::move(here);
  }
  return best;
}

// Where sequences begin. A loss test has the most power where little is accepted; an error test where the training part
// promises the least p-value, and as a second try half way below that.
std::vector<std::size_t> begins(const std::vector<double>& grid, const std::vector<double>& expected, Kind kind) {
  if (kind == Kind::max_loss) return {0};
  const auto best = static_cast<std::size_t>(std::min_element(expected.begin(), expected.end()) - expected.begin());
  std::vector<std::size_t> all{best, best / 2};
  if (grid.size() == 1 || all[0] == all[1]) all.pop_back();
  return all;
}

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", x);
  return text;
}

// How many outcomes would have been enough if all had come out like these, or 0 if no number would.
std::uint64_t enough(const Tally& t, const FitOptions& o, double level) {
  const Guarantee& g = o.guarantee;
  for (double times = 1; times < 1e4; times *= 1.25) {
    const auto more = [&](std::uint64_t x) { return static_cast<std::uint64_t>(double(x) * times); };
    Tally grown{more(t.n), more(t.accepted), more(t.errors), more(t.losses), more(t.gains)};
    const double outcomes = double(grown.n) / o.calibration_share;
    if (p_value(grown, g, g.horizon.value_or(static_cast<std::uint64_t>(outcomes))) <= level)
      return static_cast<std::uint64_t>(outcomes);
    if (double(grown.n) > 1e7) break;
  }
  return 0;
}

// The smallest limit that this calibration part would have certified.
double smallest_limit(const Tally& t, Guarantee g, std::uint64_t horizon, double level) {
  double low = g.limit, high = 1;
  for (int i = 0; i < 24; ++i) {
    g.limit = (low + high) / 2;
    (p_value(t, g, horizon) <= level ? high : low) = g.limit;
  }
  return high;
}

std::string infeasible(const std::vector<Chosen>& tried, const FitOptions& o, std::uint64_t horizon, double level) {
  const Guarantee& g = o.guarantee;
  double limit = 1;
  std::uint64_t labels = 0;
  for (const Chosen& c : tried) {
    limit = std::min(limit, smallest_limit(c.tally, g, horizon, level));
    const std::uint64_t n = enough(c.tally, o, level);
    if (n > 0 && (labels == 0 || n < labels)) labels = n;
  }
  std::string text = std::string("no threshold keeps ") +
                     (g.kind == Kind::max_loss ? "a loss of at most " : "an error of at most ") + number(g.limit) +
                     " with confidence " + number(g.confidence) +
                     " on these outcomes; the smallest feasible limit is about " + number(limit);
  if (labels > 0) return text + "; about " + std::to_string(labels) + " outcomes like these would do";
  return text + "; more outcomes like these would not help: the tiers below the last one are wrong too often";
}

FitFacts facts_of(const Chosen& c, const Split& parts, std::size_t n) {
  const Tally& t = c.tally;
  FitFacts f;
  f.outcomes = n;
  f.train = parts.train.size();
  f.calibration = parts.calibration.size();
  f.accepted_share = double(t.accepted) / double(t.n);
  f.loss = t.loss();
  if (t.accepted > 0) f.error = double(t.errors) / double(t.accepted);
  f.cost_share = t.cost_of_last > 0 ? t.cost / t.cost_of_last : 1;
  f.p_value = c.p;
  return f;
}

using Scores = std::vector<std::vector<double>>;

// Outcomes that share a threshold, with their scores; those of `train` are held out.
struct Group {
  std::vector<std::size_t> types{};  // numbers; empty = all
  Rows train{}, calibration{};
  Scores train_scores{}, scores{};
};

// What the fit of one group came to.
struct Certified {
  std::optional<Chosen> best{};
  double tight = 0;
  std::vector<Chosen> failed{};
};

// A threshold that accepts half as many of these rows; fewer where many share one score, as neighbours give it.
double half_as_strict(const Scores& scores, double threshold) {
  std::vector<double> accepted;
  for (const std::vector<double>& row : scores)
    if (const double least = *std::min_element(row.begin(), row.end()); least <= threshold) accepted.push_back(least);
  if (accepted.empty()) return threshold;
  const auto middle = accepted.begin() + static_cast<std::ptrdiff_t>(accepted.size() / 2);
  std::nth_element(accepted.begin(), middle, accepted.end());
  const double half = *middle;
  double below = -std::numeric_limits<double>::infinity();
  std::size_t taken = 0;
  for (const double score : accepted) {
    if (score <= half) ++taken;
    if (score < half) below = std::max(below, score);
  }
  return 4 * taken > 3 * accepted.size() ? below : half;
}

// Fixed-sequence testing over thresholds, at this error level.
Certified certify(const Graded& graded, const Group& g, Mode mode, const Guarantee& guarantee, std::uint64_t horizon,
                  double error_level) {
  Certified out;
  const std::vector<double> grid = calibrate::threshold_grid(g.train_scores);
  if (grid.empty()) return out;
  const auto test = [&](double threshold) {
    Chosen c;
    c.threshold = threshold;
    c.tally = calibrate::tally(graded, g.calibration, g.scores, threshold, mode);
    c.p = p_value(c.tally, guarantee, horizon);
    return c;
  };
  std::vector<double> hoped;
  for (const double threshold : grid) {
    if (guarantee.kind == Kind::max_loss) break;
    hoped.push_back(p_value(calibrate::tally(graded, g.train, g.train_scores, threshold, mode), guarantee, horizon));
  }
  const double level = error_level / (guarantee.kind == Kind::max_error ? double(starts) : 1.0);
  for (const std::size_t start : begins(grid, hoped, guarantee.kind)) {
    std::optional<Chosen> found = climb(grid, start, level, test);
    if (!found || found->tally.accepted == 0) out.failed.push_back(test(grid[start]));
    if (found && found->tally.accepted > 0 && (!out.best || found->tally.cost < out.best->tally.cost))
      out.best = std::move(found);
  }
  if (out.best) out.tight = half_as_strict(g.train_scores, out.best->threshold);
  return out;
}

// One group of all; or by type, as the training part alone suggests, with one more for the types that are left.
std::vector<Group> groups_of(const Graded& graded, const FittedCascade::Impl& rule, const FitOptions& o, Group all) {
  if (!o.by_type) return {std::move(all)};
  const auto of_types = [&](const std::vector<bool>& wanted) {
    Group g;
    const auto type_of = [&](std::size_t row) { return rule.type_number(graded.outcomes->rows[row].type); };
    for (std::size_t t = 0; t < wanted.size(); ++t)
      if (wanted[t]) g.types.push_back(t);
    const auto take = [&](const Rows& rows, const Scores& scores, Rows& to, Scores& to_scores) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::optional<std::size_t> type = type_of(rows[i]);
        if (!type || !wanted[*type]) continue;
        to.push_back(rows[i]);
        to_scores.push_back(scores[i]);
      }
    };
    take(all.train, all.train_scores, g.train, g.train_scores);
    take(all.calibration, all.scores, g.calibration, g.scores);
    return g;
  };
  std::vector<Group> out;
  std::vector<bool> left(rule.types.size(), true);
  for (std::size_t t = 0; t < rule.types.size(); ++t) {
    std::vector<bool> only(rule.types.size(), false);
    only[t] = true;
    Group g = of_types(only);
    const auto n = static_cast<double>(g.calibration.size());
    bool hopeful = false;
    for (const double threshold : calibrate::threshold_grid(g.train_scores))
      hopeful =
          hopeful || likely_to_pass(calibrate::tally(graded, g.train, g.train_scores, threshold, rule.mode),
                                    o.guarantee, n, o.guarantee.horizon.value_or(g.calibration.size()) > 0 ? n : 0);
    if (g.calibration.size() < fewest_of_a_type || !hopeful) continue;
    left[t] = false;
    out.push_back(std::move(g));
  }
  if (std::find(left.begin(), left.end(), true) != left.end()) out.push_back(of_types(left));
  return out;
}

Tally& operator+=(Tally& a, const Tally& b) {
  a.n += b.n, a.accepted += b.accepted, a.errors += b.errors, a.losses += b.losses, a.gains += b.gains;
  a.cost += b.cost, a.cost_of_last += b.cost_of_last;
  return a;
}

// What all groups come to together; the rule gets their thresholds. None = no group could be certified.
std::optional<Chosen> combine(FittedCascade::Impl& rule, const Graded& graded, const std::vector<Group>& groups,
                              const std::vector<Certified>& certified) {
  constexpr double nothing = -std::numeric_limits<double>::infinity();
  Chosen sum;
  sum.p = 0;
  rule.thresholds.assign(groups.front().types.empty() ? 1 : rule.types.size(), nothing);
  rule.tight = rule.thresholds;
  bool any = false;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::optional<Chosen>& best = certified[i].best;
    any = any || best;
    sum.tally +=
        best ? best->tally : calibrate::tally(graded, groups[i].calibration, groups[i].scores, nothing, rule.mode);
    if (!best) continue;
    sum.p = std::max(sum.p, best->p);
    const std::vector<std::size_t> places = groups[i].types.empty() ? std::vector<std::size_t>{0} : groups[i].types;
    for (const std::size_t t : places) rule.thresholds[t] = best->threshold, rule.tight[t] = certified[i].tight;
  }
  return any ? std::optional(sum) : std::nullopt;
}

}  // namespace

expected<FittedCascade> fit_cascade(const Outcomes& outcomes, const FitOptions& o) {
  check(outcomes, o);
  const Graded graded(outcomes, o.seed);
  const Split parts = split(outcomes.rows.size(), o);
  const Candidate candidate = choose(graded, o, parts);
  auto rule = std::make_shared<FittedCascade::Impl>(calibrate::train(graded, candidate, o.guarantee, parts.train));
  const std::uint64_t horizon = horizon_of(o.guarantee, outcomes.rows.size());
  rule->guarantee.horizon = horizon;

  Group all{{},
            parts.train,
            parts.calibration,
            calibrate::held_out_scores(graded, candidate, o.guarantee, parts.train),
            calibrate::scores_of(*rule, graded, parts.calibration)};
  const std::vector<Group> groups = groups_of(graded, *rule, o, std::move(all));
  const double level = (1 - o.guarantee.confidence) / double(groups.size());
  std::vector<Certified> certified;
  std::vector<Chosen> failed;
  for (const Group& g : groups) {
    const double share = double(g.calibration.size()) / double(parts.calibration.size());
    const auto own = horizon == 0 ? 0 : std::max<std::uint64_t>(1, std::uint64_t(share * double(horizon)));
    certified.push_back(certify(graded, g, rule->mode, o.guarantee, groups.size() == 1 ? horizon : own, level));
    failed.insert(failed.end(), certified.back().failed.begin(), certified.back().failed.end());
  }
  const std::optional<Chosen> best = combine(*rule, graded, groups, certified);
  if (!best && failed.empty()) return unexpected(Errc::invalid_argument, "fit_cascade: no outcome could be scored");
  if (!best)
    return unexpected(
        Errc::invalid_argument,
        "fit_cascade: " +
            infeasible(failed, o, horizon, level / (o.guarantee.kind == Kind::max_error ? double(starts) : 1.0)));
  if (best->tally.cost_of_last > 0 && best->tally.cost >= best->tally.cost_of_last)
    return unexpected(Errc::invalid_argument,
                      "fit_cascade: no useful threshold is feasible: the bound can be kept, at " +
                          number(100 * best->tally.cost / best->tally.cost_of_last) +
                          " % of the cost of always asking the last tier");
  rule->facts = facts_of(*best, parts, outcomes.rows.size());
  rule->facts.thresholds = static_cast<std::uint64_t>(
      std::count_if(certified.begin(), certified.end(), [](const Certified& c) { return c.best.has_value(); }));
  rule->seed = o.seed;
  rule->calibration_share = o.calibration_share;
  rule->date = o.date;
  rule->version = version_text();
  return FittedCascade(std::move(rule));
}

}  // namespace frugal
