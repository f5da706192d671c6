// A draw by the device's code on the host, thread after thread.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend/draw_cases.hpp"
#include "cuda/draw_spec.hpp"

namespace frugal::cuda {

/// What a device gives: the draw, and the distribution where the spec asks for it.
inline TokenScore drawn_here(const testing::DrawCase& c, const DrawSpec& spec, std::uint32_t threads) {
  PreparedDraw p = prepare(spec, static_cast<std::uint32_t>(c.logits.size()));
  std::vector<float> x(p.row.tokens);
  std::vector<Listed> list(p.row.listed, {-7, 0.0F});
  p.row.logits = c.logits.data(), p.row.x = x.data(), p.row.list = list.data();
  p.row.mask = spec.mask.empty() ? nullptr : spec.mask.data();
  p.row.adjustments = p.adjustments.data();
  p.row.draft = spec.draft_distribution.empty() ? nullptr : spec.draft_distribution.data();
  if (spec.distribution != nullptr) {
    spec.distribution->assign(c.logits.size(), -7.0F);
    p.row.distribution = spec.distribution->data();
  }
  const auto shared = std::make_unique<DrawShared>();
  return score_of(drawn_from(Block{threads}, p.row, *shared), p.row, list);
}

/// The same bits; one NaN is like another.
inline bool same(float a, float b) { return (std::isnan(a) && std::isnan(b)) || bits_of(a) == bits_of(b); }

inline std::uint32_t threads_of(std::uint64_t seed) {
  return std::array<std::uint32_t, 3>{32, 128, draw_threads}[seed % 3];
}

}  // namespace frugal::cuda
