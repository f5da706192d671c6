// Pass: one forward pass of one model, as a transaction: plan the rows, reserve the pages, run the batch, then take in
// what was drawn or end the sequences it held. Driving thread only.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/engine/options.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/admission.hpp"
#include "engine/endings.hpp"
#include "engine/sequence.hpp"
#include "engine/speculation.hpp"

namespace frugal {

class Pass {
 public:
  using Held = std::shared_ptr<Sequence>;

  Pass(const Works& works, Admission& admission, Endings& endings)
      : options_(works.options),
        clock_(works.clock),
        admission_(admission),
        speculation_(works.speculation),
        store_(works.store),
        endings_(endings),
        stats_(works.stats) {}

  /// False: no sequence of this model has anything to compute.
  bool run(ModelSlot& slot) noexcept;

 private:
  struct PlannedRows {
    Held sequence;
    std::uint32_t rows;
    std::uint32_t draws;  ///< the last so many rows draw a token each: 0, 1, or all of a verify chain
  };
  using Plan = std::vector<PlannedRows>;

  // pass.cpp
  void plan(ModelSlot& slot, Plan& plan);
  void plan_decodes(const ModelSlot& slot, std::span<const Held> candidates, Plan& plan, std::uint32_t& left);
  void plan_prompts(const ModelSlot& slot, std::span<const Held> candidates, Plan& plan, std::uint32_t left);
  std::uint32_t rows_in_budget(const ModelSlot& slot, const Plan& plan, std::uint32_t left) const;
  void forward(ModelSlot& slot, const Plan& plan);
  void measure(ModelSlot& slot, const StepReport& report);
  void note_stalls(const Plan& plan, const StepReport& report);
  void commit(const PlannedRows& rows, std::span<TokenScore> drawn);
  void accept(Sequence& sequence, TokenScore score, Account::Origin origin);
  std::optional<Stop> ask_policy(const Sequence& sequence) const;
  static void drop_newest(Sequence& sequence, Account::Origin origin);
  static Error no_draw(const Sequence& sequence, std::uint32_t draw);
  void fail(const Plan& plan, const Error& error) noexcept;

  // verification.cpp: from decode rows to verify chains, and from their draws back to tokens
  void draft(Plan& plan, std::uint32_t& left);
  bool draft_forced(Sequence& sequence, std::uint32_t most);
  void constrain(Plan& plan) noexcept;
  void reserve_chain(Sequence& sequence);
  void commit_run(const PlannedRows& rows, std::span<TokenScore> drawn, Duration took);

  const EngineOptions& options_;
  const Clock& clock_;
  Admission& admission_;
  Speculation* speculation_;  // null = lever off
  KvStore& store_;
  Endings& endings_;
  EngineStats& stats_;
};

}  // namespace frugal
