// Observer: every moment of an engine's life, named. Bring your own to trace or to test; all hooks do nothing by
// default. Called on the driving thread; must not block, throw, or call the engine.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <string_view>

namespace frugal {

struct StepReport {
  std::uint64_t step = 0;
  ModelId model{};
  std::uint32_t segments = 0;  ///< sequences in the pass
  std::uint32_t prefill_rows = 0;
  std::uint32_t decode_rows = 0;  ///< drafts included
  std::uint32_t draft_rows = 0;   ///< of those, guesses to be verified
  Duration forward{};             ///< time inside Backend::forward
};

class FRUGAL_API Observer {
 public:
  virtual ~Observer();
  virtual void on_admitted(RequestId, std::uint32_t /*prompt_tokens*/, std::uint32_t /*cached_tokens*/) {}
  virtual void on_preempted(RequestId) {}
  virtual void on_step(const StepReport&) {}
  /// A pass of a draft model; its rows are no part of on_step.
  virtual void on_draft_pass(ModelId, std::uint32_t /*rows*/, Duration /*forward*/) {}
  virtual void on_finished(RequestId, const Finish&) {}
};

}  // namespace frugal
