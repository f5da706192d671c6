// Deferral: what a draft is judged by where it need not be the target's own draw. Speculative cascades (Narasimhan et
// al., ICLR 2025, "Faster cascades via speculative decoding"): their rules OPT and TokenV3, over one verify pass.
#pragma once

#include <frugal/backend/batch.hpp>

#include <cstddef>
#include <span>

namespace frugal::backend {

/// False for 0 (and for anything that is not above 0): drafts are then judged as if there were no rule.
inline bool defers(const Deferral& rule) noexcept { return rule.alpha > 0.0F; }

/// Whether the rule is `token`, and the drafted token one of `tokens`.
inline bool may_stand(const DrawSpec& spec, std::size_t tokens) noexcept {
  return defers(spec.deferral) && spec.deferral.rule == DeferralRule::token && spec.drafted >= 0 &&
         static_cast<std::size_t>(spec.drafted) < tokens;
}

/// Rule `token`: whether a draft of probability p stands where the best token has `most`. Never one of probability 0.
bool stands(float p, float most, float alpha) noexcept;

/// Rule `opt`: whether all of q stands in p's place; both [vocab], of any mass above 0. False where one has none. O(vocab).
bool all_stand(std::span<const float> p, std::span<const float> q, float alpha) noexcept;

/// p and q, both [vocab], p from the target, q what the draft was drawn from. Writes over p the distribution that the
/// answer's token is to have: a draft of q that verify() judges against it gives just that. O(vocab).
void defer(std::span<float> p, std::span<const float> q, const Deferral& rule) noexcept;

/// What becomes of the drafted token of `spec`, which was drawn from its distribution; p [tokens] is the target's, and is
/// used up.
Token judge_drawn(std::span<float> p, const DrawSpec& spec);

}  // namespace frugal::backend
