// Row: one request of the sample, as the levers see it: what it used, what it cost, what the replays found. Absent
// numbers are NaN.
#pragma once

#include <cstdint>
#include <limits>

namespace frugal::advisor {

inline constexpr double absent = std::numeric_limits<double>::quiet_NaN();

struct Row {
  std::uint64_t ordinal = 0;  ///< place in the order of submission
  std::uint32_t type = 0;     ///< index of the slice
  double prompt = 0, output = 0;
  double cached = 0;  ///< 0 where it was not recorded
  bool priced = false;
  double cost = 0;  ///< paid, all attempts; absent where unknown, once it is known that others have a price
  double per_input = 0, per_read = 0, per_write = 0, per_output = 0;  ///< of the answering model, a token
  double batch_cost = absent;                                         ///< of the same usage through a batch interface

  bool has_blocks = false;
  bool whole_chain = false;                          ///< the blocks reach the prompt's end
  double hit = 0, seen = 0, written = 0;             ///< tokens, by the prefix replay
  double short_by_little = 0;                        ///< tokens: PrefixResult::short_tokens
  double least = 0;                                  ///< tokens: CacheRules::least_tokens
  double block = 16;                                 ///< tokens
  double hit_low = 1, hit_likely = 1, hit_high = 1;  ///< CacheRules::reliability
  bool repeat_known = false, repeat = false, repeat_sure = false;

  double queue_ms = absent;
  double ttft_ms = absent, decode_ms = absent;  ///< both absent where the answer came in one piece
  double e2e_ms = absent;
  double stalled_ms = absent;  ///< of decode_ms: Timing::stalled
  double others = absent;      ///< tokens of others' prompts that were computed within decode_ms
  double ahead = absent;       ///< the same within ttft_ms - queue_ms
  double in_flight = 1;        ///< requests in flight when it was submitted, itself included
  double score = absent;       ///< of the first attempt, where there were several
  bool first_accepted = false;
  double first_cost = 0, later_cost = 0;  ///< of the first attempt and of those after it
  double decoded = 0, accepted = 0, wasted = 0;
  bool finish_known = false, cut = false;  ///< cut: ended by max_tokens, the context or a cap
};

}  // namespace frugal::advisor
