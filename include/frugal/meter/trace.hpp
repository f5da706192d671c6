// TraceRecord: what is remembered of one request, and all that the advisor knows of it. No text: a prompt is known by
// the hashes of its prefix blocks. Plain values; one line of JSON each (docs/trace.md).
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/core/ledger.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace frugal {

/// Tokens of one prefix block.
inline constexpr std::uint32_t trace_block_tokens = 16;

/// One endpoint's try: who answered, what it took, what the cascade policy thought of it.
using TraceAttempt = Attempt;

/// Only the token counts are always known; an empty optional (or text, or list) is "not recorded", never zero.
struct TraceRecord {
  std::optional<double> timestamp{};  ///< of the submission, seconds since any fixed epoch (ours: Unix time)
  std::string id{}, type{}, tenant{}, model{}, endpoint{};
  std::uint64_t prompt_tokens = 0, output_tokens = 0;
  std::optional<std::uint64_t> cached_tokens{};  ///< of the prompt: read from a cache
  std::optional<double> queue_ms{}, ttft_ms{}, e2e_ms{};
  std::optional<double> stalled_ms{};  ///< Timing::stalled
  std::optional<FinishReason> finish{};
  std::optional<std::uint64_t> max_tokens{};  ///< the request's own limit; 0 = none
  std::uint32_t block_tokens = trace_block_tokens;
  std::vector<std::uint64_t> prefix_blocks{};  ///< [floor(prompt / block_tokens)]: chained hashes of successive blocks
  std::optional<std::uint64_t> prompt_hash{};  ///< of the whole prompt and its sampling: equal = the same question
  std::optional<std::uint64_t> answer_hash{};  ///< of the answer's tokens
  std::vector<TraceAttempt> attempts{};        ///< one a plain endpoint, one a try of a cascade
};

}  // namespace frugal
