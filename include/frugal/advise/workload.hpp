// Workload: what a trace says, in bounded memory: exact sums and sketches by request type and by model, the outcome of
// replaying every request through a simulated prefix cache and answer cache, and an even sample of requests on which
// the advisor re-prices. Fill it in one pass, then ask advise() (advisor.hpp) or a report (report.hpp).
//
// One thread while it is filled; const afterwards. About 1 us a request and 0.1 us a prefix block. Tables are
// capped, so memory is as well: 166 MiB at a million requests with the default options.
#pragma once

#include <frugal/advise/cache_rules.hpp>
#include <frugal/config.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/meter_stats.hpp>
#include <frugal/meter/price_book.hpp>
#include <frugal/meter/sketch.hpp>
#include <frugal/meter/trace.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace frugal {

class TraceReader;

struct WorkloadOptions {
  PriceBook prices = PriceBook::built_in();
  std::optional<CacheRules> cache{};            ///< for every model; none = cache_rules_for(model)
  std::size_t sample = 65536;                   ///< requests kept for re-pricing, at most
  std::size_t cache_blocks = 1U << 20U;         ///< capacity of the simulated prefix cache
  std::size_t answers = 1U << 20U;              ///< capacity of the simulated answer cache
  std::size_t reorder = 4096;                   ///< a trace is in the order of ends; submissions are sorted in a window
  std::vector<std::string> deferrable_types{};  ///< nobody waits for these: fit for a batch interface
};

/// Sums over the requests of one type or one model.
struct SliceStats {
  std::string name{};
  std::uint64_t requests = 0;
  std::uint64_t unpriced = 0;  ///< requests with a part whose price is unknown
  Usage usage{};               ///< of all attempts: what was paid for
  TokenLedger tokens{};        ///< of all attempts that recorded one
  DraftLedger drafts{};        ///< likewise
  LeverCosts levers{};         ///< by the price book, or relative; without cascade_saved
  double cost = 0;             ///< by the price book, or relative; a lower bound where unpriced > 0
  double ttft_ms_sum = 0;      ///< over the requests whose wait for the first token was measured
  double decode_ms_sum = 0;    ///< over those whose time after it was measured
  double e2e_ms_sum = 0;       ///< over those whose time to the whole answer was
  Sketch ttft_ms{}, tpot_ms{}, e2e_ms{}, prompt_tokens{}, output_tokens{};

  /// No request has a known price: the cost is unknown, not zero.
  bool cost_is_unknown() const { return requests > 0 && unpriced == requests; }
};

/// How many requests recorded what.
struct Recorded {
  std::uint64_t timestamp = 0, type = 0, model = 0, cached_tokens = 0, queue_ms = 0, ttft_ms = 0, e2e_ms = 0,
                stalled_ms = 0, prefix_blocks = 0, prompt_hash = 0, scores = 0, drafts = 0, priced = 0;
  std::uint64_t in_one_piece = 0;  ///< answers that were not streamed (came_whole): their ttft_ms measures nothing
};

/// Requests that were refused or failed: left out of everything else, but some were paid for.
struct FailedRequests {
  std::uint64_t requests = 0, unpriced = 0;
  Usage usage{};
  double cost = 0;  ///< by the price book, or relative; a lower bound where unpriced > 0
};

/// What the simulated prefix cache would have done, tokens.
struct PrefixOutcome {
  std::uint64_t prompt = 0;   ///< of the requests with prefix blocks
  std::uint64_t cached = 0;   ///< part of it: read from a cache, as recorded
  std::uint64_t hits = 0;     ///< part of it: found by the replay
  std::uint64_t evicted = 0;  ///< blocks that had to make room: above 0, hits are a lower bound
};

class FRUGAL_API Workload {
 public:
  explicit Workload(WorkloadOptions options = {});
  ~Workload();
  Workload(Workload&&) noexcept;
  Workload& operator=(Workload&&) noexcept;

  void add(TraceRecord record);
  void note_bad_line();  ///< a request that could not be read: counted, and said in unknowable()
  /// A field of the trace that may count tokens and that nobody read (TraceReader::unread_fields): said in unknowable().
  void note_unread_field(const std::string& name);
  void finish();  ///< no more requests; called once, before anything is asked

  const SliceStats& total() const;
  const std::vector<SliceStats>& types() const;   ///< in order of appearance; no type: "(none)"; beyond 256: "(other)"
  const std::vector<SliceStats>& models() const;  ///< the same
  const Recorded& recorded() const;
  const PrefixOutcome& prefix() const;
  const FailedRequests& failed() const;
  const PriceBook& prices() const;
  double first_at() const;  ///< the first submission, as the trace counts time
  double span_s() const;    ///< first to last submission
  /// No model of the trace has a price: costs count in units of an input token, an output token being 5 and a cached
  /// one 0.1 of it.
  bool relative_prices() const;
  /// One sentence for each thing that the trace does not record and what cannot be known without it.
  std::vector<std::string> unknowable() const;

  struct State;
  const State& state() const { return *state_; }  ///< for the advisor

 private:
  std::unique_ptr<State> state_;
};

struct ReadHooks {
  std::function<void(std::uint64_t)> progress{};  ///< is told the bytes read, every few thousand requests
  /// Is told of a line that cannot be read, which is then left out; none = the first such line throws.
  std::function<void(const Error&)> bad_line{};
};

/// All requests of a file. Throws as TraceReader does, and Error(bad_file) where bad lines outnumber the requests or
/// there is no request at all.
FRUGAL_API Workload read_workload(const std::string& path, WorkloadOptions options = {}, const ReadHooks& hooks = {});

}  // namespace frugal
