// Observer: every moment of an engine's life, named. Bring your own to trace or to test; all hooks do nothing by
// default. Must not block or call the engine; what a hook throws is logged and costs nobody an answer.
//
// Threads: on_submitted and on_refused are called on the submitting thread, maybe several at once; all others on the
// driving thread.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace frugal {

struct StepReport {
  std::uint64_t step = 0;
  ModelId model{};
  std::uint32_t segments = 0;  ///< sequences in the pass
  std::uint32_t prefill_rows = 0;
  std::uint32_t decode_rows = 0;  ///< drafts included
  std::uint32_t draft_rows = 0;   ///< decode rows that are drafts to be verified
  Duration forward{};             ///< time inside Backend::forward
};

class FRUGAL_API Observer {
 public:
  virtual ~Observer();
  /// A request came in; `caller_id` is its Request::id. Then comes on_refused or, at the end, on_finished.
  virtual void on_submitted(RequestId, std::string_view /*caller_id*/) {}
  virtual void on_refused(RequestId, const Finish&) {}
  virtual void on_admitted(RequestId, std::uint32_t /*prompt_tokens*/, std::uint32_t /*cached_tokens*/) {}
  virtual void on_preempted(RequestId) {}
  virtual void on_step(const StepReport&) {}
  /// A pass of a draft model; on_step does not count its rows.
  virtual void on_draft_pass(ModelId, std::uint32_t /*rows*/, Duration /*forward*/) {}
  virtual void on_finished(RequestId, const Finish&) {}
};

/// Calls each observer in this order, also after one has thrown. Throws Error(invalid_argument) on a
/// null.
FRUGAL_API std::shared_ptr<Observer> all_of(std::vector<std::shared_ptr<Observer>> observers);

}  // namespace frugal
