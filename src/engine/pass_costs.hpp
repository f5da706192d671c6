// PassCosts: what passes of one model cost, learned as they happen. One learner a model, for all who ask: what a cached
// prefix is worth, how long an answer was stalled, what drafts saved, how many prompt rows fit into the stall budget.
#pragma once

#include <algorithm>
#include <cstdint>

#include "policy/pass_times.hpp"

namespace frugal {

class PassCosts {
 public:
  struct Rows {
    std::uint32_t prompt = 0, decode = 0, drafts = 0;  ///< drafts are among decode
  };
  void observe(const Rows& rows, double seconds) {
    if (rows.prompt > rows.decode) mix(prompt_token_, seconds / rows.prompt);
    if (rows.prompt == 0 && rows.drafts == 0) mix(plain_pass_, seconds);
    const double expected = times_.seconds(rows.prompt + rows.decode);
    if (rows.prompt > 0 && expected > 0) watch(seconds / expected);
    times_.observe(rows.prompt + rows.decode, seconds);
    if (rows.prompt > 0) times_.doubt_above(rows.prompt + rows.decode);
  }
  /// Of a pass of prompt rows alone or nearly so; 0 = not measured.
  double prompt_token() const noexcept { return prompt_token_; }
  /// Of a pass without prompt rows and drafts; 0 = not measured.
  double plain_pass() const noexcept { return plain_pass_; }
  /// How much longer than expected a pass with prompt rows takes, but for one in a hundred; at least 1.
  double overrun() const noexcept { return overrun_; }
  /// Most prompt rows with which 99 in 100 passes of so many decode rows take no longer than `budget` seconds, by the
  /// passes seen so far; at least 1, at most `most`, which is the answer where nothing was seen.
  /// O(log most * log passes).
  std::uint32_t prompt_rows_within(double budget, std::uint32_t decode, std::uint32_t most) const noexcept {
    if (times_.empty()) return most;
    budget /= overrun_;
    std::uint32_t fits = 1, too_many = most + 1;
    while (too_many - fits > 1) {
      const std::uint32_t middle = fits + (too_many - fits) / 2;
      (times_.seconds(decode + middle) <= budget ? fits : too_many) = middle;
    }
    return fits;
  }

 private:
  static void mix(double& mean, double now) { mean = mean == 0 ? now : 0.9 * mean + 0.1 * now; }
  // The 99th percentile by stochastic approximation (Robbins and Monro 1951): it stands still where one pass in a
  // hundred takes longer. In proportion to itself, and at most `most_overrun`, whatever the machine does.
  void watch(double ratio) noexcept {
    constexpr double rate = 0.1, share = 0.99, most_overrun = 4;
    overrun_ *= ratio > overrun_ ? 1 + rate * share : 1 - rate * (1 - share);
    overrun_ = std::clamp(overrun_, 1.0, most_overrun);
  }
  double prompt_token_ = 0, plain_pass_ = 0, overrun_ = 1;
  PassTimes times_{};
};

}  // namespace frugal
