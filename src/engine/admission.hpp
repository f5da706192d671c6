// Admission: who runs and who waits. Owns the running sequences, the waiting room, seats and the rules by which pages
// change hands. Driving thread only.
//
//   waiting --admit--> running --(preempt)--> waiting        running --(finished)--> gone with the next sweep()
//
// One order decides who runs first, who keeps pages and who is admitted: urgent requests (longest_wait), then priority,
// then fairness between tenants, then age. It is fixed when a request is first admitted.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/engine/options.hpp>

#include <memory>
#include <span>
#include <vector>

#include "engine/endings.hpp"
#include "engine/kv_lane.hpp"
#include "engine/sequence.hpp"
#include "engine/speculation.hpp"
#include "engine/tenants.hpp"
#include "engine/waiting_room.hpp"

namespace frugal {

class Admission {
 public:
  using Held = std::shared_ptr<Sequence>;

  Admission(const Works& works, Endings& endings)
      : options_(works.options),
        clock_(works.clock),
        store_(works.store),
        speculation_(works.speculation),
        endings_(endings),
        stats_(works.stats),
        tenants_(works.options.tenant_weights) {}

  /// A request joins the waiting ones, or ends where there is no memory for it.
  void enqueue(const Held& sequence) noexcept;
  /// Ends requests that were given up or are past their deadline. True where there were any.
  bool reap() noexcept;
  /// Evicts prefixes that have been unused for longer than they are kept.
  void expire_prefixes() noexcept;
  /// Admits who has a place and pages. True where anybody came in or ended.
  bool admit();
  /// Forgets those that have ended.
  void sweep() noexcept;

  /// In the order in which they go first.
  std::span<const Held> running() const noexcept { return running_; }
  std::size_t waiting() const noexcept { return waiting_.size(); }
  /// Those of the running whose reader keeps up, at most max_running, the first ones.
  std::vector<Held> active() const;
  /// Room for so many tokens: free pages, then idle prefixes, then those of draft models, then the pages of a sequence
  /// that goes after this one. False: there is none.
  bool reserve(Sequence& sequence, std::uint32_t tokens);
  /// Tokens served to the sequence's tenant.
  void charge(Sequence& s, std::uint32_t tokens, TimePoint now) const noexcept {
    Tenants::charge(*s.group, tokens, now);
  }
  template <class See>
  void each_waiting(See see) const {
    waiting_.each(see);
  }
  void check_integrity() const;

 private:
  enum class Outcome { admitted, aside, no_pages, ended };
  Outcome try_admit(const Held& sequence);
  bool has_place(const Sequence& sequence) const;
  bool wait_for_prefix(const Held& sequence);
  bool adopt_prefix(Sequence& sequence);
  void join(const Held& sequence) noexcept;
  void say_goodbye(Sequence& sequence) noexcept;
  void mark_urgent();
  Held victim_for(const Sequence& sequence) const;
  void preempt(const Held& victim);
  void take_seat(Sequence& sequence);
  void leave_seat(Sequence& sequence) noexcept;

  const EngineOptions& options_;
  const Clock& clock_;
  KvStore& store_;
  Speculation* speculation_;  // null = lever off
  Endings& endings_;
  EngineStats& stats_;
  Tenants tenants_;
  WaitingRoom waiting_;
  std::vector<Held> running_;  // in the order of Sequence::goes_before
  std::vector<bool> seats_;    // taken by a running sequence; index = Segment::slot
  std::uint64_t admissions_ = 0;
  TimePoint next_expiry_{}, next_urgent_{};
};

}  // namespace frugal
