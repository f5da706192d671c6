#include "meter/lever_costs.hpp"

#include <algorithm>
#include <chrono>

namespace frugal {

namespace {

double million(std::uint64_t tokens) { return static_cast<double>(tokens) / 1e6; }

// Tokens that came of drafting cost the machine `spent` seconds; without drafts they would have cost `saved` more.
void add_speculation(LeverCosts& to, double output_rate, const DraftLedger& d) {
  const Duration spent = d.draft_time + d.catch_up_time + d.verify_time;
  if (spent <= Duration{} || d.saved == Duration{}) return;
  const double share = std::chrono::duration<double>(d.saved) / std::chrono::duration<double>(spent);
  const double dollars = million(d.accepted + d.passes) * output_rate * share;
  (dollars > 0 ? to.speculation_saved : to.speculation_spent) += dollars > 0 ? dollars : -dollars;
}

}  // namespace

LeverCosts& LeverCosts::operator+=(const LeverCosts& o) {
  cache_saved += o.cache_saved, cache_spent += o.cache_spent;
  cascade_saved += o.cascade_saved, cascade_spent += o.cascade_spent;
  speculation_saved += o.speculation_saved, speculation_spent += o.speculation_spent;
  return *this;
}

LeverCosts lever_costs(const Rates& rates, const TraceAttempt& a) {
  LeverCosts out;
  if (!rates.input) return out;
  out.cache_saved = million(a.usage.cached_read) * (*rates.input - rates.cached_read.value_or(*rates.input));
  const double write = rates.cache_write.value_or(*rates.input), write_1h = rates.cache_write_1h.value_or(write);
  const std::uint64_t hour = std::min(a.usage.cache_write_1h, a.usage.cache_write);
  out.cache_spent =
      million(a.usage.cache_write - hour) * (write - *rates.input) + million(hour) * (write_1h - *rates.input);
  add_speculation(out, rates.output.value_or(0), a.drafts);
  return out;
}

}  // namespace frugal
