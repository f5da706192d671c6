// What a meter's rows hold: whose numbers, what they add up, and the money by lever. Plain values; docs/measure.md has
// the definitions.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/meter/cost.hpp>
#include <frugal/meter/sketch.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace frugal {

/// Whose numbers. In a row of a snapshot, a field that was not asked for is empty.
struct MeterKey {
  std::string type{}, tenant{}, model{}, endpoint{};
  friend auto operator<=>(const MeterKey&, const MeterKey&) = default;
};

/// Dollars by lever, from counterfactual prices of the very tokens that were used.
struct LeverCosts {
  double cache_saved = 0;    ///< cached tokens at the price of input, minus what they did cost
  double cache_spent = 0;    ///< what cache writes cost above the price of input
  double cascade_saved = 0;  ///< MeterOptions::reference_model's price of the accepted answer, minus its own
  double cascade_spent = 0;  ///< rejected attempts
  /// Tokens of the passes that verified drafts at the price of output, times DraftLedger::saved / the time these passes
  /// and their drafts took: an engine that drafts is one's own, and its price is its machine's time.
  double speculation_saved = 0;
  double speculation_spent = 0;  ///< the same of attempts where drafting cost more time than it saved
  FRUGAL_API LeverCosts& operator+=(const LeverCosts& o);
  friend bool operator==(const LeverCosts&, const LeverCosts&) = default;
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
  TokenLedger tokens{};                           ///< by owner, over the attempts that have a token ledger
  DraftLedger drafts{};                           ///< what speculation did, over all attempts
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

}  // namespace frugal
