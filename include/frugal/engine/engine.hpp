// Engine: local models behind one Endpoint. Turns requests into batches for a Backend, keeps prompts' keys and values
// in a shared prefix index, asks the policies, and accounts for every token.
//
// Threads: start, cancel and stats are safe from any thread. Steps run on the thread that drives: a waiting reader's,
// the host's in `drive`/`step`, or a thread the engine owns if EngineOptions::own_thread asks for one. Policies,
// observer and sinks are called there.
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
  /// Ends every live request with FinishReason::cancelled. Not from a sink's own callback.
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  void drive(const std::function<bool()>& until) override;

  /// One step, if there is work: plan, forward, commit. False when idle. For hosts with a loop of their own.
  bool step() override;
  /// A view of this engine that answers with one of its models, for composites. Lives as long as the engine.
  Endpoint& endpoint(std::string_view model);

  EngineStats stats() const;
  /// Forgets every cached prefix that no running sequence uses.
  void clear_prefixes();
  /// Throws Error(internal) where an invariant is broken (pages conserved, tables cover their tokens). For tests and
  /// debug builds.
  void check_integrity() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal
