// Exact bounds against published values, against plain sums, and against simulation.
#include <frugal/calibrate/bounds.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <random>
#include <vector>

using namespace frugal;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

double choose(int n, int k) {
  double out = 1;
  for (int i = 0; i < k; ++i) out = out * (n - i) / (i + 1);
  return out;
}

// P(X <= k), summed in the plainest way.
double binomial_sum(int k, int n, double p) {
  double sum = 0;
  for (int i = 0; i <= k; ++i) sum += choose(n, i) * std::pow(p, i) * std::pow(1 - p, n - i);
  return sum;
}

// P(losses - gains <= difference) over all outcomes of n independent requests.
double trinomial_sum(int difference, int n, double loss, double gain) {
  double sum = 0;
  for (int b = 0; b <= n; ++b)
    for (int c = 0; b + c <= n; ++c)
      if (b - c <= difference)
        sum += choose(n, b) * choose(n - b, c) * std::pow(loss, b) * std::pow(gain, c) *
               std::pow(1 - loss - gain, n - b - c);
  return sum;
}

}  // namespace

TEST_CASE("the upper limit of a rate is Clopper and Pearson's") {
  CHECK_THAT(binomial_upper(0, 59, 0.95), WithinAbs(0.0495, 5e-4));  // the known sample sizes for 5 %, 2 % and 10 %
  CHECK_THAT(binomial_upper(3, 153, 0.95), WithinAbs(0.05, 5e-4));
  CHECK_THAT(binomial_upper(0, 149, 0.95), WithinAbs(0.02, 5e-4));
  CHECK_THAT(binomial_upper(3, 76, 0.95), WithinAbs(0.0997, 1e-3));
  CHECK(binomial_upper(0, 0, 0.95) == 1);
  CHECK(binomial_upper(7, 7, 0.95) == 1);
  for (int n : {5, 40, 300})
    for (int k : {0, 1, n / 3}) {
      const double p = binomial_upper(static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(n), 0.9);
      CHECK_THAT(binomial_sum(k, n, p), WithinAbs(0.1, 1e-9));
    }
}

TEST_CASE("the p-value of an error rate is the binomial tail") {
  for (int k : {0, 2, 9, 30})
    CHECK_THAT(error_p_value(static_cast<std::uint64_t>(k), 60, 0.2), WithinRel(binomial_sum(k, 60, 0.2), 1e-9));
  CHECK(error_p_value(0, 0, 0.1) == 1);
  CHECK(error_p_value(59, 59, 0.05) == 1);
}

TEST_CASE("a bound on the next answers is stricter than one in the long run") {
  const double long_run = error_p_value(2, 100, 0.1);
  CHECK(error_p_value(2, 100, 0.1, 100) > long_run);
  CHECK(error_p_value(2, 100, 0.1, 100000) >= long_run);
  CHECK_THAT(error_p_value(2, 100, 0.1, 1000000), WithinRel(long_run, 0.01));  // the long run is its limit
  // Two of 100 here and 11 of the next 100: the chance that at most two of these 13 fall on the first half.
  double tail = 0;
  for (int i = 0; i <= 2; ++i) tail += choose(100, i) * choose(100, 13 - i) / choose(200, 13);
  CHECK_THAT(error_p_value(2, 100, 0.1, 100), WithinRel(tail, 1e-9));
}

TEST_CASE("the p-value of a paired loss bounds the trinomial tail for every rate of discordant pairs that fits") {
  const PairedCounts counts{3, 2, 60};
  const double p = loss_p_value(counts, 0.1);
  for (double gain : {0.01, 0.03, 0.06, 0.1}) CHECK(p >= trinomial_sum(1, 60, gain + 0.1, gain));
  CHECK(p < trinomial_sum(1, 60, 0.3, 0.2) + 1e-3);  // and is no larger than at a rate beyond the confidence set
  CHECK(loss_p_value({0, 0, 0}, 0.1) == 1);
  CHECK(loss_p_value({0, 0, 98}, 0.03) >= std::pow(0.97, 98));  // as if no gain could make up for a loss
  CHECK(loss_p_value({0, 0, 300}, 0.03) < 0.01);
  CHECK(loss_p_value({30, 0, 100}, 0.1) > 0.99);
}

TEST_CASE("more losses never make a loss more credible, and gains make up for losses") {
  double before = 0;
  for (std::uint64_t losses = 0; losses < 30; losses += 3) {
    const double p = loss_p_value({losses, 5, 400}, 0.05, 400);
    CHECK(p >= before);
    before = p;
  }
  CHECK(loss_p_value({20, 15, 400}, 0.05) < loss_p_value({20, 5, 400}, 0.05));
}

TEST_CASE("a service whose loss is just above the limit is certified no more often than the stated share") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform;
  int certified = 0;
  constexpr int runs = 2000, n = 300;
  for (int i = 0; i < runs; ++i) {
    PairedCounts counts{0, 0, n};
    for (int r = 0; r < n; ++r) {
      const double u = uniform(random);
      if (u < 0.1001)
        ++counts.losses;
      else if (u < 0.1501)
        ++counts.gains;
    }
    if (loss_p_value(counts, 0.05) <= 0.1) ++certified;
  }
  CHECK(certified <= runs * 0.1);
  CHECK(certified >= runs * 0.02);  // and the test is not empty
}
