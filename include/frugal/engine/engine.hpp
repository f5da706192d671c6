// Engine: local models behind one Endpoint. Turns requests into batches for a Backend, keeps prompts' keys and values
// in a shared prefix index, asks the policies, and accounts for every token.
//
// Threads: start, cancel, load, stats and shutdown are safe from any thread. Steps run on the thread that drives: a
// waiting reader's, the host's in `drive`/`step`, or a thread the engine owns if EngineOptions::own_thread asks for one.
// Policies, observer and sinks are called there. Whatever they throw, of whatever type, costs at most the request they
// were called for.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/engine/options.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace frugal {

struct EngineStats {
  std::uint64_t steps = 0, passes = 0, rows = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t admission_looks = 0;  ///< times a waiting request was looked at; one that waits for a prefix costs none
  std::uint32_t running = 0, waiting = 0;
  std::size_t kv_bytes_total = 0, kv_bytes_leased = 0, kv_bytes_indexed = 0;
  TokenLedger tokens{};  ///< over all finished requests
  DraftLedger drafts{};  ///< the same
};

class FRUGAL_API Engine final : public Endpoint {
 public:
  /// Registers the models and allocates the arena. Throws Error (invalid_argument names the option; too_large where the
  /// arena cannot hold a page of every model; what the backend throws).
  explicit Engine(EngineOptions options);
  /// shutdown(), then waits until no thread is inside any more. Not from a callback.
  ~Engine() override;

  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  /// One step, if there is work: plan, forward, commit. For hosts with a loop of their own.
  Progress step() override;
  void unwatch(Waker& waker) override;
  void wake() override;
  std::optional<TimePoint> next_deadline() const override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

  /// From now on start() refuses with Errc::unavailable. Serves what is live until `deadline` (of the engine's clock;
  /// the default: not at all), lending this thread, and cancels the rest; waits for a step of another thread to end.
  /// Afterwards every request has its Finish and no callback runs any more. Returns how many were cancelled. Idempotent;
  /// throws Error(invalid_argument) in a callback, which would wait for itself.
  std::size_t shutdown(TimePoint deadline = TimePoint::min());
  /// A view of this engine that answers with one of its models, for composites. Lives as long as the engine.
  Endpoint& endpoint(std::string_view model);

  /// As of the end of the last step: a request may be counted, and its pages as leased, a moment after its Finish.
  EngineStats stats() const;
  /// Forgets every cached prefix that no running sequence uses.
  void clear_prefixes();
  /// Throws Error(internal) where an invariant is broken (pages conserved, tables cover their tokens). Waits for a step
  /// of another thread to end. For tests and debug builds; not in a callback.
  void check_integrity() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal
