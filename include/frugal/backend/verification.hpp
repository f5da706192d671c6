// verify: whether a drafted token stays, and what takes its place: speculative sampling, exact in distribution for any
// p and q (Leviathan et al. 2023, algorithm 1; Chen et al. 2023, theorem 1).
//
// Only for drafts that were themselves drawn at random. A deterministic draft needs none of this: it stays where it
// equals the target's own draw.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <span>

namespace frugal {

/// Inverse CDF in id order: the token at `u` in [0, 1) of `weights` [vocab]. Weights above 1 are divided by the greatest
/// first; sums are exact in units of 2^-40. Never a token of weight 0; -1 where no weight is above 0. O(vocab).
FRUGAL_API Token sample(std::span<const float> weights, double u) noexcept;

/// `drafted` was drawn from q; p is what the target would have drawn from, both [vocab] after temperature, penalties,
/// mask and filters. Returns `drafted` with probability min(1, p/q), else a draw of max(0, p - q) renormalised, which
/// is never `drafted`: so the draft was accepted if and only if it comes back. Random numbers: (seed, position) for
/// accept and residual. Thread-safe. O(vocab).
FRUGAL_API Token verify(std::span<const float> p, std::span<const float> q, Token drafted, std::uint64_t seed,
                        std::uint32_t position) noexcept;

}  // namespace frugal
