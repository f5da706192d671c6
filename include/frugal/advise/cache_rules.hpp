// CacheRules: when a prefix cache finds what it holds. Providers publish a least length, a step and a time to live; an
// engine of one's own has pages and a capacity. Plain values.
#pragma once

#include <frugal/config.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace frugal {

struct CacheRules {
  std::uint64_t least_tokens = 0;  ///< shorter prompts are neither written nor read
  std::uint64_t step_tokens = 1;   ///< a hit is rounded down to a multiple
  std::optional<double> ttl_s{};   ///< since the last use; none = until evicted
  bool waits = true;               ///< a request waits for a prefix that another one is computing; false: it misses
  double reliability_low = 1, reliability = 1, reliability_high = 1;  ///< share of the replayed hits that will happen
  std::string source{};                                               ///< of the figures, for reports
  friend bool operator==(const CacheRules&, const CacheRules&) = default;
};

/// frugal's own engine: pages, no least length, no time to live.
FRUGAL_API CacheRules engine_cache_rules();

/// What the maker of `model` publishes (prompt_cache_terms in frugal/meter/prompt_cache.hpp). `hosted` = the price book
/// knows the model; else engine_cache_rules().
FRUGAL_API CacheRules cache_rules_for(std::string_view model, bool hosted);

}  // namespace frugal
