// How one ended request enters the sums of a key.
#pragma once

#include <frugal/meter/meter.hpp>

#include <optional>
#include <string>
#include <vector>

namespace frugal {

/// One attempt, priced.
struct AttemptBill {
  std::optional<Cost> cost{};
  bool is_assumed = false;
  LeverCosts levers{};
  std::string warning{};
};

/// What pricing needs of the options; lent.
struct Till {
  const PriceBook& book;
  const PriceRules& rules;
  const std::string& reference;
  AttemptBill bill(const Measured& m, const TraceAttempt& a) const;
};

std::optional<double> tpot_ms(const TraceRecord& r);
/// Ended as an answer: stop, length or capped.
bool is_answered(const TraceRecord& r);
bool keeps(const Slo& slo, const TraceRecord& r);
/// The promise for this type; null = none.
const Slo* promise(const std::vector<Slo>& slos, const std::string& type);

void add_times(MeterStats& to, const Measured& m);
void add_attempt(MeterStats& to, const TraceAttempt& a, const AttemptBill& bill);

}  // namespace frugal
