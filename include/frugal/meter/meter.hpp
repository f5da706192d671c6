// Meter: where time, tokens and money went, by request type, tenant, model and endpoint. `Metered` (endpoint room)
// feeds it from any Endpoint; tests and other sources may call record() themselves.
//
// Threads: everything is safe from any thread. record() never waits: it pushes onto a lock-free list, and whoever gets
// the lock next, the recorder itself if nobody holds it, adds the list up. Cost: about 2 us a request, nothing a token.
// Memory: bounded by most_series; a series takes some 10 KB a slice in use.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/meter/price_book.hpp>
#include <frugal/meter/sketch.hpp>
#include <frugal/meter/trace.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace frugal {

/// Whose numbers. In a row of a snapshot, a field that was not asked for is empty.
struct MeterKey {
  std::string type{}, tenant{}, model{}, endpoint{};
  friend auto operator<=>(const MeterKey&, const MeterKey&) = default;
};

/// What a service promises; zero = not promised. `type` empty = every type that has no promise of its own.
struct Slo {
  std::string type{};
  Duration ttft{}, tpot{}, e2e{};
};

/// Dollars by lever, from counterfactual prices of the very tokens that were used.
struct LeverCosts {
  double cache_saved = 0;    ///< cached tokens at the price of input, minus what they did cost
  double cache_spent = 0;    ///< what cache writes cost above the price of input
  double cascade_saved = 0;  ///< MeterOptions::reference_model's price of the accepted answer, minus its own
  double cascade_spent = 0;  ///< rejected attempts
  double output_saved = 0;   ///< TokenLedger::avoided at the price of output
  LeverCosts& operator+=(const LeverCosts& o);
};

/// Sums and distributions over requests, or over attempts. Times are in seconds. Adds with +=.
struct FRUGAL_API MeterStats {
  explicit MeterStats(double alpha = 0.01);
  MeterStats& operator+=(const MeterStats& o);

  std::uint64_t requests = 0;
  std::array<std::uint64_t, 7> by_finish{};       ///< indexed by FinishReason
  std::uint64_t attempts = 0, rejected = 0;       ///< tries, and those of them that were thrown away
  std::uint64_t promised = 0, good = 0;           ///< requests under an Slo, and those that were answered within it
  std::uint64_t unpriced = 0, assumed_price = 0;  ///< requests with a part whose price is unknown, or a guess
  Usage usage{};                                  ///< over all attempts: what is paid for
  TokenLedger tokens{};                           ///< by owner, over all attempts
  Cost cost{};                                    ///< a lower bound where unpriced > 0
  LeverCosts levers{};
  Sketch queue, ttft;  ///< submission until admission; until the first token that the caller saw
  Sketch tpot;         ///< one value a request: (e2e - ttft) / (output - 1), from two tokens on
  Sketch gap;          ///< one value a token after the first; n tokens in one delta are n equal gaps
  Sketch e2e;          ///< submission until the end
};

struct MeterRow {
  MeterKey key{};
  MeterStats stats{};
};

struct MeterSnapshot {
  double seconds = 0;                ///< that the rows cover
  std::uint64_t in_flight = 0;       ///< requests started and not ended
  std::vector<MeterRow> requests{};  ///< by key, rising
  std::vector<MeterRow> attempts{};  ///< tries by model and endpoint; times only where the tier itself is metered
  FRUGAL_API MeterStats total() const;
};

/// Which fields tell rows apart; the others are added up.
struct MeterBy {
  bool type = true, tenant = true, model = true, endpoint = true;
};

/// The words of a request, kept only where MeterOptions::text asks for them.
struct TraceText {
  std::string prompt{}, answer{};
};

/// One ended request, or one tier's try of a cascade.
struct Measured {
  TraceRecord record{};
  bool is_attempt = false;  ///< its times count under `attempts`; tokens and money come with the request's ledger
  Sketch gaps{};            ///< seconds; of MeterOptions::alpha
  TraceText text{};
  std::string service_tier{};
  bool batch = false;
};

/// All defaults are valid.
struct MeterOptions {
  PriceBook prices = PriceBook::built_in();
  PriceRules price_rules{.unknown = UnknownPrice::warn};  ///< `fail` is taken as `warn`: measuring fails no request
  std::string reference_model{};  ///< who would answer without a cascade; empty = cascade_saved stays 0
  std::vector<Slo> slos{};
  Duration window = std::chrono::minutes(5);     ///< of recent()
  std::uint32_t slices = 10;                     ///< a window moves by window / slices
  double alpha = 0.01;                           ///< relative error of quantiles
  std::size_t most_series = 512;                 ///< further keys are added up under "(other)"
  bool sum_on_record = true;                     ///< false: the host calls flush(), e.g. from a thread of its own
  bool text = false;                             ///< keep prompt and answer for the trace
  std::function<void(const Measured&)> trace{};  ///< hears of every request in order, never two at once; must not throw
  LogSink log{};                                 ///< a model without a price is named here, once
  const Clock* clock = nullptr;                  ///< null = the process's steady clock
};

class FRUGAL_API Meter {
 public:
  /// Throws Error(invalid_argument) that names the option.
  explicit Meter(MeterOptions options = {});
  ~Meter();
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  void started();                  ///< a request is in flight until it is recorded
  void record(Measured measured);  ///< an ended one; an attempt was not `started`
  void flush();                    ///< adds up what was recorded; waits for who is at it. The destructor does not

  MeterSnapshot total(MeterBy by = {}) const;   ///< since the meter was made
  MeterSnapshot recent(MeterBy by = {}) const;  ///< the last MeterOptions::window

  const MeterOptions& options() const;
  const Clock& clock() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal
