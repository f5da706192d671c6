// draw: how logits become a token, the same for every backend. Seeds are public behaviour: a backend that draws on its
// device must follow this rule draw for draw.
//
// One random number per (seed, position, purpose) from a counter-based generator (Philox4x32-10, Salmon et al. 2011), so
// a seeded answer does not depend on batch make-up, speculation or the order of requests. Weights are one fixed float
// polynomial, and enter all sums as whole numbers of 2^-40: any order of summation, on any device and instruction set,
// gives the same token. docs/decisions/005-random-rule.md states every step.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace frugal {

/// Uniform in [0, 1), a multiple of 2^-53, from a 64-bit seed, a position and a purpose (see DrawPurpose).
FRUGAL_API double counter_uniform(std::uint64_t seed, std::uint32_t position, std::uint32_t purpose = 0) noexcept;

/// Chooses one token as `spec` says. `logits` [vocab] may hold any floats; NaN counts as -inf. The token is -1 where no
/// logit is finite, or the mask allows no token. Where `spec` carries a drafted token, the result is verify()'s; throws
/// Error(invalid_argument) where its distribution cannot have given it. Thread-safe. Cost: a few passes over the row;
/// filters add work for the tokens that may survive them only.
FRUGAL_API TokenScore draw(std::span<const float> logits, const DrawSpec& spec);

/// The distribution draw() samples from: probabilities [vocab] after bias, penalties, mask, temperature and filters
/// (greedy: one-hot; all 0 where draw() gives -1). Thread-safe.
FRUGAL_API std::vector<float> draw_distribution(std::span<const float> logits, const DrawSpec& spec);

}  // namespace frugal
