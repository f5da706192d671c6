// Scheduler: one step of the loop: who leaves, who comes in, one pass a model. Owned by one driving thread at a time;
// knows nothing of threads.
//
//   waiting --admit--> running --(prefill chunks, then one row a step and its drafts)--> finished
//      ^                  |
//      +----- preempt ----+     pages given back (and offered to the prefix index), tokens kept
#pragma once

#include <frugal/engine/engine.hpp>
#include <frugal/engine/options.hpp>

#include <memory>
#include <optional>
#include <vector>

#include "engine/admission.hpp"
#include "engine/endings.hpp"
#include "engine/pass.hpp"

namespace frugal {

class Scheduler {
 public:
  Scheduler(const EngineOptions& options, const Clock& clock, std::vector<std::unique_ptr<ModelSlot>>& slots,
            KvStore& store, Speculation* speculation);

  /// Never throws: where there is no memory for one more request, it ends.
  void enqueue(std::shared_ptr<Sequence> sequence) noexcept { admission_.enqueue(sequence); }
  /// True where anything moved. False: nothing to do, or every sequence waits for its reader. Does not throw.
  bool step() noexcept;
  /// Ends every request.
  void end_all(FinishReason reason, const std::optional<Error>& error = {});
  /// The earliest deadline of all requests; none = there is none.
  std::optional<TimePoint> next_deadline() const;
  /// Ends a sequence that has not been enqueued yet, or leaves it to the next sweep.
  void end_with(Sequence& sequence, const Error& error) { endings_.finish(sequence, FinishReason::error, {}, error); }

  std::size_t waiting() const { return admission_.waiting(); }
  std::size_t running() const { return admission_.running().size(); }
  const EngineStats& stats() const { return stats_; }
  void check_integrity() const;

 private:
  const EngineOptions& options_;
  std::vector<std::unique_ptr<ModelSlot>>& slots_;
  KvStore& store_;
  Speculation* speculation_;  // null = lever off
  EngineStats stats_;
  Endings endings_;
  Admission admission_;
  Pass pass_;
};

}  // namespace frugal
