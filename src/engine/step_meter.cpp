// Sums of passes.
#include <frugal/engine/step_meter.hpp>

#include <algorithm>

namespace frugal {

StepMeter::StepMeter(const Clock* clock) : clock_(clock != nullptr ? *clock : steady_clock()), born_(clock_.now()) {}
StepMeter::~StepMeter() = default;

void StepMeter::on_preempted(RequestId) { preemptions_.fetch_add(1, std::memory_order_relaxed); }

namespace {

void add(std::atomic<std::uint64_t>& to, std::uint64_t n) { to.fetch_add(n, std::memory_order_relaxed); }

}  // namespace

void StepMeter::on_step(const StepReport& r) {
  const std::uint64_t rows = std::uint64_t{r.prefill_rows} + r.decode_rows;
  if (rows == 0) return;
  const auto ns = static_cast<double>(r.forward.count());
  const auto prefill = static_cast<std::uint64_t>(ns * r.prefill_rows / static_cast<double>(rows));
  add(passes_, 1), add(prefill_rows_, r.prefill_rows), add(decode_rows_, r.decode_rows);
  add(prefill_ns_, prefill), add(decode_ns_, static_cast<std::uint64_t>(r.forward.count()) - prefill);
}

void StepMeter::on_draft_pass(ModelId, std::uint32_t rows, Duration forward) {
  add(draft_rows_, rows), add(draft_ns_, static_cast<std::uint64_t>(forward.count()));
}

void StepMeter::on_finished(RequestId, const Finish& finish) {
  add(prompt_tokens_, finish.usage.input - finish.usage.cached_read), add(output_tokens_, finish.usage.output);
}

StepTotals StepMeter::totals() const {
  const auto get = [](const Count& from) { return from.load(std::memory_order_relaxed); };
  const auto seconds = [&](const Count& ns) { return static_cast<double>(get(ns)) * 1e-9; };
  StepTotals t;
  t.passes = get(passes_), t.preemptions = get(preemptions_);
  t.prefill_rows = get(prefill_rows_), t.decode_rows = get(decode_rows_), t.draft_rows = get(draft_rows_);
  t.prefill_seconds = seconds(prefill_ns_), t.decode_seconds = seconds(decode_ns_);
  t.draft_seconds = seconds(draft_ns_);
  t.elapsed_seconds = std::chrono::duration<double>(clock_.now() - born_).count();
  t.prompt_tokens = get(prompt_tokens_), t.output_tokens = get(output_tokens_);
  return t;
}

// Drafts are made for the answer: their seconds are its seconds.
MachineUse StepMeter::use(double usd_per_hour) const {
  const StepTotals t = totals();
  const double decode = t.decode_seconds + t.draft_seconds, worked = t.prefill_seconds + decode;
  const double busy = t.elapsed_seconds > 0 && worked > 0 ? std::min(1.0, worked / t.elapsed_seconds) : 1.0;
  return {usd_per_hour, t.prefill_seconds, decode, t.prompt_tokens, t.output_tokens, busy};
}

}  // namespace frugal
