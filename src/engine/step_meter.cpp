// Sums of passes.
#include <frugal/engine/step_meter.hpp>

#include <algorithm>

namespace frugal {

StepMeter::StepMeter(const Clock* clock) : clock_(clock != nullptr ? *clock : steady_clock()), born_(clock_.now()) {}
StepMeter::~StepMeter() = default;

void StepMeter::on_preempted(RequestId) { preemptions_.fetch_add(1, std::memory_order_relaxed); }

void StepMeter::on_step(const StepReport& r) {
  const auto add = [](Count& to, std::uint64_t n) { to.fetch_add(n, std::memory_order_relaxed); };
  const std::uint64_t rows = std::uint64_t{r.prefill_rows} + r.decode_rows;
  if (rows == 0) return;
  const auto ns = static_cast<double>(r.forward.count());
  const auto prefill = static_cast<std::uint64_t>(ns * r.prefill_rows / static_cast<double>(rows));
  add(passes_, 1), add(prefill_rows_, r.prefill_rows), add(decode_rows_, r.decode_rows);
  add(prefill_ns_, prefill), add(decode_ns_, static_cast<std::uint64_t>(r.forward.count()) - prefill);
}

StepTotals StepMeter::totals() const {
  const auto get = [](const Count& from) { return from.load(std::memory_order_relaxed); };
  const auto seconds = [&](const Count& ns) { return static_cast<double>(get(ns)) * 1e-9; };
  return {get(passes_),
          get(preemptions_),
          get(prefill_rows_),
          get(decode_rows_),
          seconds(prefill_ns_),
          seconds(decode_ns_),
          std::chrono::duration<double>(clock_.now() - born_).count()};
}

MachineUse StepMeter::use(double usd_per_hour) const {
  const StepTotals t = totals();
  const double worked = t.prefill_seconds + t.decode_seconds;
  const double busy = t.elapsed_seconds > 0 && worked > 0 ? std::min(1.0, worked / t.elapsed_seconds) : 1.0;
  return {usd_per_hour, t.prefill_seconds, t.decode_seconds, t.prefill_rows, t.decode_rows, busy};
}

}  // namespace frugal
