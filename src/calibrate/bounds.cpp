#include <frugal/calibrate/bounds.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace frugal {

namespace {

constexpr double nuisance_level = 1e-4;  // given to the confidence set of the rate of discordant pairs
constexpr int nuisance_steps = 12;

double log_factorial(double n) {
  int sign = 0;
  return ::lgamma_r(n + 1, &sign);  // std::lgamma writes a global
}

double log_choose(double n, double k) {
  if (k < 0 || k > n) return -INFINITY;
  return log_factorial(n) - log_factorial(k) - log_factorial(n - k);
}

double binomial_pmf(std::uint64_t k, std::uint64_t n, double p) {
  if (k > n) return 0;
  if (p <= 0) return k == 0 ? 1 : 0;
  if (p >= 1) return k == n ? 1 : 0;
  const double x = static_cast<double>(k), m = static_cast<double>(n);
  return std::exp(log_choose(m, x) + x * std::log(p) + (m - x) * std::log1p(-p));
}

// P(X <= k) of a distribution whose mass at x + 1 is ratio(x) times that at x. Summed downwards from k, where the mass
// is largest in the tails that are asked for; the ratio makes each term cost a multiplication.
template <class Ratio>
double lower_tail(double mass_at_k, std::uint64_t k, std::uint64_t lowest, Ratio&& ratio) {
  double sum = mass_at_k, mass = mass_at_k;
  for (std::uint64_t x = k; x > lowest; --x) {
    const double up = ratio(x - 1);
    if (up <= 0) break;
    mass /= up;
    sum += mass;
    if (mass < sum * 1e-17 && up > 1) break;
  }
  return std::min(sum, 1.0);
}

double binomial_cdf(std::uint64_t k, std::uint64_t n, double p) {
  if (k >= n || p <= 0) return 1;
  if (p >= 1) return 0;
  if (static_cast<double>(k) > p * static_cast<double>(n)) {  // the other tail is the short one
    return 1 - binomial_cdf(n - k - 1, n, 1 - p);
  }
  const double odds = p / (1 - p);
  return lower_tail(binomial_pmf(k, n, p), k, 0,
                    [&](std::uint64_t x) { return odds * static_cast<double>(n - x) / static_cast<double>(x + 1); });
}

// An urn of `total` balls, `marked` of them marked; `drawn` are drawn without replacement.
struct Urn {
  std::uint64_t total, marked, drawn;

  std::uint64_t least() const { return drawn + marked > total ? drawn + marked - total : 0; }
  std::uint64_t most() const { return std::min(drawn, marked); }
  double pmf(std::uint64_t k) const {
    if (k < least() || k > most()) return 0;
    const double t = static_cast<double>(total), m = static_cast<double>(marked), d = static_cast<double>(drawn);
    const double x = static_cast<double>(k);
    return std::exp(log_choose(m, x) + log_choose(t - m, d - x) - log_choose(t, d));
  }
  double ratio(std::uint64_t x) const {  // pmf(x + 1) / pmf(x)
    return static_cast<double>(marked - x) * static_cast<double>(drawn - x) /
           (static_cast<double>(x + 1) * static_cast<double>(total + x + 1 - marked - drawn));
  }
  double mean() const { return static_cast<double>(drawn) * static_cast<double>(marked) / static_cast<double>(total); }
  double cdf(std::uint64_t k) const {  // P(X <= k)
    if (k >= most()) return 1;
    if (k < least()) return 0;
    if (static_cast<double>(k) > mean()) return 1 - Urn{total, total - marked, drawn}.cdf(drawn - k - 1);
    return lower_tail(pmf(k), k, least(), [&](std::uint64_t x) { return ratio(x); });
  }
};

// The fewest of m whose share is above the limit.
std::uint64_t fewest_above(double limit, std::uint64_t m) {
  return static_cast<std::uint64_t>(std::floor(limit * static_cast<double>(m) * (1 + 1e-12))) + 1;
}

// Values of x around a centre that carry all but a negligible part of a distribution with this standard deviation.
struct Range {
  std::uint64_t first, last;
};
Range around(double centre, double deviation, std::uint64_t most) {
  const double reach = 8 * deviation + 8;
  return {static_cast<std::uint64_t>(std::max(0.0, centre - reach)),
          std::min(most, static_cast<std::uint64_t>(std::max(0.0, centre + reach)))};
}

// P(losses - gains <= difference) where each of n requests is a loss with rate (r + limit) / 2 and a gain with rate
// (r - limit) / 2: the number of discordant pairs is binomial, and losses are binomial among them.
double trinomial_tail(std::int64_t difference, std::uint64_t n, double limit, double r) {
  const double share = (r + limit) / (2 * r), m = static_cast<double>(n);
  const Range pairs = around(m * r, std::sqrt(m * r * (1 - r)), n);
  double sum = 0;
  for (std::uint64_t d = pairs.first; d <= pairs.last; ++d) {
    const std::int64_t twice = static_cast<std::int64_t>(d) + difference;  // 2 losses <= d + difference
    if (twice >= 0) sum += binomial_pmf(d, n, r) * binomial_cdf(static_cast<std::uint64_t>(twice / 2), d, share);
  }
  return std::min(sum, 1.0);
}

// The same for a future: with `losses` and `gains` among n + m requests, the chance that a random n of them show a
// difference of at most `difference`.
double split_tail(std::int64_t difference, std::uint64_t n, std::uint64_t m, std::uint64_t losses,
                  std::uint64_t gains) {
  const Urn urn{n + m, losses, n};
  const double share = static_cast<double>(n) / static_cast<double>(n + m);
  const double deviation = std::sqrt(static_cast<double>(losses) * share * (1 - share)) + 1;
  const Range seen = around(urn.mean(), deviation, urn.most());
  double sum = 0;
  for (std::uint64_t b = std::max(seen.first, urn.least()); b <= seen.last; ++b) {
    const std::int64_t least_gains = static_cast<std::int64_t>(b) - difference;  // gains >= losses - difference
    const Urn rest{n + m - losses, gains, n - b};
    const double at_least = least_gains <= 0 ? 1 : 1 - rest.cdf(static_cast<std::uint64_t>(least_gains) - 1);
    sum += urn.pmf(b) * at_least;
  }
  return std::min(sum, 1.0);
}

}  // namespace

double binomial_upper(std::uint64_t errors, std::uint64_t n, double confidence) {
  if (n == 0 || errors >= n) return 1;
  double low = static_cast<double>(errors) / static_cast<double>(n), high = 1;
  for (int i = 0; i < 60; ++i) {  // P(X <= errors) falls as the rate grows
    const double middle = (low + high) / 2;
    (binomial_cdf(errors, n, middle) > 1 - confidence ? low : high) = middle;
  }
  return high;
}

double error_p_value(std::uint64_t errors, std::uint64_t n, double limit, std::uint64_t horizon) {
  if (n == 0) return 1;
  const double long_run = binomial_cdf(errors, n, limit);
  if (horizon == 0) return long_run;
  const std::uint64_t future = fewest_above(limit, horizon);
  if (future > horizon) return long_run;  // no outcome of the future can be above the limit
  return std::max(long_run, Urn{n + horizon, errors + future, n}.cdf(errors));
}

double loss_p_value(const PairedCounts& c, double limit, std::uint64_t horizon) {
  if (c.n == 0) return 1;
  const std::int64_t difference = static_cast<std::int64_t>(c.losses) - static_cast<std::int64_t>(c.gains);
  const double each_side = 1 - nuisance_level / 2;
  const std::uint64_t pairs = c.losses + c.gains;
  const double highest = binomial_upper(pairs, c.n, each_side);
  const double lowest = 1 - binomial_upper(c.n - pairs, c.n, each_side);
  const double from = std::max(lowest, limit), to = std::max(highest, limit);
  double worst = 0;
  for (int i = 0; i <= nuisance_steps; ++i) {
    const double r = from + (to - from) * i / nuisance_steps;
    worst = std::max(worst, trinomial_tail(difference, c.n, limit, r));
    if (horizon == 0) continue;
    const std::uint64_t excess = std::min(fewest_above(limit, horizon), horizon);
    const auto future = static_cast<std::uint64_t>(r * static_cast<double>(horizon));
    const std::uint64_t gains = std::min(future > excess ? (future - excess) / 2 : 0, (horizon - excess) / 2);
    worst = std::max(worst, split_tail(difference, c.n, horizon, c.losses + gains + excess, c.gains + gains));
  }
  return std::min(1.0, worst + nuisance_level);
}

}  // namespace frugal
