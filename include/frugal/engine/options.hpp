// EngineOptions: what an engine is made of and how it shares itself out among requests. Plain values, read once when the
// engine is constructed.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/draft/draft_model.hpp>
#include <frugal/draft/drafter.hpp>
#include <frugal/engine/observer.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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
  /// Keys and values of all models, sequences and prefixes; 0 = 9/10 of what the backend says is free, else the default.
  std::size_t kv_bytes = std::size_t{256} << 20;
  std::uint32_t page_tokens = 0;     ///< tokens a page; 0 = chosen per model
  std::uint32_t max_running = 32;    ///< most sequences that make progress at once; readers that are behind not counted
  std::uint32_t max_waiting = 1024;  ///< queued beyond them; one more is refused with Errc::busy
  std::uint32_t step_tokens = 512;   ///< most rows in one step over all sequences of a model; 0 = the backend's
  std::uint32_t prefill_chunk = 256;  ///< most prompt rows of one sequence in a step; 0 = the backend's

  /// How long a step that computes prompts may take: sequences between two tokens wait at most that long beside them, and
  /// so does a request that comes in. Kept in 99 of 100 steps, by what passes were measured to cost and how far that was
  /// off; at least one prompt row is computed. None = what prefill_chunk rows cost, beside decode rows only.
  std::optional<Duration> stall_budget{};
  /// Requests with a higher Request::priority go first; a step that computes prompts computes those of one priority. A
  /// tenant's requests of one priority that got nothing for so long, while others were served, have their oldest request
  /// served before everyone else's. So nobody starves.
  Duration longest_wait = std::chrono::seconds(30);
  /// Requests of equal priority are admitted so that tenants are served equally many tokens (Sheng et al. 2024, the
  /// virtual token counter), or in proportion to these weights; a tenant that is not named has weight 1.
  std::map<std::string, double> tenant_weights{};

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

}  // namespace frugal
