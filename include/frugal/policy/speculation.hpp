// SpeculationPolicy: how many tokens to draft for a sequence in this step, and by which drafter. Zero is an answer, and
// costs nothing. Never changes what is answered, only what it costs: every draft is verified by the target.
//
// Threads: called on the engine's driving thread. Cost: propose() and learn() once per sequence and step.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/view.hpp>

#include <cstdint>
#include <string_view>

namespace frugal {

/// What a step leaves room for.
struct DraftRoom {
  std::uint32_t drafters = 0;     ///< drafters at hand for this sequence; 0 = none
  std::uint32_t most_tokens = 0;  ///< budget, context, pages and step limit taken together
  std::uint32_t decode_rows = 0;  ///< sequences that decode in this step: more rows make each extra one dearer
};

struct DraftPlan {
  std::uint32_t drafter = 0;  ///< index into the engine's drafters
  std::uint32_t tokens = 0;   ///< chain length; 0 = plain decoding; more than DraftRoom::most_tokens is cut to it
};

/// What became of a plan.
struct DraftOutcome {
  DraftPlan plan{};
  std::uint32_t drafted = 0;   ///< a drafter may propose less than it was asked for
  std::uint32_t accepted = 0;  ///< of those, the leading run that the target kept
  double draft_seconds = 0;    ///< this sequence's share of drafting
  double verify_seconds = 0;   ///< the target's whole pass
};

class FRUGAL_API SpeculationPolicy {
 public:
  virtual ~SpeculationPolicy();
  /// A short stable name for reports.
  virtual std::string_view name() const = 0;
  /// Asked before each decode step of a sequence.
  virtual DraftPlan propose(const SequenceView& sequence, const DraftRoom& room) = 0;
  /// Told after verification, once for every plan of at least one token; `sequence` is as it stands then.
  virtual void learn(const SequenceView& sequence, const DraftOutcome& outcome) = 0;
};

}  // namespace frugal
