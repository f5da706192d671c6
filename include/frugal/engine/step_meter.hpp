// StepMeter: what an engine's passes cost, added up: the rows they computed, the seconds they took, and the tokens that
// came of them. From it follow the prices of a self-hosted model. Bring it as EngineOptions::observer; one engine each.
//
// Rows and seconds are counted as they pass, tokens when their request ends, cancelled ones included: only then is it
// known what is billed. A stream that still runs is in the seconds and not yet in the tokens, so use()
// overstates the cost of a token by the share of requests that still run; Meter's in_flight says how many do.
//
// Threads: hooks run on the driving thread, totals() anywhere. Cost: a few relaxed atomic adds a step.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/engine/observer.hpp>
#include <frugal/meter/price_book.hpp>

#include <atomic>
#include <cstdint>

namespace frugal {

/// Seconds are those inside Backend::forward; where a pass held prompt and answer rows they are shared out by rows.
struct StepTotals {
  std::uint64_t passes = 0, preemptions = 0;
  std::uint64_t prefill_rows = 0, decode_rows = 0;
  double prefill_seconds = 0, decode_seconds = 0;
  double elapsed_seconds = 0;                          ///< since the meter was made
  std::uint64_t draft_rows = 0;                        ///< of draft models
  double draft_seconds = 0;                            ///< in their passes
  std::uint64_t prompt_tokens = 0, output_tokens = 0;  ///< of ended requests, without cached ones: what is billed
};

class FRUGAL_API StepMeter final : public Observer {
 public:
  /// Null clock = the process's steady clock; must outlive the meter.
  explicit StepMeter(const Clock* clock = nullptr);
  ~StepMeter() override;
  void on_preempted(RequestId) override;
  void on_step(const StepReport& report) override;
  void on_draft_pass(ModelId, std::uint32_t rows, Duration forward) override;
  void on_finished(RequestId, const Finish& finish) override;

  StepTotals totals() const;
  /// For self_hosted(): what a machine of this price an hour has done, with the share of time it was at it. Its tokens
  /// are the billed ones, so that the bills add up to the machine's money: rejected drafts, draft models' passes and
  /// repeated work make each token more expensive. Take it while no request runs, or after many have ended.
  MachineUse use(double usd_per_hour) const;

 private:
  using Count = std::atomic<std::uint64_t>;
  const Clock& clock_;
  TimePoint born_;
  Count passes_{0}, preemptions_{0}, prefill_rows_{0}, decode_rows_{0}, prefill_ns_{0}, decode_ns_{0}, draft_rows_{0},
      draft_ns_{0}, prompt_tokens_{0}, output_tokens_{0};
};

}  // namespace frugal
