// From decode rows to verify chains, and from their draws back to tokens. A rejected draft leaves nothing behind: it
// was only ever in the chain, in pages beyond the committed tokens, and in rows of one pass.
#include <algorithm>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/scheduler.hpp"
#include "engine/views.hpp"

namespace frugal {

// Every sequence that decodes may add drafts to its row; the step's limit is shared in order of admission.
void Scheduler::draft(std::vector<PlannedRows>& plan, std::uint32_t& left) {
  Speculation::Room room{left, static_cast<std::uint32_t>(plan.size())};
  std::vector<Held> drafting;
  for (const PlannedRows& p : plan) {
    Sequence& s = *p.sequence;
    try {
      speculation_->ask(s, room);
    } catch (...) {
      finish(s, FinishReason::error, {}, caught_error(Errc::internal, "speculation"));
      continue;
    }
    if (!s.drafts || s.drafts->chain.committed == 0) continue;
    const Chain& chain = s.drafts->chain;
    const std::uint32_t rows = chain.ordered() ? chain.plan.tokens : chain.size();
    room.rows -= rows, room.draft_rows += rows;
    drafting.push_back(p.sequence);
  }
  left = room.rows;
  speculation_->run_models(drafting);
  for (const Held& s : drafting) {
    try {
      reserve_chain(*s);
    } catch (...) {
      finish(*s, FinishReason::error, {}, caught_error(Errc::internal, "pages for drafts"));
    }
  }
  std::erase_if(plan, [](const PlannedRows& p) { return p.sequence->finished; });
  for (PlannedRows& p : plan)
    if (p.sequence->drafts) p.rows = p.draws = 1 + p.sequence->drafts->chain.size();
}

// Pages for the drafts are nice to have: idle prefixes may go for them, no other sequence.
void Scheduler::reserve_chain(Sequence& s) {
  Chain& chain = s.drafts->chain;
  s.drafts->figures.drafted += chain.size();
  while (chain.size() > 0 && !s.pages->grow_to(chain.tokens.size())) {
    if (index_ != nullptr && index_->make_room(s.slot->id, s.pages->missing(chain.tokens.size()))) continue;
    chain.cut(static_cast<std::uint32_t>(std::max(s.pages->capacity(), s.tokens.size()) - s.tokens.size()));
  }
  if (chain.size() == 0) speculation_->drop(s);
}

// A draft holds where it equals the draw of the row before it; the first draw that differs, or the one after the last
// draft, is the target's own token. Each is accepted as if it had come alone, so an answer may end inside the run.
void Scheduler::commit_run(const PlannedRows& p, std::span<TokenScore> drawn, Duration took) {
  Sequence& s = *p.sequence;
  const std::vector<Token> drafts(s.drafts->chain.drafts().begin(), s.drafts->chain.drafts().end());
  const Owner owner = s.drafts->chain.forced ? Owner::forced : Owner::drafted;
  std::uint32_t equal = 0;
  while (equal < drafts.size() && drawn[equal].token == drafts[equal]) ++equal;
  DraftOutcome outcome = speculation_->verified(s, took, equal);
  account_rows(s, p.rows, 1 + equal);
  s.kv += 1;
  outcome.accepted = 0;
  for (std::uint32_t i = 0; i <= equal && !s.finished; ++i) {
    const bool drafted = i < equal;
    if (drawn[i].token < 0) finish(s, FinishReason::error, {}, no_draw(s));
    if (s.finished) break;
    if (drafted) ++s.kv, ++outcome.accepted;
    accept(s, std::move(drawn[i]), drafted ? owner : Owner::decoded);
  }
  if (!s.finished) {
    s.pages->trim_to(s.tokens.size());
    send(s);
  }
  try {
    speculation_->settle(s, outcome);
  } catch (...) {
    finish(s, FinishReason::error, {}, caught_error(Errc::internal, "speculation"));
  }
}

// What was drafted and not kept is wasted, whether it was verified or not.
void Scheduler::report_drafts(const Sequence& s, Attempt& attempt) const {
  DraftLedger& d = attempt.drafts = s.drafts->figures;
  attempt.tokens->wasted_drafts = d.wasted();
  const double plain = s.slot->seconds_per_plain_pass;
  if (plain == 0) return;
  const auto passes = static_cast<double>(d.accepted + d.passes);
  d.saved = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(passes * plain)) - d.draft_time -
            d.catch_up_time - d.verify_time;
}

}  // namespace frugal
