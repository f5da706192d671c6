// Budget: money or any other quantity that many requests share, never overdrawn: reserve the most a request may cost,
// then settle what it did cost. As long as no request costs more than it reserved, no limit is exceeded, whatever the
// interleaving; where one does (its estimate was too low), the overdraft is booked in full and counted.
//
// Safe from any thread; a reservation touches each matching limit once under one lock, about 0.2 us.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/expected.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

/// A cap over the requests that match; empty = any. A request is held to every limit it matches.
struct Limit {
  std::string tenant{}, type{};
  double usd = 0;
  Duration period{};  ///< spending starts at zero again after each; zero = never
};

struct LimitState {
  Limit limit{};
  double spent = 0, reserved = 0;  ///< dollars, of the current period; sums stop at 4.6e9
  std::uint64_t refused = 0;       ///< reservations that did not fit
  double overdraft = 0;            ///< dollars settled above their reservations and above the limit
};

class Budget;

/// Money set aside for one request. Movable. One that is dropped unsettled is booked in full: a bill that was lost is
/// taken to have been paid. Must not outlive its budget.
class FRUGAL_API Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& o) noexcept;
  Reservation& operator=(Reservation&& o) noexcept;
  ~Reservation();

  double usd() const { return usd_; }
  /// Asks for another sum in place of this one. Errors: over_budget where it does not fit; the old one then stands.
  expected<void> resize(double usd);
  /// Books what was spent and gives the rest back. NaN and negative sums book what was reserved, sums above 4e9 book
  /// 4e9. Later calls do nothing.
  void settle(double usd);
  /// Gives all back: the request never started.
  void release() { settle(0); }

 private:
  friend class Budget;
  Reservation(Budget& budget, std::vector<std::uint32_t> limits, double usd);
  Budget* budget_ = nullptr;
  std::vector<std::uint32_t> limits_;  ///< places in the budget's list
  double usd_ = 0;
};

struct BudgetOptions {
  std::vector<Limit> limits;
  const Clock* clock = nullptr;  ///< null = the process's steady clock
};

class FRUGAL_API Budget {
 public:
  /// Throws Error(invalid_argument) for a cap that is negative, not finite or above 4e9 dollars, and for a negative
  /// period.
  explicit Budget(BudgetOptions options);
  ~Budget();
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  /// In all matching limits or in none. Errors: over_budget, naming the limit that has no room; invalid_argument for a
  /// sum that is negative, not finite or above 4e9.
  expected<Reservation> reserve(std::string_view tenant, std::string_view type, double usd);
  std::vector<LimitState> state() const;

 private:
  friend class Reservation;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal
