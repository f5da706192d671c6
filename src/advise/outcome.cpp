// Prediction and outcome: two traces of one service, before and after a lever was pulled.
#include "advise/estimate.hpp"
#include "advise/state.hpp"

#include <frugal/advise/outcome.hpp>
#include <frugal/core/error.hpp>

#include <array>
#include <cmath>

namespace frugal {

using advisor::Row;

namespace {

/// Mean and variance of one metric over the sampled requests of one type.
struct Moments {
  double n = 0, sum = 0, squares = 0;

  void add(double value) { ++n, sum += value, squares += value * value; }
  double mean() const { return sum / n; }
  /// Of the mean; of a single value nothing is known, so as large as itself.
  double variance() const { return n < 2 ? mean() * mean() : std::max(0.0, squares - sum * sum / n) / (n - 1) / n; }
};

double value(const Row& row, Metric metric) {
  if (metric == Metric::cost) return row.cost;
  if (metric == Metric::ttft) return row.ttft_ms;
  return row.e2e_ms;
}

std::vector<Moments> moments(const Workload& workload, Metric metric) {
  std::vector<Moments> by_type(workload.types().size());
  for (const Row& row : workload.state().sample.rows())
    if (const double v = value(row, metric); !std::isnan(v)) by_type[row.type].add(v);
  return by_type;
}

std::optional<std::size_t> type_named(const Workload& workload, const std::string& name) {
  for (std::size_t i = 0; i < workload.types().size(); ++i)
    if (workload.types()[i].name == name) return i;
  return std::nullopt;
}

/// Weighted sums of the types' means and of the means' variances.
struct Arm {
  double mean = 0, variance = 0;
  void add(const Moments& m, double weight) { mean += weight * m.mean(), variance += weight * weight * m.variance(); }
  double relative_variance() const { return variance / (mean * mean); }
};

std::optional<Change> change(const Workload& before, const Workload& after, Metric metric) {
  const std::vector<Moments> old = moments(before, metric), fresh = moments(after, metric);
  Arm first, second;
  double requests = 0, degrees = 0;
  for (std::size_t i = 0; i < old.size(); ++i) {
    const auto twin = type_named(after, before.types()[i].name);
    if (old[i].n == 0 || !twin || fresh[*twin].n == 0) continue;
    first.add(old[i], old[i].n), second.add(fresh[*twin], old[i].n);
    requests += old[i].n, degrees += std::min(old[i].n, fresh[*twin].n) - 1;
  }
  if (requests == 0 || first.mean <= 0) return std::nullopt;
  const double ratio = second.mean / first.mean;
  const double half = advisor::student(std::max(1.0, degrees)) * std::sqrt(second.variance / (first.mean * first.mean) +
                                                                           ratio * ratio * first.relative_variance());
  return Change{.metric = metric,
                .before = first.mean / requests,
                .after = second.mean / requests,
                .saving = {1 - ratio, 1 - ratio - half, std::min(1.0, 1 - ratio + half)}};
}

void name_strangers(const Workload& one, const Workload& other, const char* where, std::vector<std::string>& notes) {
  for (const SliceStats& type : one.types())
    if (!type_named(other, type.name))
      notes.push_back("type " + type.name + " is only in the trace " + where + " and is left out");
}

}  // namespace

LeverOutcome compare(const Workload& before, const Workload& after, const Advice* predicted,
                     std::optional<Lever> lever) {
  if (!before.state().finished || !after.state().finished)
    throw Error(Errc::invalid_argument, "compare: a workload is not finished (Workload::finish)");
  LeverOutcome outcome{.lever = lever};
  const bool one_currency = before.relative_prices() == after.relative_prices();
  for (const Metric metric : {Metric::cost, Metric::ttft, Metric::e2e}) {
    if (metric == Metric::cost && !one_currency) continue;
    std::optional<Change> c = change(before, after, metric);
    if (!c) continue;
    if (predicted != nullptr && lever) c->predicted = predicted->of(*lever).on(metric);
    c->as_predicted = c->predicted && c->predicted->low <= c->saving.high && c->saving.low <= c->predicted->high;
    outcome.changes.push_back(*c);
  }
  if (!one_currency) outcome.notes.push_back("only one of the traces has prices: costs are not compared");
  name_strangers(before, after, "before", outcome.notes), name_strangers(after, before, "after", outcome.notes);
  return outcome;
}

}  // namespace frugal
