// What a draw asks of its DrawSpec before it looks at the row.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace frugal::backend {

inline bool is_greedy(const Sampling& s) noexcept { return !(s.temperature > 0.0F); }

inline bool adjusts(const Sampling& s) noexcept {
  return !s.logit_bias.empty() || s.repetition_penalty != 1.0F || s.presence_penalty != 0.0F ||
         s.frequency_penalty != 0.0F;
}

inline bool allowed(std::span<const std::uint32_t> mask, std::size_t t) noexcept {
  return mask.empty() || (t / 32 < mask.size() && (mask[t / 32] >> t % 32 & 1U) != 0);
}

/// Without the padding of a head that is wider than the vocabulary.
inline std::span<const float> logits_of_tokens(std::span<const float> logits, const DrawSpec& spec) noexcept {
  return spec.tokens == 0 ? logits : logits.first(std::min<std::size_t>(spec.tokens, logits.size()));
}

inline void check(const DrawSpec& spec) {
  if (spec.sampling == nullptr) throw Error(Errc::invalid_argument, "draw: DrawSpec.sampling is null");
}

inline void check(std::span<const float> logits, const DrawSpec& spec) {
  if (logits.empty()) throw Error(Errc::invalid_argument, "draw: no logits");
  check(spec);
}

}  // namespace frugal::backend
