// PromptCacheTerms: what the maker of a hosted model publishes about its prompt cache: how long a beginning must be, how
// long it lives, and whether the caller marks it. Prices are in the PriceBook. Plain values, safe from any thread.
#pragma once

#include <frugal/config.hpp>

#include <cstdint>
#include <string_view>

namespace frugal {

struct PromptCacheTerms {
  std::uint64_t least_tokens = 1024;  ///< shorter beginnings are neither written nor read
  std::uint64_t step_tokens = 1;      ///< what is read is rounded down to a multiple
  double ttl_s = 300;                 ///< the shortest time to live that is promised, since the last use
  /// Marks that one request may carry for beginnings worth caching; 0 = the provider finds them by itself.
  std::uint32_t most_marks = 0;
  std::string_view source{};  ///< of the figures, for reports
};

/// By the parts of the model's name ("claude", "gpt", "gemini", ...), as published up to 2026-10; for another hosted
/// model the strictest common rule. docs/advise.md has the table.
FRUGAL_API PromptCacheTerms prompt_cache_terms(std::string_view model);

}  // namespace frugal
