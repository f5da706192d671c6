// SpeculationPolicy: how many tokens to draft for a sequence in this step, and by which drafter. Zero is an answer, and
// costs nothing. Never changes what is answered (but for Request::deferral), only its cost: the target verifies drafts.
//
// Threads: called on the engine's driving thread. Cost: propose() and learn() once per sequence and step.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/view.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace frugal {

/// A drafter that may be named in a plan.
struct DrafterView {
  std::uint32_t index = 0;  ///< in the engine: its drafters in their order, then its draft models
  std::string_view name{};
  bool model = false;  ///< a draft model: a pass of its own for each token. Others cost next to nothing
};

/// What a step leaves room for.
struct DraftRoom {
  std::span<const DrafterView> drafters{};  ///< at hand for this sequence, by priority; never empty
  std::uint32_t most_tokens = 0;            ///< budget, context and step limit taken together, and the request's own
  std::uint32_t decode_rows = 0;  ///< sequences that decode in this step: with more rows, an extra one costs more
  std::uint32_t draft_rows = 0;   ///< drafts already planned for other sequences of this step; 0 = the first asked
  ModelId model{};                ///< the target: what PassCost::model says
  std::uint32_t catch_up = 0;     ///< most tokens that a draft model among them has yet to compute of this sequence
};

struct DraftPlan {
  std::uint32_t drafter = 0;  ///< DrafterView::index
  std::uint32_t tokens = 0;   ///< chain length; 0 = plain decoding; more than DraftRoom::most_tokens is cut to it
};

/// What became of a plan.
struct DraftOutcome {
  DraftPlan plan{};
  std::uint32_t drafted = 0;   ///< a drafter may propose less than it was asked for
  std::uint32_t accepted = 0;  ///< the leading run that the target kept
  double draft_seconds = 0;    ///< this sequence's share of drafting
  double verify_seconds = 0;   ///< the target's whole pass
};

/// One measured pass without prompt rows, by which a policy learns what a row costs.
struct PassCost {
  ModelId model{};
  bool draft = false;          ///< a draft model's
  std::uint32_t drafter = 0;   ///< where it is: its DrafterView::index
  std::uint32_t segments = 0;  ///< sequences
  std::uint32_t rows = 0;      ///< over all of them, drafts included
  double seconds = 0;
};

class FRUGAL_API SpeculationPolicy {
 public:
  virtual ~SpeculationPolicy();
  /// A short stable name for reports.
  virtual std::string_view name() const = 0;
  /// Asked before each decode step of a sequence for which there is a drafter. Where the drafter named has no idea,
  /// asked again without it and those before it.
  virtual DraftPlan propose(const SequenceView& sequence, const DraftRoom& room) = 0;
  /// Told after verification, once for every chain of at least one token; `sequence` is as it stands then.
  virtual void learn(const SequenceView& sequence, const DraftOutcome& outcome) = 0;
  /// Told of every pass that held decode or verify rows only, and of the trial passes at start-up.
  virtual void observe(const PassCost& /*pass*/) {}
  /// The sequence has ended: what was remembered of it alone may go.
  virtual void finished(RequestId /*request*/) {}
};

struct AdaptiveDraftsOptions {
  std::uint32_t most_tokens = 16;  ///< longest draft
  double probe_share = 0.01;       ///< most of the decoding time that may be lost to trying what seems not to pay
  double hysteresis = 0.02;        ///< a new length must promise this much more than the present one
};

/// Drafts as many tokens as give the most answer tokens a second: argmax over g of E(g) / (g c + v(rows + g)), where
/// E(g) is the expected number of tokens, c what a draft costs and v what a pass of so many rows costs, all measured.
/// Acceptance is learned by sequence, drafter and place in the chain, from a prior that sequences share. Drafts nothing
/// where that is best, as in large batches; what it loses by trying is bounded by `probe_share`. Throws
/// Error(invalid_argument) on a share or hysteresis outside [0, 1) and on no tokens.
FRUGAL_API std::shared_ptr<SpeculationPolicy> adaptive_drafts(AdaptiveDraftsOptions options = {});

/// Always the first drafter at hand and as many tokens as fit, at most `tokens`. For measuring; throws
/// Error(invalid_argument) on 0.
FRUGAL_API std::shared_ptr<SpeculationPolicy> fixed_drafts(std::uint32_t tokens);

}  // namespace frugal
