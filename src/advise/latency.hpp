// Where a request's time goes, fitted to the sample: how the wait for the first token grows with the prompt, and how a
// decode step grows with the requests in it.
#pragma once

#include "advise/estimate.hpp"

#include <frugal/advise/advisor.hpp>

#include <vector>

namespace frugal::advisor {

/// Decoding that waits for the prompts of others, because both share a machine's passes (chunked prefill).
struct StallModel {
  enum class Source { none, pace, recorded } source = Source::none;
  /// What a token of others' prompts takes; 0 = unknown. By pace: the share of decode time that is lost per token and
  /// ms.
  Interval token_ms{};
  double share = 0;  ///< of all decode time: stalled

  /// Of its decode time; 0 where nothing is known.
  double stalled_ms(const Row& row, Level level) const;
  /// Of its wait for the first token: what others' prompts take that are computed in it; 0 where nobody knows.
  double wait_ms(const Row& row, Level level) const;
};

/// Time to first token = queue + what others' prompts take of it + constant + slope * computed prompt tokens.
struct PrefillModel {
  StallModel stalls{};
  bool measured = false;  ///< prompts differ enough to fit a slope
  Interval slope_ms{};    ///< a token

  /// What a request waits less where `tokens` of its prompt need not be computed. Not measured: half to all of its
  /// own wait, likely 0.8, is taken to be proportional to the computed tokens.
  double saved_ms(const Row& row, double tokens, Level level) const;
};

/// Decode step with n rows = step with one row * (1 + row * (n - 1)). Not measured where the pace does not clearly fall
/// with the requests in flight: then nobody knows over how many machines they are spread, and one row a step is taken.
struct DecodeModel {
  bool measured = false;
  Interval row{};
  double in_flight = 1;  ///< mean over output tokens; 1 where `row` is not measured
};

/// Recorded where the engine said it; else by the pace: it falls with the density of others' prompt tokens,
/// 1 / pace = (1 - loss * density) / step, which, other than the time itself, does not grow with the answer.
StallModel fit_stalls(const std::vector<Row>& rows);
/// What a request gains where prompts, its own and others', need not be computed any more on a machine whose passes it
/// shares. Likely: the same demand, on a machine that is faster, meets fewer prompts a request, and fewer answers
/// beside its own. Low: callers who wait for an answer before they ask again meet as many as before.
struct Relief {
  StallModel stalls{};
  DecodeModel decode{};
  double usual_row = 0;  ///< SpeculationFigures::row
  struct Share {
    double own = 0;  ///< tokens of its own prompt
    double all = 0;  ///< share of all prompt tokens
  };

  /// Of its wait for the first token, beyond `known`, what its own prompt gives.
  double wait_ms(const Row& row, const Share& gone, double known, Level level) const;
  double decode_ms(const Row& row, const Share& gone, Level level) const;

 private:
  double thinned(const Row& row, double saved, Level level) const;
};

PrefillModel fit_prefill(const std::vector<Row>& rows, const StallModel& stalls);
DecodeModel fit_decode(const std::vector<Row>& rows, const Interval& usual, const StallModel& stalls);

}  // namespace frugal::advisor
