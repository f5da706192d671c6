// A mixture of experts for the few rows of a decode or verify step, without the host: which experts a row passes and how
// much each weighs, which rows each expert gets, and products that read the matrices of the chosen experts only. The
// `used` choices of a row are numbered one after the other: choice row * used + k.
#pragma once

#include "cuda/draw.hpp"
#include "cuda/packed.hpp"

#include <cstddef>
#include <cstdint>

namespace frugal::cuda {

inline constexpr std::uint32_t most_experts = 512, most_used = 16, routed_rows = 256;
inline constexpr std::uint32_t choose_threads = warp, group_threads = 256;

/// Up to product_rows choices of one expert: order[first], order[first + 1], ...
struct ExpertTile {
  std::uint32_t expert, first, count;
};

/// Pointers are the device's.
struct Route {
  const float* scores = nullptr;    ///< [rows, count] what the router gives; NaN is minus infinity
  std::uint32_t* chosen = nullptr;  ///< [rows, used] by rising number
  float* weights = nullptr;         ///< [rows, used]
  std::uint32_t* order = nullptr;   ///< [rows * used] choices, those of expert 0 first
  ExpertTile* tiles = nullptr;      ///< [expert_tiles()]; those that are not needed have no rows
  std::uint32_t rows = 0, count = 0, used = 0;
  bool renormalise = false;  ///< weights of a row sum to 1
  float scale = 0.0F;        ///< log2(e)
};

/// Enough for any choices.
FRUGAL_DEVICE std::uint32_t expert_tiles(const Route& r) {
  const std::uint32_t choices = r.rows * r.used, most = choices / product_rows + r.count;
  return choices < most ? choices : most;
}

struct ChooseShared {
  float best[choose_threads];
  std::uint32_t at[choose_threads];
  unsigned long long partial[choose_threads];
  std::uint32_t taken[most_experts / 32];
  std::uint32_t chosen[most_used];
  float max;
};

/// The `used` greatest scores of a row, the lower number among equals; weights are those of the random rule's polynomial
/// (docs/decisions/005), in whole numbers of 2^-40. `block` has choose_threads.
FRUGAL_DEVICE void choose_experts_row(const Block& block, const Route& r, std::uint32_t row, ChooseShared& s) {
  const float* const scores = r.scores + static_cast<std::size_t>(row) * r.count;
  const auto weight = [&](std::uint32_t e) { return draw::weight_of(draw::clean(scores[e]), s.max, r.scale); };
  block.each([&](std::uint32_t t) {
    for (std::uint32_t i = t; i < most_experts / 32; i += choose_threads) s.taken[i] = 0;
  });
  for (std::uint32_t k = 0; k < r.used; ++k) {
    block.each([&](std::uint32_t t) {
      s.at[t] = r.count;
      for (std::uint32_t e = t; e < r.count; e += choose_threads) {
        const float x = draw::clean(scores[e]);
        if ((s.taken[e / 32] >> e % 32 & 1U) == 0 && (s.at[t] == r.count || x > s.best[t])) s.best[t] = x, s.at[t] = e;
      }
    });
    block.each([&](std::uint32_t t) {
      if (t != 0) return;
      std::uint32_t best = 0;
      for (std::uint32_t u = 1; u < choose_threads; ++u) {
        const bool lower = s.best[u] == s.best[best] && s.at[u] < s.at[best];
        if (s.at[u] < r.count && (s.at[best] == r.count || s.best[u] > s.best[best] || lower)) best = u;
      }
      const std::uint32_t e = s.at[best];
      if (k == 0) s.max = s.best[best];
      s.taken[e / 32] |= 1U << e % 32;
      std::uint32_t place = k;
      for (; place > 0 && s.chosen[place - 1] > e; --place) s.chosen[place] = s.chosen[place - 1];
      s.chosen[place] = e;
    });
  }
  block.each([&](std::uint32_t t) {
    s.partial[t] = 0;
    for (std::uint32_t e = t; e < r.count; e += choose_threads)
      if (!r.renormalise || (s.taken[e / 32] >> e % 32 & 1U) != 0) s.partial[t] += weight(e);
  });
  block.each([&](std::uint32_t t) {
    unsigned long long total = 0;
    for (std::uint32_t u = 0; u < choose_threads; ++u) total += s.partial[u];
    for (std::uint32_t k = t; k < r.used; k += choose_threads) {
      const std::size_t choice = static_cast<std::size_t>(row) * r.used + k;
      r.chosen[choice] = s.chosen[k];
      r.weights[choice] = static_cast<float>(static_cast<double>(weight(s.chosen[k])) / static_cast<double>(total));
    }
  });
}

struct GroupShared {
  std::uint16_t chosen[routed_rows * most_used];
  std::uint32_t counts[most_experts], firsts[most_experts];
};

/// order and tiles of all rows' choices: one block of group_threads.
FRUGAL_DEVICE void group_choices(const Block& block, const Route& r, GroupShared& s) {
  const std::uint32_t choices = r.rows * r.used;
  block.each([&](std::uint32_t t) {
    for (std::uint32_t c = t; c < choices; c += group_threads) s.chosen[c] = static_cast<std::uint16_t>(r.chosen[c]);
  });
  block.each([&](std::uint32_t t) {
    for (std::uint32_t e = t; e < r.count; e += group_threads) {
      std::uint32_t count = 0;
      for (std::uint32_t c = 0; c < choices; ++c) count += s.chosen[c] == e ? 1 : 0;
      s.counts[e] = count;
    }
  });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    std::uint32_t next = 0, tile = 0;
    for (std::uint32_t e = 0; e < r.count; ++e) {
      s.firsts[e] = next;
      for (std::uint32_t left = s.counts[e]; left > 0; ++tile) {
        const std::uint32_t n = left < product_rows ? left : product_rows;
        r.tiles[tile] = {e, next, n};
        next += n, left -= n;
      }
    }
    for (; tile < expert_tiles(r); ++tile) r.tiles[tile] = {0, 0, 0};
  });
  block.each([&](std::uint32_t t) {
    for (std::uint32_t e = t; e < r.count; e += group_threads) {
      std::uint32_t next = s.firsts[e];
      for (std::uint32_t c = 0; c < choices; ++c)
        if (s.chosen[c] == e) r.order[next++] = c;
    }
  });
}

namespace packed {

/// How a product reads a matrix that is not quantised: eight values at a time.
template <class T>
struct Plain {
  static constexpr std::uint32_t values = 8;
  struct Unit {
    float x[values];
    FRUGAL_DEVICE Unit(const PackedMatrix& w, std::uint64_t n) {
      eight(reinterpret_cast<const T*>(w.quants) + n * values, x);
    }
    FRUGAL_DEVICE float value(std::uint32_t i) const { return x[i]; }
  };
};

}  // namespace packed

/// y[c] = x[c / shared_by] W^T for every choice c, W = its expert's part of the matrix. The rule is packed_product's, where
/// a matrix is not quantised with units of 8 values in place of blocks of 32.
struct ExpertProduct {
  PackedMatrix matrix{};       ///< of all experts, one below the other; cols a multiple of 8
  std::uint64_t features = 0;  ///< rows of one expert's
  const void* x = nullptr;     ///< [choices / shared_by, cols] in the compute type, aligned to 16
  void* y = nullptr;           ///< [choices, features] in the compute type
  std::uint32_t shared_by = 1;
  const ExpertTile* tiles = nullptr;
  const std::uint32_t* order = nullptr;
  std::uint32_t tile_count = 0, most_rows = 0;  ///< no tile has more rows
};

struct ExpertShared {
  ProductShared product;
  std::size_t rows[product_rows];  ///< where each begins in x
};

/// `block` has product_threads; a.most_rows is at most Rows.
template <class T, class Weights, std::uint32_t Rows>
FRUGAL_DEVICE void expert_product(const Block& block, const ExpertProduct& a, std::uint64_t number, std::uint32_t which,
                                  ExpertShared& s) {
  const ExpertTile tile = a.tiles[which];
  if (tile.count == 0) return;
  const PackedMatrix& w = a.matrix;
  block.each([&](std::uint32_t t) {
    if (t < Rows) s.rows[t] = a.order[tile.first + (t < tile.count ? t : 0)] / a.shared_by * std::size_t{w.cols};
  });
  const T* const x = static_cast<const T*>(a.x);
  const std::uint64_t begin = tile.expert * a.features, first = begin + number * product_features;
  const auto row = [&](std::uint32_t r) { return x + s.rows[r]; };
  packed::multiply<Weights, Rows>(block, w, {first, begin + a.features}, row, s.product);
  block.each([&](std::uint32_t t) {
    const std::uint32_t r = t / product_features, lane = t % product_features;
    const std::uint64_t feature = number * product_features + lane;
    if (r >= tile.count || feature >= a.features) return;
    static_cast<T*>(a.y)[a.order[tile.first + r] * a.features + feature] =
        rounded<T>(packed::product_of(s.product, r, lane));
  });
}

}  // namespace frugal::cuda
