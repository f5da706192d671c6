// TraceRecord: what is remembered of one request, and all that the advisor knows of it. No text: a prompt is known by
// the hashes of its prefix blocks. Plain values; one line of JSON each (docs/trace.md).
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ledger.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace frugal {

/// Tokens of one prefix block.
inline constexpr std::uint32_t trace_block_tokens = 16;

/// One endpoint's try: who answered, what it took, what the cascade policy thought of it.
using TraceAttempt = Attempt;

/// Only the token counts are always known; an empty optional (or text, or list) is "not recorded", never zero.
struct TraceRecord {
  std::optional<double> timestamp{};          ///< of the submission, seconds since any fixed epoch (ours: Unix time)
  std::string id{};                           ///< the caller's own (Request::id)
  std::optional<std::uint64_t> request_id{};  ///< the endpoint's number for the request, as in its log
  std::string type{}, tenant{}, model{}, endpoint{};
  std::vector<std::pair<std::string, std::string>> labels{};  ///< Request::labels
  std::uint64_t prompt_tokens = 0, output_tokens = 0;
  std::optional<std::uint64_t> cached_tokens{};          ///< part of the prompt: read from a cache
  std::optional<std::uint64_t> cache_write_tokens{};     ///< part of the prompt: written to a provider's cache
  std::optional<std::uint64_t> cache_write_1h_tokens{};  ///< part of cache_write_tokens: to live an hour, not minutes
  std::optional<std::uint64_t> reasoning_tokens{};       ///< part of the answer: not shown to the caller
  std::string service_tier{};                            ///< a provider's, for the price; empty = the standard one
  bool batch = false;                                    ///< sent through a provider's batch interface
  std::optional<double> queue_ms{}, ttft_ms{}, e2e_ms{};
  std::optional<double> stalled_ms{};     ///< Timing::stalled
  std::optional<std::uint64_t> pieces{};  ///< in which the caller saw the answer; 1 = whole, so it was not streamed
  std::optional<FinishReason> finish{};
  std::optional<std::uint64_t> max_tokens{};  ///< the request's own limit; 0 = none
  std::uint32_t block_tokens = trace_block_tokens;
  std::vector<std::uint64_t> prefix_blocks{};  ///< [floor(prompt / block_tokens)]: chained hashes of successive blocks
  std::optional<std::uint64_t> prompt_hash{};  ///< of the whole prompt and its sampling: equal = the same question
  std::optional<std::uint64_t> answer_hash{};  ///< of the answer's tokens
  std::vector<TraceAttempt> attempts{};        ///< one a plain endpoint, one a try of a cascade
};

/// The answer came in one piece: its first token was seen when its last one was, so neither a wait for the first token
/// nor a time per token was measured. By `pieces`; where these are not recorded, by an ttft_ms that leaves less than
/// 0.02 ms a token after it, which no model's decoding reaches. False below two tokens, and where times are missing.
FRUGAL_API bool came_whole(const TraceRecord& record);

/// What the request is billed by: the usage of its only attempt where that was recorded, else the record's own counts.
FRUGAL_API Usage usage_of(const TraceRecord& record);

}  // namespace frugal
