// PassCosts: what passes of one model cost, learned as they happen. One learner a model, for all who ask: what a cached
// prefix is worth, how long an answer was stalled, what drafts saved, how many prompt rows fit beside decode rows.
#pragma once

#include <algorithm>
#include <cstdint>

namespace frugal {

class PassCosts {
 public:
  struct Rows {
    std::uint32_t prompt = 0, decode = 0, drafts = 0;  ///< drafts are among decode
  };
  void observe(const Rows& rows, double seconds) {
    if (rows.prompt > rows.decode) mix(prompt_token_, seconds / rows.prompt);
    if (rows.prompt == 0 && rows.drafts == 0) mix(plain_pass_, seconds);
    if (rows.prompt > 0 && rows.decode > 0 && plain_pass_ > 0)
      mix(added_row_, std::max(0.0, seconds - plain_pass_) / rows.prompt);
  }
  /// Of a pass of prompt rows alone or nearly so; 0 = not measured.
  double prompt_token() const noexcept { return prompt_token_; }
  /// Of a pass without prompt rows and drafts; 0 = not measured.
  double plain_pass() const noexcept { return plain_pass_; }
  /// By which a prompt row makes a pass of decode rows longer; 0 = not measured.
  double added_row() const noexcept { return added_row_ > 0 ? added_row_ : prompt_token_; }

 private:
  static void mix(double& mean, double now) { mean = mean == 0 ? now : 0.9 * mean + 0.1 * now; }
  double prompt_token_ = 0, plain_pass_ = 0, added_row_ = 0;
};

}  // namespace frugal
