// CascadePolicy: which endpoint answers first, and whether its answer will do. Bring your own when you have a better
// judge than the model's own doubt: a classifier, a validator, a rule of the house.
//
// Threads: called on whichever thread starts a request or ends an attempt; the cascade makes one call at a time. A slow
// policy therefore holds up the endpoints whose attempts end. What a call throws ends its own request. Cost: judge()
// reads the scores once.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/view.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace frugal {

struct Verdict {
  std::optional<std::size_t>
      next{};                     ///< none = accept; else the endpoint that answers instead, not the one just judged
  std::optional<double> score{};  ///< what was judged by, for the ledger; none = nothing was measured
  /// Of a running answer, and without `next`: it is good enough whatever follows. Under CascadeStreaming::commit the
  /// caller gets it from here on as it comes, and judge() is not asked about it.
  bool commit = false;
  bool accepted() const noexcept { return !next.has_value(); }
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

/// One endpoint's try, once the request is over.
struct TryOutcome {
  std::size_t endpoint = 0;
  std::string_view text{};        ///< the answer, as far as it came
  std::optional<double> score{};  ///< Verdict::score
  FinishReason finish{};          ///< cancelled = abandoned while it ran, or given up by the caller
  Usage usage{};                  ///< what it cost
  Duration took{};                ///< from the start of the try to its end
};

/// How a request ended: what a policy may learn from.
struct CascadeOutcome {
  const RequestView& request;
  std::size_t endpoints = 0;            ///< how many the cascade has
  std::span<const TryOutcome> tries{};  ///< in order
  std::optional<std::size_t> given{};   ///< whose answer the caller got: a place in `tries`; none = nobody's
  FinishReason finish{};                ///< what the caller was told
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

  /// True = judge_running() is asked too. Read once a request.
  virtual bool judges_running() const { return false; }
  /// Asked after each piece of a running answer, unless it comes from the last endpoint; AttemptView::finish is none.
  /// `next` abandons the answer: it is cancelled and that endpoint starts. None = it goes on.
  virtual Verdict judge_running(const AttemptView& /*attempt*/) { return {}; }
  /// Told once when a request is over, before the caller hears of it. Not told of requests that no tier
  /// began or that the caller cancelled.
  virtual void learn(const CascadeOutcome& /*outcome*/) {}
};

/// Starts with the cheapest; escalates to the next one up where the answer's score is below `threshold`, or where it is
/// empty, failed, or came without scores. Score: the `quantile` (0 = the worst token, 0.5 = the median; nearest rank)
/// of the tokens' margins (TokenScore::margin), after Gupta et al. 2024, "Language model cascades: token-level
/// uncertainty and beyond". Both numbers in [0, 1], else Error(invalid_argument). `abandon`: a running answer is given up at
/// the token that makes its rejection certain, whatever follows within Request::max_tokens (without max_tokens: for
/// quantile 0 only), so that what is given is the same and rejected answers cost less.
FRUGAL_API std::shared_ptr<CascadePolicy> margin_threshold(double threshold, double quantile = 0.1,
                                                           bool abandon = false);

/// `then` where the request satisfies the predicate, `otherwise` elsewhere; null otherwise = straight to the last
/// endpoint, whose answer is accepted.
FRUGAL_API std::shared_ptr<CascadePolicy> when(std::function<bool(const RequestView&)> predicate,
                                               std::shared_ptr<CascadePolicy> then,
                                               std::shared_ptr<CascadePolicy> otherwise = nullptr);
/// The inner policy, which also commits to a running answer whose first `tokens` tokens (at least 1) have a margin of at
/// least `threshold` at this quantile (as margin_threshold), so that CascadeStreaming::commit can pass it on. What follows
/// is not judged: a certificate of the inner policy does not speak of answers that were committed to.
FRUGAL_API std::shared_ptr<CascadePolicy> commit_after(std::shared_ptr<CascadePolicy> inner, std::size_t tokens,
                                                       double threshold, double quantile = 0.1);

/// A request whose answers were graded, as nearest_neighbours looks for it.
struct KnownRequest {
  std::vector<float> embedding{};
  std::vector<double> quality{};  ///< [endpoints], in [0, 1]
};

struct NeighbourOptions {
  /// Of the last message or the raw prompt; e.g. text_embedder of frugal/head/embed.hpp. Asked on the thread that submits.
  std::function<std::vector<float>(std::string_view text)> embed{};
  std::size_t neighbours = 40;
  double most_loss = 0.03;  ///< mean quality that may be lost against the last endpoint, among the neighbours
};

/// Decides before anything is generated: the cheapest endpoint whose mean quality over the nearest known requests (by
/// cosine) is within `most_loss` of the last one's. Whole answers are accepted. What cannot be embedded goes to the last
/// endpoint. Nothing is certified. Throws Error(invalid_argument) for fewer known requests than neighbours and for what
/// does not fit together. Cost: an embedding, and a product with every known request, inside the cascade's one question
/// at a time: its running answers wait for it.
FRUGAL_API std::shared_ptr<CascadePolicy> nearest_neighbours(std::vector<KnownRequest> known, NeighbourOptions options);

/// What a token costs at an endpoint, in any one currency.
struct TierPrice {
  double input = 0, cached = 0, output = 0;  ///< computed, read from a prefix cache, written
};

struct StayOptions {
  std::vector<TierPrice> prices{};          ///< [endpoints], as the price book says
  Duration keep = std::chrono::minutes(5);  ///< how long an endpoint keeps a prefix after its last use
  std::size_t most_conversations = 4096;    ///< remembered; the one that was silent longest is forgotten
};

/// The inner policy, but a conversation (RequestView::conversation) whose last answer came from a dearer endpoint than the
/// one that would be asked goes on there, where that costs less: what the dearer one has cached it reads at `cached`, the
/// cheaper one reads cold, and may still escalate (at the share seen so far). It never moves a conversation down against
/// the inner policy's wish, nor up. Requests without a conversation are the inner policy's. One cascade each: it learns
/// where conversations are. Throws Error(invalid_argument) for fewer than two prices, negative ones, and nothing to keep.
FRUGAL_API std::shared_ptr<CascadePolicy> stay_with_tier(std::shared_ptr<CascadePolicy> inner, StayOptions options);

/// The inner policy, but the attempt after `most` escalations is accepted whatever it is.
FRUGAL_API std::shared_ptr<CascadePolicy> limited(std::shared_ptr<CascadePolicy> inner, std::size_t most);

}  // namespace frugal
