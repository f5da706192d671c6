// From a DrawSpec to what a device's draw reads.
#pragma once

#include "cuda/judge.hpp"

#include <frugal/backend/batch.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace frugal::cuda {

/// A row's settings without the pointers, and what is to be copied to the device beside it.
struct PreparedDraw {
  DrawRow row{};
  std::vector<Adjustment> adjustments{};
};

/// Of a draw from a row of `vocab` logits. Tokens outside it are passed over, as the host does. Where a draft is judged,
/// `draft` is the caller's to fill in. Throws Error(invalid_argument) for what Drawer refuses.
PreparedDraw prepare(const DrawSpec& spec, std::uint32_t vocab);

/// Whether the draw judges a draft that was drawn at random.
bool judges(const DrawSpec& spec);

/// What the host makes of a draw and its list: the numbers are Drawer's to the last bit. `list` [row.listed].
TokenScore score_of(const Drawn& drawn, const DrawRow& row, std::span<const Listed> list);

}  // namespace frugal::cuda
