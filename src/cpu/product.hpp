// Products of one set of quantised rows with several weight matrices, shared out over a crew by strips of 16 outputs. A
// strip is read once for all rows of a step; each output is one chain of additions whoever computes it.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/packed.hpp"
#include "cpu/pool.hpp"

#include <cstdint>
#include <span>

namespace frugal::cpu {

/// Rows quantised for the kernels: panels of 8 lanes, the last one narrower. Where there is a `rest`, it holds in the
/// same way what the 8 bits of `data` leave over: products that ask for it are the sum of two and have 16-bit inputs.
struct Panels {
  std::uint8_t* data = nullptr;
  std::uint32_t rows = 0;
  std::uint32_t blocks = 0;
  std::uint8_t* rest = nullptr;  ///< or null

  static std::size_t bytes(std::size_t rows, std::size_t blocks) { return rows * blocks * panel_block_bytes(1); }
  std::uint32_t count() const { return (rows + 7) / 8; }
  std::uint32_t lanes(std::uint32_t panel) const { return rows - 8 * panel < 8 ? rows - 8 * panel : 8; }
  /// Where panel `index` of `data` or `rest` begins.
  std::uint8_t* panel(std::uint8_t* base, std::uint32_t index) const {
    return base + index * blocks * panel_block_bytes(panel_rows);
  }
  /// `left` [blocks * 32]: scratch, needed with a rest only.
  void fill(const Kernels& kernels, std::uint32_t row, const float* x, float* left = nullptr) const {
    const std::uint32_t p = row / 8, lane = row % 8;
    kernels.quantize(x, blocks, panel(data, p), lane, lanes(p));
    if (rest == nullptr) return;
    kernels.residual(x, blocks, panel(data, p), lane, lanes(p), left);
    kernels.quantize(left, blocks, panel(rest, p), lane, lanes(p));
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
  bool fine = false;  ///< with the panels' rest
};

/// One member's part; called by all members, who meet afterwards.
void multiply(const Kernels& kernels, Crew& crew, std::span<const Product> products, const Panels& x);

}  // namespace frugal::cpu
