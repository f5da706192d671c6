// Names and conventions: OpenAI (chat completions and responses), Anthropic, Amazon Bedrock (Converse), Google Gemini,
// DeepSeek, xAI, OpenRouter, LangChain's usage_metadata, OpenTelemetry's gen_ai attributes.
#include "meter/reported_usage.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "core/ascii.hpp"

namespace frugal::meter {

namespace {

using Slot = std::optional<std::uint64_t> ReportedUsage::*;
using Flag = bool ReportedUsage::*;
using Us = ReportedUsage;

struct Name {
  std::string_view key;
  Slot slot;
  Flag flag = nullptr;         ///< set by a field of this name
  bool in_group_only = false;  ///< too common a word to be trusted outside of a usage object
};

constexpr std::array<Name, 39> names{{
    {"prompt_tokens", &Us::prompt},
    {"input_tokens", &Us::prompt, &Us::is_input},
    {"inputTokens", &Us::prompt, &Us::is_input},
    {"promptTokenCount", &Us::prompt},
    {"prompt_token_count", &Us::prompt},
    {"gen_ai.usage.input_tokens", &Us::prompt},
    {"toolUsePromptTokenCount", &Us::tool_prompt},
    {"tool_use_prompt_token_count", &Us::tool_prompt},
    {"output_tokens", &Us::output},
    {"completion_tokens", &Us::output},
    {"outputTokens", &Us::output},
    {"candidatesTokenCount", &Us::output},
    {"candidates_token_count", &Us::output},
    {"gen_ai.usage.output_tokens", &Us::output},
    {"cached_tokens", &Us::cached_read},
    {"cache_read", &Us::cached_read, nullptr, true},
    {"cache_read_input_tokens", &Us::cached_read, &Us::cache_apart},
    {"cacheReadInputTokens", &Us::cached_read, &Us::cache_apart},
    {"cachedContentTokenCount", &Us::cached_read},
    {"cached_content_token_count", &Us::cached_read},
    {"prompt_cache_hit_tokens", &Us::cached_read},
    {"gen_ai.usage.cache_read.input_tokens", &Us::cached_read},
    {"cache_write_tokens", &Us::cache_write},
    {"cache_creation", &Us::cache_write, nullptr, true},
    {"cache_creation_input_tokens", &Us::cache_write, &Us::cache_apart},
    {"cacheWriteInputTokens", &Us::cache_write, &Us::cache_apart},
    {"gen_ai.usage.cache_creation.input_tokens", &Us::cache_write},
    {"ephemeral_5m_input_tokens", &Us::cache_write_5m, &Us::cache_apart},
    {"ephemeral_1h_input_tokens", &Us::cache_write_1h, &Us::cache_apart},
    {"cache_write_1h_tokens", &Us::cache_write_1h},
    {"reasoning_tokens", &Us::reasoning},
    {"reasoning", &Us::reasoning, nullptr, true},
    {"thoughtsTokenCount", &Us::reasoning, &Us::reasoning_apart},
    {"thoughts_token_count", &Us::reasoning, &Us::reasoning_apart},
    {"total_tokens", &Us::total},
    {"totalTokens", &Us::total},
    {"totalTokenCount", &Us::total},
    {"total_token_count", &Us::total},
    {"gen_ai.usage.total_tokens", &Us::total},
}};

constexpr std::array<std::string_view, 10> groups{"usage",
                                                  "usageMetadata",
                                                  "usage_metadata",
                                                  "prompt_tokens_details",
                                                  "completion_tokens_details",
                                                  "cache_creation",
                                                  "input_tokens_details",
                                                  "output_tokens_details",
                                                  "input_token_details",
                                                  "output_token_details"};

/// Parts of what other fields count already, and limits.
constexpr std::array<std::string_view, 11> harmless{"max_tokens",
                                                    "max_output_tokens",
                                                    "max_completion_tokens",
                                                    "max_new_tokens",
                                                    "min_tokens",
                                                    "block_tokens",
                                                    "text_tokens",
                                                    "prompt_cache_miss_tokens",
                                                    "accepted_prediction_tokens",
                                                    "rejected_prediction_tokens",
                                                    "tokens"};
constexpr int most_groups = 3;  ///< inside each other: "usage", its details, and one more

template <class Names>
bool contains(const Names& list, std::string_view key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

/// Whether a field of this name may hold tokens that are paid for.
bool may_count_tokens(std::string_view key) {
  return lower_ascii(key).find("token") != std::string::npos && !contains(harmless, key);
}

}  // namespace

std::uint64_t read_count(JsonCursor& cursor) {
  const std::uint64_t value = cursor.unsigned_integer();
  if (value > most_count)
    cursor.fail(std::to_string(value) + " is too large for a count (the limit is " + std::to_string(most_count) +
                "); was it negative once?");
  return value;
}

bool ReportedUsage::read(std::string_view key, JsonCursor& cursor, int depth) {
  const char next = cursor.peek();
  if (next == '{' && depth < most_groups && contains(groups, key)) return read_members(cursor, depth + 1), true;
  if (next == '"' && key == "service_tier") return service_tier = cursor.string(), true;
  const auto* const name = std::find_if(names.begin(), names.end(), [&](const Name& candidate) {
    return candidate.key == key && (depth > 0 || !candidate.in_group_only);
  });
  if (name == names.end()) return false;
  const bool is_simple = next != '{' && next != '[' && next != '"';
  if (name->in_group_only && !is_simple) return false;
  if (cursor.take_null()) return true;
  this->*name->slot = read_count(cursor);
  if (name->flag != nullptr) this->*name->flag = true;
  return true;
}

void ReportedUsage::read_members(JsonCursor& cursor, int depth) {
  std::string_view key;
  for (cursor.begin_object(); cursor.next_key(key);) {
    if (!read(key, cursor, depth)) pass_over(key, cursor);
  }
}

void ReportedUsage::pass_over(std::string_view key, JsonCursor& cursor) {
  constexpr std::size_t most_unread = 8, longest = 64;
  const char next = cursor.peek();
  const bool is_number = next >= '0' && next <= '9';
  if (!is_number || unread.size() == most_unread || key.size() > longest || !may_count_tokens(key))
    return cursor.skip();
  if (cursor.number() > 0) unread.emplace_back(key);
}

// Anthropic's and Bedrock's own prompt counts leave cached tokens out. A log that renamed the count to prompt_tokens may
// have added them (LiteLLM does): there they are left out only where the prompt is too small to contain them.
bool ReportedUsage::leaves_cache_out() const {
  if (!cache_apart) return false;
  return is_input || prompt.value_or(0) < cached_read.value_or(0) + whole_cache_write().value_or(0);
}

std::optional<std::uint64_t> ReportedUsage::whole_cache_write() const {
  if (cache_write || (!cache_write_5m && !cache_write_1h)) return cache_write;
  return cache_write_5m.value_or(0) + cache_write_1h.value_or(0);
}

std::uint64_t ReportedUsage::whole_prompt() const {
  const std::uint64_t cache = leaves_cache_out() ? cached_read.value_or(0) + whole_cache_write().value_or(0) : 0;
  return prompt.value_or(0) + tool_prompt.value_or(0) + cache;
}

// xAI's completion_tokens leave reasoning out, which only the total tells.
std::uint64_t ReportedUsage::whole_output() const {
  const std::uint64_t answer = output.value_or(0), hidden = reasoning.value_or(0);
  const bool is_apart = reasoning_apart || (total && prompt && *total == *prompt + answer + hidden);
  return answer + (is_apart ? hidden : 0);
}

}  // namespace frugal::meter
