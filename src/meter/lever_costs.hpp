// What levers saved and spent of one attempt, by its ledger and the rates it was billed by.
#pragma once

#include <frugal/meter/cost.hpp>
#include <frugal/meter/meter_stats.hpp>
#include <frugal/meter/trace.hpp>

namespace frugal {

/// All but the cascade's part, which needs the other attempts. Nothing where the rates have no price of input.
LeverCosts lever_costs(const Rates& rates, const TraceAttempt& attempt);

}  // namespace frugal
