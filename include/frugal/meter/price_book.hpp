// PriceBook: what a model's tokens cost, by date, hour, context length, service tier and component. A price that is not
// known is an error, never zero; UnknownPrice says what a caller makes of it.
//
// The built-in table comes from genai-prices (source() and date() say which); your own prices are a JSON layer on top
// (docs/prices.md). Immutable and cheap to copy; safe from any thread. A lookup costs about a microsecond.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/meter/cost.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

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

  /// The highest rate of each component over all models for this query: what a careful caller assumes for an unknown model.
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
  conservative,  ///< the highest rates known, or `PriceRules::assumed`
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
