#include "advise/estimate.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace frugal::advisor {

namespace {

constexpr std::size_t most_chunks = 64;

/// Sums of one metric: what is saved at each level, and what there was.
struct Sums {
  std::array<double, 3> saved{};
  double total = 0;
};
using Chunks = std::array<std::vector<Sums>, 3>;  ///< [metric][chunk]

/// Totals of one row by metric; NaN where it was not recorded.
std::array<double, 3> totals(const Row& row) { return {row.cost, row.ttft_ms, row.e2e_ms}; }

/// A row counts for a metric where both its total and what the lever would save of it are known.
void add(Chunks& chunks, std::size_t chunk, const Row& row, const Reprice& reprice) {
  std::array<std::array<double, 3>, 3> saved{};  // [metric][level]
  for (const Level level : {Level::low, Level::likely, Level::high}) {
    const Saved s = reprice(row, level);
    const auto at = static_cast<std::size_t>(level);
    saved[0][at] = s.cost;
    saved[1][at] = s.ttft;
    saved[2][at] = s.e2e;
  }
  const std::array<double, 3> total = totals(row);
  for (std::size_t m = 0; m < 3; ++m) {
    const bool is_known = std::none_of(saved[m].begin(), saved[m].end(), [](double s) { return std::isnan(s); });
    if (std::isnan(total[m]) || !is_known) continue;
    for (std::size_t level = 0; level < 3; ++level) chunks[m][chunk].saved[level] += saved[m][level];
    chunks[m][chunk].total += total[m];
  }
}

/// Standard error of the ratio of sums over the chunks.
double error(const std::vector<Sums>& chunks, double ratio, double total) {
  double squares = 0;
  for (const Sums& c : chunks) squares += (c.saved[1] - ratio * c.total) * (c.saved[1] - ratio * c.total);
  const double n = static_cast<double>(chunks.size());
  return std::sqrt(squares * n / (n - 1)) / total;
}

/// Stretches of four as one: waiting lines remember further back than a short stretch.
std::vector<Sums> longer(const std::vector<Sums>& chunks) {
  std::vector<Sums> out((chunks.size() + 3) / 4);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    for (std::size_t level = 0; level < 3; ++level) out[i / 4].saved[level] += chunks[i].saved[level];
    out[i / 4].total += chunks[i].total;
  }
  return out;
}

/// Half width of the ratio for the next stretch of traffic, which is noisy as well.
double noise(const std::vector<Sums>& chunks, double ratio, double total) {
  return student(static_cast<double>(chunks.size() - 1)) * std::sqrt(2.0) * error(chunks, ratio, total);
}

std::optional<Interval> interval(const std::vector<Sums>& chunks) {
  Sums all;
  for (const Sums& c : chunks) {
    for (std::size_t i = 0; i < 3; ++i) all.saved[i] += c.saved[i];
    all.total += c.total;
  }
  if (all.total <= 0) return std::nullopt;
  const double ratio = all.saved[1] / all.total;
  if (chunks.size() < 2) return Interval{ratio, std::min(0.0, ratio), std::max(0.0, std::min(1.0, 2 * ratio))};
  double half = noise(chunks, ratio, all.total);
  if (chunks.size() == most_chunks) half = std::max(half, noise(longer(chunks), ratio, all.total));
  const auto [least, most] = std::minmax({all.saved[0], all.saved[1], all.saved[2]});
  return Interval{ratio, ratio - std::hypot(half, ratio - least / all.total),
                  std::min(1.0, ratio + std::hypot(half, most / all.total - ratio))};
}

}  // namespace

double student(double degrees) {
  // Cornish-Fisher around the normal quantile 1.645 (Abramowitz and Stegun 26.7.5); within 1 % from 4 degrees up.
  constexpr double z = 1.6448536;
  constexpr double z3 = z * z * z, z5 = z3 * z * z;
  return z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees) +
         1.0 / (degrees * degrees * degrees);
}

Savings estimate(const std::vector<Row>& rows, const Reprice& reprice) {
  if (rows.empty()) return {};
  const std::size_t count = std::min(most_chunks, rows.size());
  Chunks chunks;
  for (std::vector<Sums>& metric : chunks) metric.resize(count);
  for (std::size_t i = 0; i < rows.size(); ++i) add(chunks, i * count / rows.size(), rows[i], reprice);
  return {interval(chunks[0]), interval(chunks[1]), interval(chunks[2])};
}

}  // namespace frugal::advisor
