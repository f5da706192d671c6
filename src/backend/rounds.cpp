#include "backend/rounds.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <string>

namespace frugal::backend {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(Errc::invalid_argument, "backend: " + message); }

/// What a step of a round gives to the next one is a token; all else would have to wait for the host.
void check_segment(const Segment& s) {
  if (s.draws.size() != 1)
    refuse("a segment of a draft round makes " + std::to_string(s.draws.size()) + " draws, not one");
  if (!s.logits.empty() || !s.hidden.empty()) refuse("logits or hidden states of a draft round");
  if (!s.from.empty()) refuse("tokens of an earlier ticket in a draft round");
  const DrawSpec& d = s.draws.front();
  if (d.distribution != nullptr || !d.draft_distribution.empty() || d.draft.ticket != Ticket{})
    refuse("a distribution that a draft round would give or judge by");
}

}  // namespace

RoundStep round_step(const Batch& first, std::uint32_t k, Fed fed) {
  const std::size_t n = first.segments.size();
  RoundStep step;
  step.tokens.assign(n, 0), step.segments.assign(first.segments.begin(), first.segments.end());
  for (const Segment& s : first.segments) step.draws.push_back(s.draws.front()), step.draws.back().position += k;
  for (std::size_t i = 0; i < n; ++i) {
    Segment& s = step.segments[i];
    s.draws = std::span(step.draws).subspan(i, 1);
    if (k == 0) continue;
    if (fed == Fed::now) step.tokens[i] = std::max<Token>(0, first.drawn[(k - 1) * n + i].token);
    s.start += static_cast<std::uint32_t>(s.tokens.size()) + k - 1;
    s.tokens = std::span(step.tokens).subspan(i, 1), s.prompt = 0;
  }
  step.batch = {.model = first.model, .segments = step.segments, .drawn = first.drawn.subspan(k * n, n)};
  return step;
}

void check_round(const DraftRound& round, const BoundArena& arena, const DecoderSpec& spec,
                 const BackendTraits& traits) {
  const std::size_t n = round.first.segments.size();
  if (round.steps == 0 || n == 0) refuse("a draft round without steps or segments");
  if (n > traits.draft_rounds)
    refuse(std::to_string(n) + " segments in a draft round, at most " + std::to_string(traits.draft_rounds));
  if (round.first.drawn.size() != n * round.steps) refuse("Batch.drawn has another size than the round has draws");
  if (round.first.layers) refuse("a draft round of some layers only");
  for (const Segment& s : round.first.segments) check_segment(s);
  for (const std::uint32_t k : {0U, round.steps - 1})
    check_batch(round_step(round.first, k, Fed::later).batch, arena, spec, traits.max_rows);
}

}  // namespace frugal::backend
