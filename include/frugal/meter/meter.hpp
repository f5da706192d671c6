// Meter: where time, tokens and money went, by request type, tenant, model and endpoint. `Metered` (endpoint room)
// feeds it from any Endpoint; tests and other sources may call record() themselves.
//
// Threads: everything is safe from any thread. record() never waits: it pushes onto a lock-free list, and whoever gets
// the lock next, the recorder itself if nobody holds it, adds the list up. Cost: about 2 us a request, nothing a token.
// Memory: bounded by most_series; a series takes some 10 KB a slice in use.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/meter_stats.hpp>
#include <frugal/meter/price_book.hpp>
#include <frugal/meter/sketch.hpp>
#include <frugal/meter/trace.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace frugal {

/// What a service promises; zero = not promised. `type` empty = every type that has no promise of its own.
struct Slo {
  std::string type{};
  Duration ttft{}, tpot{}, e2e{};
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
  std::size_t most_types = 64;                   ///< of one tenant; its further ones are added up as "(other)"
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
