// PriceBook: what a model's tokens cost, by date, hour, context length, service tier and component. A price that is not
// known is an error, never zero; UnknownPrice says what a caller makes of it.
//
// The built-in table comes from genai-prices (source() and date() say which); your own prices are a JSON layer on top
// (docs/prices.md). Immutable and cheap to copy; safe from any thread. A lookup costs about a microsecond.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/ledger.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  std::string_view service_tier{};               ///< e.g. "flex", "priority"; empty or "default" = the standard one
  bool batch = false;                            ///< sent through the provider's batch interface
  std::uint64_t cache_write_1h = 0;              ///< of Usage::cache_write: tokens written to live an hour, not minutes
  double storage_token_hours = 0;                ///< tokens kept in a provider's cache, times hours
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
/// cache_write above input, reasoning above output); unavailable where a component was used that has no rate.
FRUGAL_API expected<Cost> cost_of(const Usage& usage, const Rates& rates, const PriceQuery& query = {});

class FRUGAL_API PriceBook {
 public:
  struct Table;  ///< the rows; opaque

  PriceBook();  ///< knows no model

  /// Reads a book from JSON. Throws Error(bad_file) that says which model and field.
  static PriceBook parse(std::string_view json);
  /// The table that was compiled in; parsed on first use.
  static const PriceBook& built_in();

  /// This book with another on top: a model of `overrides` replaces the one of the same id or name as a whole.
  PriceBook with(const PriceBook& overrides) const;
  /// This book with one flat price on top.
  PriceBook with(std::string id, const Rates& rates) const;

  /// `model` is "provider/name", or a name alone where a maker sells it itself; a date at its end ("-20260314",
  /// "-2026-03-14", "-latest") is ignored where the dated name is not listed. Upper and lower case are one.
  /// `prompt_tokens` picks the context tier. Errors: unavailable, naming the model and what is missing.
  expected<Rates> rates(std::string_view model, std::uint64_t prompt_tokens, const PriceQuery& query = {}) const;
  /// Errors: those of `rates` and of `cost_of`.
  expected<Cost> cost(std::string_view model, const Usage& usage, const PriceQuery& query = {}) const;

  /// The dearest rate of each component over all models for this query: what a careful caller assumes of a stranger.
  Rates dearest(const PriceQuery& query = {}) const;

  bool contains(std::string_view model) const;
  std::vector<std::string> models() const;  ///< all ids, in order
  std::string_view source() const;          ///< e.g. "genai-prices 0.2.3"; of the topmost layer that says
  std::string_view date() const;            ///< ISO date of the source

 private:
  explicit PriceBook(std::shared_ptr<const Table> table);
  std::shared_ptr<const Table> table_;
};

/// What becomes of a model or a component without a price.
enum class UnknownPrice {
  fail,          ///< an error
  conservative,  ///< the dearest rates known, or `PriceRules::assumed`
  warn,          ///< no cost, said in a sentence; sums then are lower bounds
};

struct PriceRules {
  UnknownPrice unknown = UnknownPrice::fail;
  std::optional<Rates> assumed{};  ///< what `conservative` takes instead of PriceBook::dearest
};

/// A cost, or why there is none or why it is a guess.
struct Priced {
  std::optional<Cost> cost{};  ///< none = unknown
  bool is_assumed = false;     ///< by UnknownPrice::conservative
  std::string warning{};       ///< empty where the price was known
};

/// Prices one usage under the caller's rules. Errors only with UnknownPrice::fail, and for a usage that contradicts
/// itself.
FRUGAL_API expected<Priced> price(const PriceBook& book, const PriceRules& rules, std::string_view model,
                                  const Usage& usage, const PriceQuery& query = {});

}  // namespace frugal
