// Speculation: k tokens are drafted and verified in one step. Leviathan, Kalman, Matias 2023, "Fast inference from
// transformers via speculative decoding": a step yields (1 - a^(k+1)) / (1 - a) tokens. Its time, in decode steps, is
// k c for drafting plus that of a step with k + 1 rows for each request in flight. Same tokens, so the bill of a hosted
// model does not change; the time does.
#include "advise/levers/levers.hpp"

#include <algorithm>
#include <cmath>

namespace frugal::advisor {

namespace {

constexpr int most_drafted = 8;

/// Steps saved per step that plain decoding would take: 1 - 1 / speed-up, for the best k; 0 where none pays.
double saved_share(double acceptance, double draft, double row, double in_flight) {
  double best = 1;
  for (int k = 1; k <= most_drafted; ++k) {
    const double tokens = (1 - std::pow(acceptance, k + 1)) / (1 - acceptance);
    const double rows = 1 + row * ((k + 1) * in_flight - 1), plain = 1 + row * (in_flight - 1);
    best = std::max(best, tokens / (k * draft + rows / plain));
  }
  return 1 - 1 / best;
}

/// The acceptance rate a that makes chains of k drafts keep a share `kept` of all drafts: a (1 - a^k) / (1 - a) = kept
/// k.
double per_token(double kept, double k) {
  double low = 0, high = 0.999;
  for (int i = 0; i < 50; ++i) {
    const double a = (low + high) / 2;
    (a * (1 - std::pow(a, k)) / (1 - a) < kept * k ? low : high) = a;
  }
  return (low + high) / 2;
}

struct Drafts {
  double steps = 0, drafted = 0, accepted = 0;
  bool measured() const { return drafted >= 200 && steps > 0; }
};

Drafts drafts_of(const std::vector<Row>& rows) {
  Drafts sum;
  for (const Row& row : rows)
    if (row.accepted + row.wasted > 0)
      sum.steps += row.decoded, sum.drafted += row.accepted + row.wasted, sum.accepted += row.accepted;
  return sum;
}

Interval acceptance(const Drafts& drafts, const Interval& usual) {
  if (!drafts.measured()) return usual;
  const double kept = drafts.accepted / drafts.drafted, k = std::max(1.0, drafts.drafted / drafts.steps);
  const double half = student(60) * std::sqrt(std::max(1e-6, kept * (1 - kept)) * k / drafts.drafted);
  return {per_token(kept, k), per_token(std::max(0.0, kept - half), k), per_token(std::min(1.0, kept + half), k)};
}

}  // namespace

Judgement judge_speculation(const Facts& facts) {
  Judgement j;
  if (facts.workload.recorded().e2e_ms == 0) {
    j.unknown = "the trace has no e2e_ms, so the time spent decoding is unknown";
    return j;
  }
  const SpeculationFigures& figures = facts.options.speculation;
  const Drafts drafts = drafts_of(facts.rows);
  const Interval a = acceptance(drafts, figures.acceptance), &row = facts.decode.row;
  const double n = facts.decode.in_flight;
  const Interval share{saved_share(a.estimate, figures.draft.estimate, row.estimate, n),
                       saved_share(a.low, figures.draft.high, row.high, n),
                       saved_share(a.high, figures.draft.low, row.low, n)};
  j.reprice = [&facts, share](const Row& r, Level level) -> Saved {
    if (std::isnan(r.decode_ms) || r.accepted > 0 || r.output < 2)  // unknown, at work already, or nothing to draft
      return {.e2e = where_split(r, 0)};
    return {.e2e = (r.decode_ms - facts.stalls.stalled_ms(r, Level::likely)) * at(share, level)};
  };
  j.assumption = "a draft token is accepted with probability " + number(a.estimate) + " (" +
                 (drafts.measured() ? "measured" : "usual: " + number(a.low) + " to " + number(a.high)) +
                 "), drafting one costs c = " + number(figures.draft.estimate) +
                 " of a decode step, one more row v = " + number(row.estimate) + " (" +
                 (facts.decode.measured ? "measured, with " + number(n) + " requests in flight" : "usual") +
                 "); the bill stays as it is";
  j.experiment =
      "draft by prompt look-up for a tenth of the traffic and compare the accepted tokens and the time per output "
      "token";
  return j;
}

}  // namespace frugal::advisor
