// From decode rows to verify chains, and from their draws back to tokens. A rejected draft leaves nothing behind: it was
// only ever in the chain, in pages beyond the committed tokens, and in rows of one pass.
#include <algorithm>
#include <string>
#include <utility>

#include "core/caught.hpp"
#include "engine/pass.hpp"
#include "engine/views.hpp"

namespace frugal {

// Tokens that the constraint forces are drafts, whether there is a speculation policy or not.
bool Pass::draft_forced(Sequence& s, std::uint32_t most) {
  if (s.drafts) s.drafts->chain.clear();
  most = std::min({most, s.budget - s.output_tokens() - 1, s.request.max_draft.value_or(~0U)});
  if (!s.constraint || most == 0) return false;
  if (speculation_ != nullptr) {
    speculation_->open(s);
  } else if (!s.drafts) {
    s.drafts = std::make_unique<Drafts>();
  }
  Chain& chain = s.drafts->chain;
  chain.begin({~0U, most}, s.tokens);
  chain.forced = true;
  s.constraint->forced(most, chain.tokens);
  if (chain.size() > 0) return true;
  chain.clear();
  return false;
}

// Every sequence that decodes may add drafts to its row; the step's limit is shared in the plan's order.
void Pass::draft(Plan& plan, std::uint32_t& left) {
  Speculation::Room room{left, static_cast<std::uint32_t>(plan.size())};
  std::vector<Held> drafting;
  for (const PlannedRows& p : plan) {
    Sequence& s = *p.sequence;
    try {
      if (!draft_forced(s, room.rows) && speculation_ != nullptr) speculation_->ask(s, room);
    } catch (...) {
      endings_.fail(s, "speculation");
      continue;
    }
    if (!s.drafts || s.drafts->chain.committed == 0) continue;
    const Chain& chain = s.drafts->chain;
    const std::uint32_t rows = chain.ordered() ? chain.plan.tokens : chain.size();
    room.rows -= rows;
    room.draft_rows += rows;
    drafting.push_back(p.sequence);
  }
  left = room.rows;
  if (speculation_ != nullptr) speculation_->run_models(drafting);
  for (const Held& s : drafting) {
    try {
      if (s->constraint) s->constraint->check(s->drafts->chain);
      reserve_chain(*s);
    } catch (...) {
      endings_.fail(*s, "drafts");
    }
  }
  std::erase_if(plan, [](const PlannedRows& p) { return p.sequence->finished; });
  for (PlannedRows& p : plan)
    if (p.sequence->drafts) p.rows = p.draws = 1 + p.sequence->drafts->chain.size();
}

// A mask for each draw: those of chains are there already.
void Pass::constrain(Plan& plan) noexcept {
  for (const PlannedRows& p : plan) {
    Sequence& s = *p.sequence;
    if (!s.constraint || p.draws == 0) continue;
    try {
      s.constraint->mask(0);
    } catch (...) {
      endings_.fail(s, "the mask of the next token");
    }
  }
  std::erase_if(plan, [](const PlannedRows& p) { return p.sequence->finished; });
}

// Pages for the drafts are nice to have: idle prefixes may go for them, no other sequence.
void Pass::reserve_chain(Sequence& s) {
  Chain& chain = s.drafts->chain;
  s.account.drafted(chain.size());
  if (chain.size() > 0 && !s.lane.grow(store_, chain.tokens.size()))
    chain.cut(static_cast<std::uint32_t>(std::max(s.lane.pages->capacity(), s.tokens.size()) - s.tokens.size()));
  if (chain.size() > 0) {
    s.lane.grow(store_, chain.tokens.size());
  } else if (speculation_ != nullptr) {
    speculation_->drop(s);
  } else {
    chain.clear();
  }
}

// A draft holds where it equals the draw of the row before it; the first draw that differs, or the one after the last
// draft, is the target's own token. Each is accepted as if it had come alone, so an answer may end inside the run.
void Pass::commit_run(const PlannedRows& p, std::span<TokenScore> drawn, Duration took) {
  Sequence& s = *p.sequence;
  const Chain& chain = s.drafts->chain;
  const std::vector<Token> drafts(chain.drafts().begin(), chain.drafts().end());
  const Account::Owner owner = chain.forced ? Account::Owner::forced : Account::Owner::drafted;
  std::uint32_t equal = 0;
  while (equal < drafts.size() && drawn[equal].token == drafts[equal]) ++equal;
  bool again = false;
  if (s.constraint) {
    const std::uint32_t kept = s.constraint->keep(drawn.first(equal + 1));
    again = kept <= equal;
    equal = std::min(equal, kept);
  }
  s.account.verified(static_cast<std::uint32_t>(drafts.size()), took);
  DraftOutcome outcome;
  if (speculation_ != nullptr) outcome = speculation_->verified(s, took, equal);
  s.account.computed(s.lane.kv, p.rows, 1 + equal, s.prompt_tokens);
  s.lane.kv += 1;
  outcome.accepted = 0;
  const bool undrawn = !again && drawn[equal].token < 0;
  std::optional<Error> reason;
  if (undrawn) reason = no_draw(s, equal);
  if (s.constraint) s.constraint->rewind();
  for (std::uint32_t i = 0; i <= equal && !s.finished; ++i) {
    if (i == equal && again) {
      --s.lane.kv;  // the row of the token before goes once more
      break;
    }
    if (i == equal && undrawn) {
      endings_.finish(s, FinishReason::error, {}, std::move(reason));
      break;
    }
    const bool drafted = i < equal;
    if (drafted) {
      ++s.lane.kv;
      ++outcome.accepted;
    }
    accept(s, std::move(drawn[i]), drafted ? Account::Origin{owner, i} : Account::Origin{});
  }
  if (!s.finished) {
    s.lane.pages->trim_to(s.tokens.size());
    Endings::send(s);
  }
  if (speculation_ == nullptr) {
    s.drafts->chain.clear();
    return;
  }
  try {
    speculation_->settle(s, outcome);
  } catch (...) {
    endings_.fail(s, "speculation");
  }
}

}  // namespace frugal
