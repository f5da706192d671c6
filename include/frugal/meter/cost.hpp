// Cost and Rates: the arithmetic of a bill. What tokens cost at given rates, and what a machine of one's own charges
// for them. Where the rates of a model come from is the PriceBook's business.
//
// Plain values and pure functions: safe from any thread.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/ledger.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace frugal {

/// US dollars by what they were paid for; the parts are disjoint.
struct Cost {
  double input = 0;        ///< prompt tokens neither read from nor written to a cache
  double cached_read = 0;  ///< prompt tokens read from a cache
  double cache_write = 0;  ///< prompt tokens written to a cache
  double output = 0;       ///< answer tokens without the reasoning
  double reasoning = 0;    ///< answer tokens the caller does not see
  double call = 0;         ///< price of a call as such
  double storage = 0;      ///< a provider's cache, by tokens and hours

  double total() const { return input + cached_read + cache_write + output + reasoning + call + storage; }
  FRUGAL_API Cost& operator+=(const Cost& o);
  friend bool operator==(const Cost&, const Cost&) = default;
};

/// US dollars per million tokens, resolved for one request. None = no price of its own: `cached_read` and `cache_write`
/// then cost what `input` does, `cache_write_1h` what `cache_write` does, `reasoning` what `output` does.
struct Rates {
  std::optional<double> input{}, cached_read{}, cache_write{}, cache_write_1h{};
  std::optional<double> output{}, reasoning{};
  std::optional<double> call{};     ///< dollars a call
  std::optional<double> storage{};  ///< dollars per million tokens kept for an hour
};

/// What a price depends on beside the model and the tokens.
struct PriceQuery {
  std::optional<std::chrono::sys_seconds> at{};  ///< UTC; none = now
  /// None = the price at `at`. Else the highest price of each component that holds at any moment from `at` to `until`:
  /// which a bill of that time cannot exceed; sys_seconds::max() = whenever.
  std::optional<std::chrono::sys_seconds> until{};
  std::string_view service_tier{};  ///< e.g. "flex", "priority"; empty or "default" = the standard one
  bool batch = false;               ///< sent through the provider's batch interface
  double storage_token_hours = 0;   ///< tokens kept in a provider's cache, times hours
};

/// A machine of one's own, over some time: what its money bought.
struct MachineUse {
  double usd_per_hour = 0;
  double prefill_seconds = 0, decode_seconds = 0;  ///< measured inside forward passes
  std::uint64_t prefill_tokens = 0, decode_tokens = 0;
  double busy = 1;  ///< share of the paid time spent in passes, in (0, 1]: idle hours are paid as well
};

/// Rates of a self-hosted model: machine seconds divided by the tokens they made. Reading a local cache costs nothing.
/// Errors: invalid_argument where a number is not usable; a phase without tokens has no rate.
FRUGAL_API expected<Rates> self_hosted(const MachineUse& use);

/// Dollars of `usage` at `rates`. Errors: invalid_argument where the usage contradicts itself (cached_read plus
/// cache_write above input, cache_write_1h above cache_write, reasoning above output); unavailable where a component was used that has no rate.
FRUGAL_API expected<Cost> cost_of(const Usage& usage, const Rates& rates, const PriceQuery& query = {});

}  // namespace frugal
