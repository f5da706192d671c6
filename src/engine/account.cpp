#include "engine/account.hpp"

#include <algorithm>

namespace frugal {

void Account::found(std::uint32_t kv, std::uint32_t prompt_tokens) {
  const std::uint32_t hit = std::min(kv, prompt_tokens);
  if (hit > computed_) tokens_.prompt_cached += hit - computed_;
  computed_ = std::max(computed_, kv);
}

// Row i of the pass stands at position kv + i: new prompt work, work done before a preemption, or the feeding of the
// last token (counted as decoded when it was drawn).
void Account::computed(std::uint32_t kv, std::uint32_t rows, std::uint32_t kept, std::uint32_t prompt_tokens) {
  ++tokens_.passes;
  tokens_.rows += rows;
  const std::uint32_t end = kv + kept;
  tokens_.recomputed += std::min(end, computed_) - std::min(kv, computed_);
  const std::uint32_t fresh = std::max(kv, computed_);
  if (end > fresh) tokens_.prompt_computed += std::min(end, prompt_tokens) - std::min(fresh, prompt_tokens);
  computed_ = std::max(computed_, end);
}

void Account::accept(Origin origin) {
  if (origin.owner == Owner::decoded) {
    ++tokens_.decoded;
    return;
  }
  ++(origin.owner == Owner::drafted ? tokens_.accepted : tokens_.forced);
  ++drafts_.accepted;
  ++drafts_.accepted_at[origin.place];
}

void Account::trim(Origin origin) {
  if (origin.owner == Owner::decoded) {
    --tokens_.decoded;
    ++tokens_.trimmed;
    return;
  }
  --(origin.owner == Owner::drafted ? tokens_.accepted : tokens_.forced);  // a wasted draft now
  --drafts_.accepted;
  --drafts_.accepted_at[origin.place];
}

void Account::verified(std::uint32_t tokens, Duration took) {
  if (drafts_.verified_at.size() < tokens) {
    drafts_.accepted_at.resize(tokens);
    drafts_.verified_at.resize(tokens);
  }
  ++drafts_.passes;
  drafts_.verified += tokens;
  drafts_.verify_time += took;
  for (std::uint32_t i = 0; i < tokens; ++i) ++drafts_.verified_at[i];
}

void Account::catching_up(std::uint32_t rows, Duration took) {
  drafts_.catch_up += rows;
  drafts_.catch_up_time += took;
}

TokenLedger Account::tokens() const {
  TokenLedger tokens = tokens_;
  tokens.wasted_drafts = drafts_.drafted - drafts_.accepted;
  return tokens;
}

DraftLedger Account::drafts(double plain_pass) const {
  DraftLedger d = drafts_;
  if (plain_pass == 0 || d == DraftLedger{}) return d;
  const auto passes = static_cast<double>(d.accepted + d.passes);
  d.saved = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(passes * plain_pass)) - d.draft_time -
            d.catch_up_time - d.verify_time;
  return d;
}

Usage Account::usage() const {
  Usage usage;
  usage.input = tokens_.prompt_computed + tokens_.prompt_cached;
  usage.cached_read = tokens_.prompt_cached;
  usage.output = tokens_.decoded + tokens_.accepted + tokens_.forced;
  return usage;
}

}  // namespace frugal
