// draw: the one place where logits become a token, shared by every backend that samples on the host.
//
// One random number per (seed, position) from a counter-based generator (Philox4x32-10, Salmon et al. 2011), so a
// seeded answer does not depend on batch make-up, speculation or the order of requests.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace frugal {

/// Uniform in [0, 1) from a 64-bit seed, a position and a purpose (0 = the draw itself; others for speculation).
FRUGAL_API double counter_uniform(std::uint64_t seed, std::uint32_t position, std::uint32_t purpose = 0) noexcept;

/// Chooses one token as `spec` says. `logits` [vocab] may hold any floats; NaN counts as -inf. Thread-safe. O(vocab)
/// greedy or plain temperature; filters cost a partial sort. Token -1 where no logit is finite
/// or the mask allows no token. Where `spec` carries a drafted token: what verify() makes of it; O(vocab), and Error(invalid_argument) where
/// its distribution cannot have given it.
FRUGAL_API TokenScore draw(std::span<const float> logits, const DrawSpec& spec);

/// The distribution draw() samples from: probabilities [vocab] after bias, penalties, mask, temperature and filters
/// (greedy: one-hot).
FRUGAL_API std::vector<float> draw_distribution(std::span<const float> logits, const DrawSpec& spec);

}  // namespace frugal
