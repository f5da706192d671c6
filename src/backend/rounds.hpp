// A DraftRound step by step: each step as a batch of its own.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/model/decoder_spec.hpp>

#include <cstdint>
#include <vector>

#include "backend/contract.hpp"

namespace frugal::backend {

/// Its spans point into itself; it may be moved.
struct RoundStep {
  std::vector<Token> tokens;
  std::vector<DrawSpec> draws;
  std::vector<Segment> segments;
  Batch batch;
};

/// Whether a step's tokens are known: they are what the step before has drawn.
enum class Fed { later, now };

/// Step k of the round that begins with `first`, whose `drawn` is the whole round's. Where tokens come later, they are 0.
FRUGAL_API RoundStep round_step(const Batch& first, std::uint32_t k, Fed fed);

/// Throws Error(invalid_argument) for what a DraftRound may not ask, and for what check_batch() refuses in any step.
FRUGAL_API void check_round(const DraftRound& round, const BoundArena& arena, const DecoderSpec& spec,
                            const BackendTraits& traits);

}  // namespace frugal::backend
