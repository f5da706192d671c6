// Answer cache: a question that was answered before costs nothing and takes no time.
#include "advise/levers/levers.hpp"

#include <cmath>

namespace frugal::advisor {

namespace {

bool serves(const Row& row, Level level) { return row.repeat && (level != Level::low || row.repeat_sure); }

}  // namespace

Judgement judge_answer_cache(const Facts& facts) {
  Judgement j;
  double known = 0, repeats = 0;
  for (const Row& row : facts.rows) known += row.repeat_known, repeats += row.repeat;
  if (known == 0) {
    j.unknown = "the trace has neither prompt_hash nor prefix_blocks, so nobody can tell which questions are the same";
    return j;
  }
  j.reprice = [](const Row& row, Level level) -> Saved {
    if (!serves(row, level)) return {};
    return {row.cost, row.ttft_ms, row.e2e_ms};
  };
  j.spared = [](const Row& row, Level level) { return serves(row, level) ? row.prompt - row.cached : 0.0; };
  const bool exact = facts.workload.recorded().prompt_hash > 0;
  j.assumption = percent(repeats / known) + " of the requests repeat an earlier one" +
                 (exact ? "" : " (same blocks, same length: up to a last part of a block, which is not hashed)") +
                 ", and the earlier answer still serves";
  j.experiment =
      "log prompt_hash and answer_hash for a day: equal prompts should have equal answers; then answer repeats "
      "from the cache and sample some for freshness";
  return j;
}

}  // namespace frugal::advisor
