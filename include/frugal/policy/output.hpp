// OutputPolicy: how long an answer may be, and when it is long enough. Bring your own when you know what a finished
// answer of your service looks like.
//
// Decides with values: the engine ends the answer with FinishReason::capped and the policy's name as detail. Threads:
// called on the engine's driving thread. Cost: after() once per accepted token; the built-ins look at the tail only.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/view.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

/// "That is enough."
struct Stop {
  std::string policy{};           ///< who says so; goes into Finish::detail
  std::uint32_t trim_tokens = 0;  ///< newest tokens to cut off; those already delivered stay
  friend bool operator==(const Stop&, const Stop&) = default;
};

/// How an answer ended.
struct AnswerOutcome {
  FinishReason reason{};
  std::string_view detail{};  ///< as Finish::detail: the stop text that matched, the policy that capped
  Usage usage{};
  Timing timing{};
};

class FRUGAL_API OutputPolicy {
 public:
  virtual ~OutputPolicy();
  /// A short stable name for reports, e.g. "max_tokens".
  virtual std::string_view name() const = 0;
  /// Asked once, on admission. Most tokens this answer may have; 0 = no opinion. The request's own limit and the
  /// context hold beside it. Reaching the budget ends the answer as capped where this number was the smallest limit.
  virtual std::uint32_t budget(const RequestView& request) = 0;
  /// Asked after each accepted token, also inside an accepted run of drafts. None = go on.
  virtual std::optional<Stop> after(const SequenceView& sequence) = 0;
  /// Told once of every answer of a request that was queued, whoever ended it, so that a policy can learn. `sequence` is
  /// the answer as the caller has it. What it throws is logged. Does nothing by default.
  virtual void ended(const SequenceView& /*sequence*/, const AnswerOutcome& /*outcome*/) {}
};

/// At most n tokens. Throws Error(invalid_argument) on 0.
FRUGAL_API std::shared_ptr<OutputPolicy> max_tokens(std::uint32_t n);
/// Ends the answer once it contains one of these texts, which stays in it (Request::stop is what cuts before a text).
/// Throws Error(invalid_argument) on an empty text.
FRUGAL_API std::shared_ptr<OutputPolicy> stop_on(std::vector<std::string> texts);

struct RepeatGuardOptions {
  std::uint32_t max_period = 64;  ///< longest block of tokens looked for
  std::uint32_t repeats = 4;      ///< a block so many times in a row is a loop ...
  std::uint32_t min_tokens =
      32;            ///< ... if together they are at least so many tokens, so that "......" or a row of a table is none
  bool trim = true;  ///< cut all copies but the first
};
/// Finishes an answer that loops: its tail is one block of tokens, over and over. Throws Error(invalid_argument) on a
/// period of 0 or fewer than 2 repeats.
FRUGAL_API std::shared_ptr<OutputPolicy> repeat_guard(RepeatGuardOptions options = {});

/// Each question goes to the first that has an opinion: a budget other than 0, a Stop. All are asked after() until one
/// stops, and all hear ended().
FRUGAL_API std::shared_ptr<OutputPolicy> first_of(std::vector<std::shared_ptr<OutputPolicy>> policies);
/// The inner policy where the request satisfies the predicate; no opinion elsewhere.
FRUGAL_API std::shared_ptr<OutputPolicy> when(std::function<bool(const RequestView&)> predicate,
                                              std::shared_ptr<OutputPolicy> inner);
/// The inner policy for requests of this type; no opinion elsewhere.
FRUGAL_API std::shared_ptr<OutputPolicy> for_type(std::string type, std::shared_ptr<OutputPolicy> inner);
/// The inner policy's budget, but never more than `most`, also where it has no opinion. Throws Error(invalid_argument)
/// on 0.
FRUGAL_API std::shared_ptr<OutputPolicy> limited(std::shared_ptr<OutputPolicy> inner, std::uint32_t most);

}  // namespace frugal
