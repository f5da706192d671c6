// Money is counted in whole nanodollars, so that sums are exact: a reservation is rounded up, and what is settled as
// well.
#include <frugal/meter/budget.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "core/short_number.hpp"

namespace frugal {
namespace {

using Nano = std::int64_t;
constexpr double per_dollar = 1e9;
constexpr double most_dollars = 4e9;
// Sums stop here. Reservations stay below a cap, which is at most 4e18, so that a sum, a reservation and a cap can be
// added and taken from each other without leaving a Nano (9.2e18).
constexpr Nano most_nano = 4'600'000'000'000'000'000;

// Of two amounts that are not negative and at most most_nano.
Nano capped_sum(Nano a, Nano b) { return std::min(most_nano, a + std::min(b, most_nano)); }

// A price computed in doubles may lie a hair above the number of nanodollars that is meant.
Nano nano_up(double usd) { return static_cast<Nano>(std::ceil(usd * per_dollar - 1e-3)); }
double dollars(Nano n) { return static_cast<double>(n) / per_dollar; }

bool is_money(double usd) { return std::isfinite(usd) && usd >= 0 && usd <= most_dollars; }

struct Account {
  Limit limit;
  Nano cap = 0, spent = 0, reserved = 0, overdraft = 0;
  std::int64_t period = 0;
  std::uint64_t refused = 0;

  bool matches(std::string_view tenant, std::string_view type) const {
    return (limit.tenant.empty() || limit.tenant == tenant) && (limit.type.empty() || limit.type == type);
  }
  // `more` beside what is spent and reserved, of which `less` is given back at once.
  bool fits(Nano more, Nano less) const { return more <= less || more <= cap - spent - reserved + less; }
};

std::string name_of(const Limit& l) {
  std::string who;
  if (!l.tenant.empty()) who += " of tenant \"" + l.tenant + "\"";
  if (!l.type.empty()) who += " of type \"" + l.type + "\"";
  return "the limit" + who + " of $" + short_number(l.usd);
}

}  // namespace

struct Budget::Impl {
  Impl(std::vector<Limit> limits, const Clock& c) : clock(c), born(c.now()) {
    for (Limit& l : limits) {
      const std::string place = "BudgetOptions::limits[" + std::to_string(accounts.size()) + "]: ";
      if (!is_money(l.usd))
        throw Error(Errc::invalid_argument, place + "usd is not between 0 and 4,000,000,000 dollars");
      if (l.period < Duration{}) throw Error(Errc::invalid_argument, place + "period is negative");
      const Nano cap = static_cast<Nano>(l.usd * per_dollar + 1e-3);
      accounts.push_back({.limit = std::move(l), .cap = cap});
    }
  }

  // Begins a new period where the old one has passed: what is still reserved stays reserved.
  void turn(Account& a) const {
    if (a.limit.period == Duration{}) return;
    const TimePoint at = clock.now();
    if (at < born) return;  // no monotonic clock goes back
    const bool is_far = born < TimePoint{} && at > TimePoint::max() + born.time_since_epoch();
    const Duration age = is_far ? Duration::max() : at - born;
    const std::int64_t now = age / a.limit.period;
    if (now == std::exchange(a.period, now)) return;
    a.spent = 0;
    a.overdraft = 0;
  }

  // Sets `usd` aside in all the limits instead of `old`, or in none.
  expected<void> set_aside(const std::vector<std::uint32_t>& limits, double usd, double old) {
    if (!is_money(usd))
      return unexpected(Errc::invalid_argument, "a reservation must be between 0 and 4,000,000,000 dollars");
    const Nano more = nano_up(usd), less = nano_up(old);
    for (const std::uint32_t i : limits) {
      Account& a = accounts[i];
      turn(a);
      if (a.fits(more, less)) continue;
      ++a.refused;
      return unexpected(Errc::over_budget, name_of(a.limit) + " leaves no room for $" + short_number(dollars(more)));
    }
    for (const std::uint32_t i : limits) accounts[i].reserved += more - less;
    return {};
  }

  void settle(const std::vector<std::uint32_t>& limits, double reserved, double usd) {
    // A bill that is not a number is taken to be what was set aside; one beyond all bounds, to be the largest.
    const Nano back = nano_up(reserved);
    const Nano paid = nano_up(is_money(usd) ? usd : usd > most_dollars ? most_dollars : reserved);
    for (const std::uint32_t i : limits) {
      Account& a = accounts[i];
      turn(a);
      a.reserved -= back;
      a.spent = capped_sum(a.spent, paid);
      const Nano above = a.spent + a.reserved - a.cap;
      if (paid > back && above > 0) a.overdraft = capped_sum(a.overdraft, std::min(above, paid - back));
    }
  }

  const Clock& clock;
  const TimePoint born;
  std::mutex mutex;
  std::vector<Account> accounts;
};

Budget::Budget(BudgetOptions o)
    : impl_(std::make_unique<Impl>(std::move(o.limits), o.clock != nullptr ? *o.clock : steady_clock())) {}
Budget::~Budget() = default;

expected<Reservation> Budget::reserve(std::string_view tenant, std::string_view type, double usd) {
  const std::lock_guard lock(impl_->mutex);
  std::vector<std::uint32_t> matching;
  for (std::uint32_t i = 0; i < impl_->accounts.size(); ++i)
    if (impl_->accounts[i].matches(tenant, type)) matching.push_back(i);
  if (const expected<void> done = impl_->set_aside(matching, usd, 0); !done) return unexpected(done.error());
  return Reservation(*this, std::move(matching), usd);
}

std::vector<LimitState> Budget::state() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<LimitState> out;
  for (Account& a : impl_->accounts) {
    impl_->turn(a);
    out.push_back({a.limit, dollars(a.spent), dollars(a.reserved), a.refused, dollars(a.overdraft)});
  }
  return out;
}

Reservation::Reservation(Budget& budget, std::vector<std::uint32_t> limits, double usd)
    : budget_(&budget), limits_(std::move(limits)), usd_(usd) {}

Reservation::Reservation(Reservation&& o) noexcept
    : budget_(std::exchange(o.budget_, nullptr)), limits_(std::move(o.limits_)), usd_(std::exchange(o.usd_, 0)) {}

Reservation& Reservation::operator=(Reservation&& o) noexcept {
  if (this == &o) return *this;
  settle(usd_);
  budget_ = std::exchange(o.budget_, nullptr);
  limits_ = std::move(o.limits_);
  usd_ = std::exchange(o.usd_, 0);
  return *this;
}

Reservation::~Reservation() { settle(usd_); }

expected<void> Reservation::resize(double usd) {
  if (budget_ == nullptr) return unexpected(Errc::invalid_argument, "the reservation is settled");
  const std::lock_guard lock(budget_->impl_->mutex);
  const expected<void> done = budget_->impl_->set_aside(limits_, usd, usd_);
  if (done) usd_ = usd;
  return done;
}

void Reservation::settle(double usd) {
  if (budget_ == nullptr) return;
  Budget::Impl& budget = *std::exchange(budget_, nullptr)->impl_;
  const std::lock_guard lock(budget.mutex);
  budget.settle(limits_, std::exchange(usd_, 0), usd);
}

}  // namespace frugal
