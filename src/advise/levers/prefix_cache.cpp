// Prefix cache: every request was replayed through a simulated cache in the order of submission. A token found there
// costs a cached read instead of an input; what is found a first time was written before, at the price of a write.
#include "advise/levers/levers.hpp"

#include <algorithm>

namespace frugal::advisor {

namespace {

double spared(const Row& row, Level level) {
  const double share = level == Level::low ? row.hit_low : level == Level::high ? row.hit_high : row.hit_likely;
  // Where a prompt leaves a shared beginning, up to a block less one token more may be shared: no hash tells.
  const double more = level == Level::high && row.hit > 0 ? std::min(row.block - 1, row.prompt - 1 - row.hit) : 0;
  return std::max(0.0, share * row.hit + more - row.cached);
}

}  // namespace

Judgement judge_prefix_cache(const Facts& facts) {
  Judgement j;
  const Recorded& recorded = facts.workload.recorded();
  if (recorded.prefix_blocks == 0) {
    j.unknown = "the trace has no prefix_blocks, so nobody can tell which prompts begin alike";
    return j;
  }
  j.reprice = [&facts](const Row& row, Level level) -> Saved {
    const double tokens = spared(row, level);
    const double written = row.cached > 0 ? 0 : row.written;  // a cache at work has paid its writes
    const double cost = tokens * (row.per_input - row.per_read) - written * (row.per_write - row.per_input);
    const double wait = facts.prefill.saved_ms(row, tokens, level);
    return {cost, wait, where_split(row, wait)};
  };
  j.spared = spared;
  const PrefixOutcome& found = facts.workload.prefix();
  const double prompt = static_cast<double>(std::max<std::uint64_t>(found.prompt, 1));
  j.assumption = "a cache keeps finding what its replay found: " + percent(static_cast<double>(found.hits) / prompt) +
                 " of the prompt tokens, of which " + percent(static_cast<double>(found.cached) / prompt) +
                 " are read from a cache today" +
                 (found.evicted > 0 ? "; the simulated cache was full, so more may be found" : "") +
                 (recorded.timestamp == 0 ? "; no time stamps, so no entry ever expired" : "") +
                 (facts.prefill.measured || facts.workload.total().ttft_ms.count() == 0
                      ? ""
                      : "; 50 to 100 % of the wait for the first token is prefill");
  j.experiment =
      "switch the prefix cache on for a tenth of the traffic and compare cached_tokens and ttft_ms with the rest";
  return j;
}

}  // namespace frugal::advisor
