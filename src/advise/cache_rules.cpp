#include <frugal/advise/cache_rules.hpp>
#include <frugal/meter/prompt_cache.hpp>

namespace frugal {

CacheRules engine_cache_rules() { return {.source = "an engine of one's own: whole pages, until evicted"}; }

CacheRules cache_rules_for(std::string_view model, bool hosted) {
  if (!hosted) return engine_cache_rules();
  const PromptCacheTerms terms = prompt_cache_terms(model);
  // A provider's cache is best effort: requests reach machines that have not seen the prefix.
  return {.least_tokens = terms.least_tokens,
          .step_tokens = terms.step_tokens,
          .ttl_s = terms.ttl_s,
          .waits = false,
          .reliability_low = 0.7,
          .reliability = 0.95,
          .reliability_high = 1,
          .source = std::string(terms.source)};
}

}  // namespace frugal
