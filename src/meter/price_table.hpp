// The rows behind a PriceBook, as the JSON says them: when a price holds, what it is, and for which kinds of calls.
#pragma once

#include <frugal/meter/price_book.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace frugal {

/// The members of Rates and their names in JSON, in one order.
struct RateName {
  std::string_view json;
  std::optional<double> Rates::*member;
};
inline constexpr std::array<RateName, 8> rate_names{{{"input", &Rates::input},
                                                     {"cached_read", &Rates::cached_read},
                                                     {"cache_write", &Rates::cache_write},
                                                     {"cache_write_1h", &Rates::cache_write_1h},
                                                     {"output", &Rates::output},
                                                     {"reasoning", &Rates::reasoning},
                                                     {"call", &Rates::call},
                                                     {"storage", &Rates::storage}}};

/// A rate that may depend on the length of the prompt; the whole request pays the rate of its length.
struct TieredRate {
  double base = 0;
  std::vector<std::pair<std::uint64_t, double>> above{};  ///< rising: holds for prompts of more than `first` tokens

  double at(std::uint64_t prompt_tokens) const {
    double rate = base;
    for (const auto& [limit, price] : above)
      if (prompt_tokens > limit) rate = price;
    return rate;
  }
};

/// When a price holds: all that is given must.
struct Condition {
  std::optional<std::chrono::sys_days> since{};
  std::optional<std::pair<int, int>> minutes{};  ///< of the UTC day, [from, to); from > to passes midnight
  unsigned days = 0;                             ///< bit 0 = Sunday; 0 = every day

  bool holds(std::chrono::sys_seconds at) const;
};

struct DatedPrice {
  Condition when{};
  std::array<std::optional<TieredRate>, rate_names.size()> rates{};
};

/// Replaces single rates for calls of a kind.
struct Variant {
  std::string tier{};  ///< empty = any
  bool batch = false;
  DatedPrice price{};

  bool matches(const PriceQuery& query) const {
    return (!batch || query.batch) && (tier.empty() || tier == query.service_tier);
  }
};

struct PricedModel {
  std::string id{};
  std::vector<std::string> names{};
  bool bare = true;                  ///< found by a name without its provider
  std::vector<DatedPrice> prices{};  ///< the last one that holds is in force
  std::vector<Variant> variants{};   ///< the first one that holds and has a rate gives it
};

struct PriceBook::Table {
  std::string source{}, date{};
  std::vector<PricedModel> models{};
  std::unordered_map<std::string, std::size_t> index{};  ///< lower-case key -> models
  std::shared_ptr<const Table> below{};                  ///< asked for what is not here

  /// Ids win over provider/name, and that over bare names; among equals the first.
  void make_index();
  const PricedModel* find(const std::string& key) const;
};

/// Throws Error(bad_file).
PriceBook::Table parse_prices(std::string_view json);

}  // namespace frugal
