// Drafter: guesses how an answer goes on, at next to no cost; the target then checks a whole run of guesses in one
// pass. Bring your own when you know what your answers repeat: the document being edited, the last answer of this kind,
// a form.
//
// A draft never changes what is answered: the engine accepts the guesses that equal the target's own draws, and nothing
// else. A bad drafter costs time, which a SpeculationPolicy watches. Threads: the engine's driving thread only.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/core/view.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace frugal {

/// One sequence's drafting, from its first decode step to its end.
class FRUGAL_API Drafting {
 public:
  virtual ~Drafting();
  /// Tokens accepted since the last call, at least one; the prompt comes first, with whatever of the answer there is.
  /// Asked only before a propose(), so a sequence nobody drafts for costs nothing; one call may bring a thousand
  /// tokens.
  virtual void learn(std::span<const Token> accepted) = 0;
  /// Appends at most `most` tokens (>= 1) that may follow everything learned; nothing = no idea. Deterministic: a
  /// function of what was learned, so that an answer's figures can be repeated. Proposals leave no trace: those that
  /// are accepted come back through learn(). Tokens outside the vocabulary end the run.
  virtual void propose(std::uint32_t most, std::vector<Token>& out) = 0;
};

/// A kind of drafter, shared by all sequences of an engine.
class FRUGAL_API Drafter {
 public:
  virtual ~Drafter();
  /// A short stable name for reports, e.g. "prompt_lookup".
  virtual std::string_view name() const = 0;
  /// Asked before the first draft of a sequence; null = nothing to offer for this request. `request` is borrowed for
  /// the length of the call; its prompt also comes through learn().
  virtual std::unique_ptr<Drafting> open(const RequestView& request) = 0;
  /// Told of every answer that ended well while this lever was on: past answers of a type predict the next.
  virtual void finished(const SequenceView& /*sequence*/) {}
  /// True: its tokens are the only ones possible (a grammar left no choice). They are proposed before all others and
  /// without asking the policy, and the ledger counts them as forced.
  virtual bool forced() const { return false; }
};

}  // namespace frugal
