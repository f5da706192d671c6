#include <frugal/meter/prompt_cache.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <vector>

#include "core/ascii.hpp"

namespace frugal {

namespace {

struct Published {
  std::string_view part;  ///< of the model's name
  PromptCacheTerms terms;
};

// The first match counts. Times to live are the shortest that is promised, so that a replay promises no more.
constexpr std::array<Published, 7> published{{
    {"claude", {1024, 1, 300, 4, "Anthropic: 1,024 tokens, 5 minutes since the last use"}},
    {"gpt", {1024, 128, 300, 0, "OpenAI: 1,024 tokens in steps of 128, 5 minutes or more"}},
    {"gemini", {1024, 1, 300, 0, "Google: 1,024 tokens, implicit; 5 minutes assumed"}},
    {"deepseek", {64, 64, 3600, 0, "DeepSeek: units of 64 tokens, hours"}},
    {"grok", {1024, 1, 300, 0, "xAI: automatic; 1,024 tokens and 5 minutes assumed"}},
    {"mistral", {1024, 1, 300, 0, "Mistral: automatic; 1,024 tokens and 5 minutes assumed"}},
    {"", {1024, 128, 300, 0, "a hosted model: 1,024 tokens in steps of 128 and 5 minutes assumed"}},
}};

/// The words and the numbers of a name, in lower case: "claude-3.5-Haiku-20241022" = claude, 3, 5, haiku, 20241022.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> out(1);
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      out.back() += lower_ascii(c);
    else if (!out.back().empty())
      out.emplace_back();
  }
  return out;
}

/// The version: a number of one or two digits among the first `most` words, and the one that follows it. 4.6 = 406; none =
/// no version.
std::optional<int> version_of(const std::vector<std::string>& words, std::size_t most) {
  const auto number = [&](std::size_t i) -> std::optional<int> {
    if (i >= words.size() || words[i].empty() || words[i].size() > 2) return std::nullopt;
    const bool digits = std::all_of(words[i].begin(), words[i].end(), [](unsigned char c) { return std::isdigit(c); });
    return digits ? std::optional(std::stoi(words[i])) : std::nullopt;
  };
  for (std::size_t i = 0; i < std::min(most, words.size()); ++i)
    if (const std::optional<int> major = number(i)) return 100 * *major + number(i + 1).value_or(0);
  return std::nullopt;
}

void set_least(PromptCacheTerms& terms, std::uint64_t tokens, std::string_view source) {
  terms.least_tokens = tokens;
  terms.source = source;
}

void refine_claude(PromptCacheTerms& terms, const std::vector<std::string>& words) {
  const auto is = [&](std::string_view family) { return std::find(words.begin(), words.end(), family) != words.end(); };
  const int version = version_of(words, words.size()).value_or(0);
  const bool large = is("opus") || is("fable") || is("mythos");
  if ((is("opus") && (version == 405 || version == 406)) || (is("haiku") && version >= 405 && version < 500))
    set_least(terms, 4096, "Anthropic: 4,096 tokens for this model, 5 minutes since the last use");
  else if ((is("opus") && version == 407) || (is("haiku") && version < 405))
    set_least(terms, 2048, "Anthropic: 2,048 tokens for this model, 5 minutes since the last use");
  else if (large && version >= 500)
    set_least(terms, 512, "Anthropic: 512 tokens for this model, 5 minutes since the last use");
}

// From GPT-5.6 on the caller may mark beginnings, and what is read ends at a mark instead of at a step.
void refine_gpt(PromptCacheTerms& terms, std::string_view name) {
  const std::optional<int> version = version_of(words_of(name.substr(name.find("gpt") + 3)), 1);
  if (version && *version >= 506 && *version < 2000)  // Azure's gpt-35 is 3.5
    terms = {1024, 1, 1800, 3, "OpenAI: 1,024 tokens, 30 minutes, from GPT-5.6 on"};
}

}  // namespace

PromptCacheTerms prompt_cache_terms(std::string_view model) {
  const std::string name = lower_ascii(model);
  const auto rule = std::find_if(published.begin(), published.end(),
                                 [&](const Published& p) { return name.find(p.part) != std::string::npos; });
  PromptCacheTerms terms = rule->terms;
  if (rule->part == "claude") refine_claude(terms, words_of(name));
  if (rule->part == "gpt") refine_gpt(terms, name);
  return terms;
}

}  // namespace frugal
