#include <frugal/advise/cache_rules.hpp>

#include <algorithm>
#include <array>
#include <cctype>

namespace frugal {

namespace {

struct Published {
  std::string_view part;  ///< of the model's name
  std::uint64_t least, step;
  double ttl_s;
  std::string_view source;
};

// The first match counts. Times to live are the shortest that is promised, so that a replay promises no more.
constexpr std::array<Published, 8> published{{
    {"claude", 1024, 1, 300, "Anthropic: 1,024 tokens, 5 minutes since the last use"},
    {"gpt-6", 1024, 128, 1800, "OpenAI: 1,024 tokens in steps of 128, 30 minutes"},
    {"gpt", 1024, 128, 300, "OpenAI: 1,024 tokens in steps of 128, 5 minutes or more"},
    {"gemini", 1024, 1, 300, "Google: 1,024 tokens, implicit; 5 minutes assumed"},
    {"deepseek", 64, 64, 3600, "DeepSeek: units of 64 tokens, hours"},
    {"grok", 1024, 1, 300, "xAI: automatic; 1,024 tokens and 5 minutes assumed"},
    {"mistral", 1024, 1, 300, "Mistral: automatic; 1,024 tokens and 5 minutes assumed"},
    {"", 1024, 128, 300, "a hosted model: 1,024 tokens in steps of 128 and 5 minutes assumed"},
}};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

CacheRules engine_cache_rules() { return {.source = "an engine of one's own: whole pages, until evicted"}; }

CacheRules cache_rules_for(std::string_view model, bool hosted) {
  if (!hosted) return engine_cache_rules();
  const std::string name = lower(model);
  const auto rule = std::find_if(published.begin(), published.end(),
                                 [&](const Published& p) { return name.find(p.part) != std::string::npos; });
  // A provider's cache is best effort: requests reach machines that have not seen the prefix.
  return {.least_tokens = rule->least,
          .step_tokens = rule->step,
          .ttl_s = rule->ttl_s,
          .waits = false,
          .reliability_low = 0.7,
          .reliability = 0.95,
          .reliability_high = 1,
          .source = std::string(rule->source)};
}

}  // namespace frugal
