#include <frugal/calibrate/drift.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>

namespace frugal {

DriftTest::DriftTest(double limit) : limit_(limit) {
  if (!(limit > 0 && limit < 1))
    throw Error(Errc::invalid_argument, "DriftTest: the limit must be above 0 and below 1");
  // Rates between the limit and 1, even in their odds' logarithm: 1.5, 2, 3, 5 and 10 times the odds.
  for (const double times : {1.5, 2.0, 3.0, 5.0, 10.0}) {
    const double odds = limit / (1 - limit) * times;
    bets_.push_back({odds / (1 + odds), 0});
  }
}

void DriftTest::add(double wrong) {
  const double x = std::isnan(wrong) ? 1 : std::clamp(wrong, 0.0, 1.0);
  ++audits_;
  // What is left falls like 1 / log k: a change that comes late costs two logarithms of its moment, no more.
  const double left = 1 / std::log2(static_cast<double>(audits_) + 2), stake = unspent_ - left;
  unspent_ = left;
  for (Bet& bet : bets_) {
    // linear in x, so that grades between 0 and 1 keep the mean below 1 as well
    const double right = (1 - bet.rate) / (1 - limit_), factor = right + x * (bet.rate / limit_ - right);
    bet.capital = std::min((bet.capital + stake) * factor, 1e300);
  }
  most_ = std::max(most_, capital());
}

double DriftTest::capital() const noexcept {
  double sum = 0;
  for (const Bet& bet : bets_) sum += bet.capital;
  return sum / static_cast<double>(bets_.size()) + unspent_;
}

double DriftTest::p_value() const noexcept { return 1 / most_; }

}  // namespace frugal
