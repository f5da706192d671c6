// Products of one set of quantised rows with several weight matrices, shared out over a crew by strips of 16 outputs. A
// strip is read once for all rows of a step; each output is one chain of additions whoever computes it.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/packed.hpp"
#include "cpu/pool.hpp"

#include <cstdint>
#include <span>

namespace frugal::cpu {

/// Rows quantised for the kernels: panels of 8 lanes, the last one narrower. A fine row takes two lanes, the second for
/// what the first leaves over, and so has 16 bits; its product is the sum of the two.
struct Panels {
  std::uint8_t* data = nullptr;
  std::uint32_t rows = 0;
  std::uint32_t blocks = 0;
  bool fine = false;

  static std::size_t bytes(std::size_t lanes, std::size_t blocks) { return lanes * blocks * panel_block_bytes(1); }
  std::uint32_t lanes_of_row() const { return fine ? 2 : 1; }
  std::uint32_t all_lanes() const { return rows * lanes_of_row(); }
  std::uint32_t count() const { return (all_lanes() + 7) / 8; }
  std::uint32_t lanes(std::uint32_t panel) const { return all_lanes() - 8 * panel < 8 ? all_lanes() - 8 * panel : 8; }
  std::uint8_t* panel(std::uint32_t index) const { return data + index * blocks * panel_block_bytes(panel_rows); }
  /// `left` [blocks * 32]: scratch, for fine rows only.
  void fill(const Kernels& kernels, std::uint32_t row, const float* x, float* left = nullptr) const {
    const std::uint32_t lane = row * lanes_of_row(), p = lane / 8;
    kernels.quantize(x, blocks, panel(p), lane % 8, lanes(p));
    if (!fine) return;
    kernels.residual(x, blocks, panel(p), lane % 8, lanes(p), left);
    kernels.quantize(left, blocks, panel(p), lane % 8 + 1, lanes(p));
  }
};

enum class Ending : std::uint8_t { store, add, gate };

/// out[row, :] = x W^T + bias, or out += that, or out = silu(x W^T) * (x partner^T).
struct Product {
  const PackedMatrix* weight = nullptr;
  const PackedMatrix* partner = nullptr;  ///< for Ending::gate, same shape
  const float* bias = nullptr;            ///< padded to whole strips
  float* out = nullptr;
  std::size_t stride = 0;  ///< floats from row to row of out, at least 16 * strips
  Ending ending = Ending::store;
};

/// One member's part; called by all members, who meet afterwards.
void multiply(const Kernels& kernels, Crew& crew, std::span<const Product> products, const Panels& x);

}  // namespace frugal::cpu
