// CascadePolicy: which endpoint answers first, and whether its answer will do. Bring your own when you have a better
// judge than the model's own doubt: a classifier, a validator, a rule of the house.
//
// Threads: called on whichever thread ends an attempt, one call per cascade at a time. Cost: judge() reads the scores
// once.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/view.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace frugal {

struct Verdict {
  std::optional<std::size_t>
      next{};                     ///< none = accept; else the endpoint that answers instead, not the one just judged
  std::optional<double> score{};  ///< what was judged by, for the ledger; none = nothing was measured
  bool accepted() const noexcept { return !next.has_value(); }
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

class FRUGAL_API CascadePolicy {
 public:
  virtual ~CascadePolicy();
  /// A short stable name for reports, e.g. "margin_threshold".
  virtual std::string_view name() const = 0;
  /// Asked on submit, before anything is tokenised: the place of the endpoint to try first. A place beyond the last
  /// means the last.
  virtual std::size_t first(const RequestView& request, std::size_t endpoints) = 0;
  /// Asked when an attempt ends. Never asked about a request that was cancelled or is past its deadline. On the last
  /// endpoint an escalation is ignored.
  virtual Verdict judge(const AttemptView& attempt) = 0;
};

/// Starts with the cheapest; escalates to the next one up where the answer's score is below `threshold`, or where it is
/// empty, failed, or came without scores. Score: the `quantile` (0 = the worst token, 0.5 = the median; nearest rank)
/// of the tokens' margins (TokenScore::margin), after Gupta et al. 2024, "Language model cascades: token-level
/// uncertainty and beyond". Both arguments in [0, 1], else Error(invalid_argument).
FRUGAL_API std::shared_ptr<CascadePolicy> margin_threshold(double threshold, double quantile = 0.1);

/// `then` where the request satisfies the predicate, `otherwise` elsewhere; null otherwise = straight to the last
/// endpoint, whose answer is accepted.
FRUGAL_API std::shared_ptr<CascadePolicy> when(std::function<bool(const RequestView&)> predicate,
                                               std::shared_ptr<CascadePolicy> then,
                                               std::shared_ptr<CascadePolicy> otherwise = nullptr);
/// The inner policy, but the attempt after `most` escalations is accepted whatever it is.
FRUGAL_API std::shared_ptr<CascadePolicy> limited(std::shared_ptr<CascadePolicy> inner, std::size_t most);

}  // namespace frugal
