// From a DrawSpec to what a device's draw reads.
#pragma once

#include "cuda/draw.hpp"

#include <frugal/backend/batch.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace frugal::cuda {

/// A row's settings, without the pointers, and what is to be copied to the device beside it.
struct PreparedDraw {
  DrawRow row{};
  std::vector<Adjustment> adjustments{};
};

/// None where the draw is the host's: it reports the most likely tokens or a distribution, judges a draft, or its bias names a token twice.
/// Tokens outside the row of `vocab` logits are passed over, as the host does.
std::optional<PreparedDraw> prepare(const DrawSpec& spec, std::uint32_t vocab);

/// What the host makes of a draw: its logprob and margin are Drawer's to the last bit.
TokenScore score_of(const Drawn& drawn, const DrawRow& row);

}  // namespace frugal::cuda
