// Scheduler: the loop's state and its one step. A step is a transaction: plan the rows, reserve the pages, run the
// batch, then commit or end the sequences it held. Owned by one driving thread at a time; knows nothing of threads.
//
//   waiting --admit--> running --(prefill chunks, then one row a step and its drafts)--> finished
//      ^                  |
//      +----- preempt ----+     pages given back (and offered to the prefix index), tokens kept
#pragma once

#include <frugal/cache/arena.hpp>
#include <frugal/cache/prefix_index.hpp>
#include <frugal/engine/engine.hpp>

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "engine/sequence.hpp"
#include "engine/speculation.hpp"

namespace frugal {

class Scheduler {
 public:
  Scheduler(const EngineOptions& options, const Clock& clock, std::vector<std::unique_ptr<ModelSlot>>& slots,
            Arena& arena, PrefixIndex* index, Speculation* speculation)
      : options_(options), clock_(clock), slots_(slots), arena_(arena), index_(index), speculation_(speculation) {}

  void enqueue(std::shared_ptr<Sequence> sequence);
  /// True where anything moved. False: nothing to do, or every sequence waits for its reader. Does not throw.
  bool step();
  /// Every live request ends in this way.
  void end_all(FinishReason reason, const std::optional<Error>& error = {});
  /// The earliest deadline of a live request.
  std::optional<TimePoint> next_deadline() const;
  /// Ends a sequence that has not been enqueued yet, or leaves it to the next sweep.
  void end_with(Sequence& sequence, const Error& error) { finish(sequence, FinishReason::error, {}, error); }

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t running() const { return running_.size(); }
  const EngineStats& stats() const { return stats_; }
  void check_integrity() const;

 private:
  using Held = std::shared_ptr<Sequence>;
  struct PlannedRows {
    Held sequence;
    std::uint32_t rows;
    std::uint32_t draws;  ///< the last so many rows draw a token each: 0, 1, or all of a verify chain
  };

  // admission.cpp: who comes in, who has to leave
  bool reap();
  void expire_prefixes();
  bool admit();
  enum class Admission { admitted, later, no_pages, ended };
  Admission try_admit(const Held& sequence);
  bool prefix_in_flight(const Sequence& sequence) const;
  std::size_t active() const;
  bool adopt_prefix(Sequence& sequence);
  bool reserve_beside(Lease& lease, Sequence& sequence);
  bool reserve(Sequence& sequence, std::uint32_t tokens);
  Held victim_for(const Sequence& sequence) const;
  void preempt(const Held& victim);
  void take_seat(Sequence& sequence);
  void leave_seat(Sequence& sequence);
  void offer_prefix(Sequence& sequence);
  static PrefixSpace space_of(const Sequence& sequence);
  bool shares_prefixes(const Sequence& s) const {
    return index_ != nullptr && s.request.use_prefix_cache && s.keep > Duration::zero();
  }

  // scheduler.cpp: one pass
  bool run(ModelSlot& slot);
  void plan(ModelSlot& slot, std::vector<PlannedRows>& plan);
  void forward(ModelSlot& slot, std::span<const PlannedRows> plan);
  void measure(ModelSlot& slot, const StepReport& report);
  void note_stalls(std::span<const PlannedRows> plan, const StepReport& report);
  void commit(const PlannedRows& rows, std::span<TokenScore> drawn);
  void account_rows(Sequence& sequence, std::uint32_t rows, std::uint32_t kept);
  static Error no_draw(const Sequence& sequence);
  enum class Owner { decoded, drafted, forced };
  void accept(Sequence& sequence, TokenScore score, Owner owner);
  static void drop_newest(Sequence& sequence, Owner owner);
  static void send(Sequence& sequence);
  static std::optional<Duration> stalled(const Sequence& sequence);
  void finish(Sequence& sequence, FinishReason reason, std::string detail = {}, std::optional<Error> error = {});
  Finish finish_of(const Sequence& sequence, std::string detail, std::optional<Error> error);
  void fail(std::span<const PlannedRows> plan, const Error& error);
  void sweep();

  // verification.cpp: from decode rows to verify chains, and from their draws back to tokens
  void draft(std::vector<PlannedRows>& plan, std::uint32_t& left);
  void reserve_chain(Sequence& sequence);
  void commit_run(const PlannedRows& rows, std::span<TokenScore> drawn, Duration took);
  void report_drafts(const Sequence& sequence, Attempt& attempt) const;

  const EngineOptions& options_;
  const Clock& clock_;
  std::vector<std::unique_ptr<ModelSlot>>& slots_;
  Arena& arena_;
  PrefixIndex* index_;        // null = lever off
  Speculation* speculation_;  // null = lever off
  std::deque<Held> waiting_;
  std::vector<Held> running_;                 // in order of admission: the oldest is never preempted
  std::vector<bool> seats_;                   // taken by a running sequence; index = Segment::slot
  Duration shortest_keep_ = Duration::max();  // of what was indexed; max = nothing ever expires
  TimePoint next_expiry_{};
  EngineStats stats_;
};

}  // namespace frugal
