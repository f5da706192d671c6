// Speculation: the engine's drafters and draft models, and the questions asked of them around one decode step.
//
//   ask -> (draft models run, batched) -> the scheduler reserves and verifies -> settle
//
// Knows sequences and pages of draft models; never touches the target's pages or a sequence's committed state. Driving
// thread only.
#pragma once

#include <frugal/engine/options.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/draft_model.hpp"
#include "engine/sequence.hpp"

namespace frugal {

class Speculation {
 public:
  /// `models` [options.draft_models], in that order.
  Speculation(const EngineOptions& options, const Clock& clock, std::vector<std::unique_ptr<DraftModelSlot>> models,
              DraftModelPass::Host host);

  struct Room {
    std::uint32_t rows = 0;         ///< left in this step
    std::uint32_t decode_rows = 0;  ///< sequences that decode in it
    std::uint32_t draft_rows = 0;   ///< drafts planned for those before
  };
  /// The steps are counted for lanes that pause.
  void begin_step(std::uint64_t step) { step_ = step; }
  /// The sequence can hold drafts from now on.
  void open(Sequence& s) const;
  /// Fills the sequence's chain from a drafter, or leaves an order for a draft model. Throws Error(policy) where a
  /// policy or drafter throws.
  void ask(Sequence& s, Room room);
  /// Runs the draft models for those that ordered. A pass that fails costs its drafts only; Error(device) is thrown on.
  void run_models(std::span<const std::shared_ptr<Sequence>> sequences);
  /// The chain went through the target's pass, which agreed with its first `agreed` drafts: its figures, and the draft
  /// models' pages go back to those, before any of it is committed: the answer may end inside the run.
  DraftOutcome verified(Sequence& s, Duration took, std::uint32_t agreed);
  /// No draft was verified, as where pages ran short: none leaves keys in a draft model's pages.
  void drop(Sequence& s) const;
  /// After the commit, with how many were kept: tells the policy. Throws Error(policy).
  void settle(Sequence& s, const DraftOutcome& outcome);

  /// Gives one draft model's pages of one sequence back, the youngest first. False: there are none.
  bool release_pages(std::span<const std::shared_ptr<Sequence>> running);
  /// The sequence loses its pages: what a draft model has computed of it enters the prefix index.
  void leave(Sequence& s);
  /// The same where the device has failed: nothing computed is to be trusted.
  void abandon(Sequence& s);
  /// The sequence has ended.
  void finished(const Sequence& s, FinishReason reason) const;
  void observe(const PassCost& pass) const;
  /// Passes over scratch pages, so that the policy knows what a row costs before the first request.
  void run_trials(std::span<const std::unique_ptr<ModelSlot>> targets);

  void check_integrity(const Sequence& s) const;

 private:
  bool drafts_for(const Sequence& s) const;
  bool propose(Sequence& s, std::uint32_t index, std::uint32_t most);
  bool propose_forced(Sequence& s, std::uint32_t most);
  Drafting* drafting(Sequence& s, std::uint32_t index) const;
  void list_at_hand(Sequence& s, std::uint32_t from);
  void trial(const ModelSlot& slot, std::uint32_t rows, PassCost cost);
  std::uint32_t index_of_model(std::size_t model) const { return static_cast<std::uint32_t>(drafters_.size() + model); }

  const EngineOptions& options_;
  const Clock& clock_;
  KvStore& store_;
  SpeculationPolicy& policy_;
  std::vector<std::shared_ptr<Drafter>> drafters_;  // index = DrafterView::index; the text drafter first
  std::vector<std::unique_ptr<DraftModelSlot>> models_;
  DraftModelPass pass_;
  std::uint64_t step_ = 0;
  std::vector<DrafterView> at_hand_;  // scratch
  std::vector<Token> proposed_;       // scratch
};

}  // namespace frugal
