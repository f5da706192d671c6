// Cap: in some types most answers are short and a few run away. A cap above the bulk cuts the runaways; an answer that
// was cut and is needed in full is asked for again, and then both are paid.
#include "advise/levers/levers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace frugal::advisor {

namespace {

constexpr double never = std::numeric_limits<double>::infinity();
constexpr std::size_t least_rows = 20;

/// A cap at `margin` times a quantile counts only if what lies beyond is at least `separation` times as long as the
/// cap: then it is another kind of answer, not the tail of the usual one. Beyond its 95th percentile an exponential
/// length is 1.33 times as long on average, a lognormal one of sigma 0.7 is 1.4 and one of sigma 1.2 1.9 times.
struct Place {
  double quantile, margin, separation;
};
constexpr std::array<Place, 10> places{{{0.5, 2, 5},
                                        {0.6, 2, 5},
                                        {0.7, 2, 5},
                                        {0.8, 1.25, 2.5},
                                        {0.85, 1.25, 2.5},
                                        {0.9, 1.25, 2.5},
                                        {0.95, 1.25, 2.5},
                                        {0.98, 1.25, 2.5},
                                        {0.9, 1, 2},
                                        {0.95, 1, 1.75}}};

/// How probable it is that a cut answer is asked for again.
Interval asked_again(const Row& row) {
  if (!row.finish_known) return {0.1, 0.3, 0};
  return row.cut ? Interval{0.05, 0.15, 0} : Interval{0.3, 0.6, 0.1};
}

Saved saving(const Row& row, double cap, Level level) {
  if (row.output <= cap) return {.e2e = where_split(row, 0)};
  const double again = at(asked_again(row), level);
  const double tokens = (1 - again) * (row.output - cap) - again * cap;
  const double decode = row.decode_ms * tokens / row.output;  // unknown where decoding is
  const double wait = std::isnan(row.ttft_ms) ? 0 : again * row.ttft_ms;
  return {tokens * row.per_output - again * row.prompt * row.per_input, 0, where_split(row, decode - wait)};
}

/// The cap of one type that likely saves the most output; `never` where none saves any.
double best_cap(const std::vector<const Row*>& rows) {
  std::vector<double> lengths;
  for (const Row* row : rows) lengths.push_back(row->output);
  std::sort(lengths.begin(), lengths.end());
  double best = never, most = 0;
  for (const Place& place : places) {
    const double cap = std::ceil(
        place.margin * lengths[static_cast<std::size_t>(place.quantile * static_cast<double>(lengths.size() - 1))]);
    const auto beyond = std::upper_bound(lengths.begin(), lengths.end(), cap);
    if (cap < 1 || beyond == lengths.end()) continue;
    double excess = 0, tokens = 0;
    for (auto length = beyond; length != lengths.end(); ++length) excess += *length;
    if (excess < place.separation * cap * static_cast<double>(lengths.end() - beyond)) continue;
    for (const Row* row : rows) tokens += saving(*row, cap, Level::likely).cost;
    if (tokens > most) best = cap, most = tokens;
  }
  return best;
}

}  // namespace

Judgement judge_cap(const Facts& facts) {
  Judgement j;
  std::vector<std::vector<const Row*>> by_type(facts.workload.types().size());
  for (const Row& row : facts.rows)
    if (row.output > 0) by_type[row.type].push_back(&row);
  std::vector<double> caps;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < by_type.size(); ++i) {
    caps.push_back(by_type[i].size() < least_rows ? never : best_cap(by_type[i]));
    if (caps.back() == never) continue;
    names.push_back(facts.workload.types()[i].name + " at " + number(caps.back()) + " tokens");
    j.settings.push_back({facts.workload.types()[i].name, caps.back()});
  }
  if (names.empty()) return j;
  j.reprice = [caps](const Row& row, Level level) { return saving(row, caps[row.type], level); };
  j.assumption =
      "answers that run far beyond the others of their type are no use in full (cap " + list_of(names) +
      "); a cut answer is asked for again in at most 30 of 100 cases, likely 10, where `finish` does not tell more";
  j.experiment = "cap a tenth of the traffic and count the requests that come again";
  return j;
}

}  // namespace frugal::advisor
