#include <frugal/calibrate/audit_account.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>

#include "core/splitmix.hpp"

namespace frugal {

namespace {

constexpr double largest_bet =
    4;  // the others are halves of it, down to a thirtieth: for few wrong answers and for many
constexpr std::uint64_t grade_seed = 0x6772616465ULL;

}  // namespace

AuditAccount::AuditAccount(double share, double level) : share_(share), level_(level) {
  if (!(share > 0 && share <= 1))
    throw Error(Errc::invalid_argument, "AuditAccount: the share must be above 0 and at most 1");
  if (!(level > 0 && level < 1))
    throw Error(Errc::invalid_argument, "AuditAccount: the level must be above 0 and below 1");
  double paid = largest_bet;
  for (Bet& bet : bets_) {
    bet = {paid, -std::log1p(share * std::expm1(-paid))};
    paid /= 2;
  }
  most_ = limit_after(0);
}

// The W at which the mean of exp(earned W - paid found) is 1 / level: it grows with W.
double AuditAccount::limit_after(double found) const {
  if (share_ >= 1) return found;
  double low = found, high = found;
  for (const Bet& bet : bets_)  // one bet alone reaches its part there
    high = std::max(high, (bet.paid * found + std::log(double(bets) / level_)) / bet.earned);
  const double wanted = std::log(double(bets) / level_);
  for (int i = 0; i < 60 && high - low > 1e-6 * high; ++i) {
    const double middle = (low + high) / 2;
    double most = -INFINITY, sum = 0;
    for (const Bet& bet : bets_) most = std::max(most, bet.earned * middle - bet.paid * found);
    for (const Bet& bet : bets_) sum += std::exp(bet.earned * middle - bet.paid * found - most);
    (most + std::log(sum) < wanted ? low : high) = middle;
  }
  return high;
}

void AuditAccount::add(double wrong) {
  const bool counts = !(wrong <= 0) && (!(wrong < 1) || uniform_at(grade_seed, audits_) < wrong);
  ++audits_;
  if (!counts) return;
  ++found_;
  most_ = limit_after(static_cast<double>(found_));
}

std::optional<std::uint64_t> AuditAccount::enough(double rate, double limit) const {
  if (!(rate >= 0 && rate < limit && limit <= 1)) return std::nullopt;
  const auto covers = [&](double n) {
    const double found = n * rate * share_;
    return limit_after(found + 3 * std::sqrt(found)) <= limit * n;
  };
  double low = 1, high = 1;
  while (!covers(high)) {
    low = high;
    high *= 2;
    if (high > 1e9) return std::nullopt;
  }
  while (high - low > 1) {
    const double middle = std::floor((low + high) / 2);
    (covers(middle) ? high : low) = middle;
  }
  return static_cast<std::uint64_t>(high);
}

}  // namespace frugal
