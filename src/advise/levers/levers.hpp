// The eight levers, one file each: what a lever would save of a request, on which assumption, and how to find out.
#pragma once

#include "advise/estimate.hpp"
#include "advise/latency.hpp"
#include "advise/state.hpp"
#include "advise/words.hpp"

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace frugal::advisor {

/// What every lever may look at.
struct Facts {
  const Workload& workload;
  const std::vector<Row>& rows;  ///< the sample, in the order of submission
  const AdvisorOptions& options;
  PrefillModel prefill{};
  DecodeModel decode{};
  StallModel stalls{};
  std::vector<bool> deferrable{};  ///< [types]: nobody waits for these
};

/// `reprice` empty: the lever cannot be judged (`unknown` says why) or finds nothing to save (`unknown` is empty).
struct Judgement {
  Reprice reprice{};
  /// Prompt tokens of a request that need not be computed: what the others then decode faster is added to `reprice`.
  std::function<double(const Row&, Level)> spared{};
  std::string assumption{}, experiment{}, unknown{};
  std::vector<LeverSetting> settings{};
};

Judgement judge_prefix_cache(const Facts& facts);
Judgement judge_cascade(const Facts& facts);
Judgement judge_task_model(const Facts& facts);
Judgement judge_speculation(const Facts& facts);
Judgement judge_cap(const Facts& facts);
Judgement judge_batch(const Facts& facts);
Judgement judge_answer_cache(const Facts& facts);
Judgement judge_context(const Facts& facts);

/// Shared beginnings that are just too short for a provider's cache.
std::vector<ShortPrefix> find_short_prefixes(const Facts& facts);

/// [types]: deferrable by the caller's word, by name, or by their bursts.
std::vector<bool> deferrable_types(const Workload& workload);

/// A time saved of the whole answer, by a lever that needs to know which part of it was spent before the first token and
/// which after it: unknown where that was not measured.
inline double where_split(const Row& row, double saved_ms) { return std::isnan(row.decode_ms) ? absent : saved_ms; }

/// The value at a level.
inline double at(const Interval& interval, Level level) {
  return level == Level::low ? interval.low : level == Level::high ? interval.high : interval.estimate;
}

}  // namespace frugal::advisor
