// Engine: local models behind one Endpoint. Turns requests into batches for a Backend, keeps prompts' keys and values
// in a shared prefix index, asks the policies, and accounts for every token.
//
// Threads: start, cancel, load, stats and shutdown are safe from any thread. Steps run on the thread that drives: a
// waiting reader's, the host's in `drive`/`step`, or a thread the engine owns if EngineOptions::own_thread asks for one.
// Policies, observer and sinks are called there. Whatever they throw, of whatever type, costs at most the request they
// were called for.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/draft/draft_model.hpp>
#include <frugal/draft/drafter.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/engine/observer.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace frugal {

class Model;

struct EngineModel {
  std::string name;  ///< what Request::model says; the first one is the default
  std::shared_ptr<const Model> model;
};

/// All defaults are valid but `backend` and `models`. A null policy = that lever is off and costs nothing.
struct EngineOptions {
  std::shared_ptr<Backend> backend;
  std::vector<EngineModel> models;
  std::size_t kv_bytes = std::size_t{256}
                         << 20;       ///< the arena: keys and values of all models, sequences and cached prefixes
  std::uint32_t page_tokens = 0;      ///< tokens a page; 0 = chosen per model
  std::uint32_t max_running = 32;     ///< sequences in flight at once
  std::uint32_t max_waiting = 1024;   ///< queued beyond those; one more is refused with Errc::busy
  std::uint32_t step_tokens = 512;    ///< most rows in one step over all sequences of a model
  std::uint32_t prefill_chunk = 256;  ///< most prompt rows of one sequence in a step
  std::shared_ptr<PrefixCachePolicy> prefix_cache{};
  std::shared_ptr<OutputPolicy> output{};
  std::shared_ptr<SpeculationPolicy> speculation{};  ///< without one the two below and Request::draft lie idle
  std::vector<std::shared_ptr<Drafter>> drafters{};  ///< by priority, for all models; ahead of draft models
  std::vector<DraftModel> draft_models{};
  std::uint64_t seed = 0x66727567616cULL;  ///< from which requests without a seed get theirs
  const Clock* clock = nullptr;            ///< null = the process's steady clock; must outlive the engine
  std::string name = "engine";  ///< what Endpoint::name() and ledgers say; a name of your own heads log lines
  LogSink log{};
  std::shared_ptr<Observer> observer{};
  bool own_thread = false;  ///< start one thread that drives
};

struct EngineStats {
  std::uint64_t steps = 0, passes = 0, rows = 0;
  std::uint64_t preemptions = 0;
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

  /// Current at any time, also before the first step.
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
