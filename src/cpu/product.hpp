// Products of one set of rows, quantised and as floats, with several weight matrices, shared out over a crew by strips of 16 outputs. A
// strip is read once for all rows of a step; each output is one chain of additions whoever computes it.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/packed.hpp"
#include "cpu/pool.hpp"

#include <cstdint>
#include <initializer_list>
#include <span>

namespace frugal::cpu {

/// Rows quantised for the kernels: panels of kernels.panel_rows() lanes, the last one narrower. Where there is a `rest`, it holds in the
/// same way what the 8 bits of `data` leave over: products that ask for it are the sum of two and have 16-bit inputs.
struct Panels {
  std::uint8_t* data = nullptr;
  std::uint32_t rows = 0;
  std::uint32_t blocks = 0;
  std::uint8_t* rest = nullptr;  ///< or null

  /// With what a wide kernel reads beyond a narrower last panel.
  static std::size_t bytes(std::size_t rows, std::size_t blocks) { return rows * blocks * panel_block_bytes(1) + 512; }
  /// Row `row` lies in a panel of `lanes` that begins `at` bytes into `data` or `rest`.
  struct Place {
    std::size_t at;
    std::uint32_t lanes;
  };
  Place panel_of(const Kernels& kernels, std::uint32_t row) const {
    const std::uint32_t whole = kernels.panel_rows(), first = row / whole * whole;
    return {first * blocks * panel_block_bytes(1), rows - first < whole ? rows - first : whole};
  }
  /// `left` [blocks * 32]: scratch, needed with a rest only.
  void fill(const Kernels& kernels, std::uint32_t row, const float* x, float* left = nullptr) const {
    const Place p = panel_of(kernels, row);
    const std::uint32_t lane = row % kernels.panel_rows();
    kernels.quantize(x, blocks, data + p.at, lane, p.lanes);
    if (rest == nullptr) return;
    kernels.residual(x, blocks, data + p.at, lane, p.lanes, left);
    kernels.quantize(left, blocks, rest + p.at, lane, p.lanes);
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
  /// Or null: with Ending::gate the rows of prompts go here in bf16, `rounded_stride` numbers apart, instead of to out.
  std::uint16_t* rounded = nullptr;
  std::size_t rounded_stride = 0;
};

/// In which forms the matrices of a phase want their rows.
struct Forms {
  bool bytes = false;   ///< at least one is quantised
  bool floats = false;  ///< at least one is of plain floats
  bool fine = false;    ///< bytes with a rest
};

Forms forms_of(std::initializer_list<const PackedMatrix*> matrices, bool fine);

/// The rows of a phase: the first ones, of prompts, rounded to bf16, and the others quantised, as floats, or both.
struct Inputs {
  Bf16Rows prompt;
  Panels panels;                 ///< without quantised matrices its rows count, and its bytes are no one's
  FloatRows floats{};            ///< the same rows; without matrices of plain floats the same
  std::uint8_t* room = nullptr;  ///< the member's own, where there are prompt rows: [bf16_room_bytes], 64-byte aligned
  /// The member has rows of its own, all in bf16, from row `first` of the outputs on, and computes whole products.
  bool own = false;
  std::uint32_t first = 0;

  std::uint32_t rows() const { return prompt.rows + panels.rows; }
};

/// Blocks of a strip that are opened at once: two strips' stay in the first-level cache, and the rows beside them.
inline constexpr std::uint32_t bf16_open_blocks = 9;
inline constexpr std::size_t bf16_room_bytes = 2 * bf16_open_blocks * bf16_block_bytes;

/// One member's part; called by all members, who meet afterwards.
void multiply(const Kernels& kernels, Crew& crew, std::span<const Product> products, const Inputs& x);

/// Strips [first, last) of a product for rounded rows, the first ones of `out`; `kernels` has bf16.
void multiply_bf16(const Kernels& kernels, const Product& product, Crew::Share strips, const Bf16Rows& x,
                   std::uint8_t* room);

}  // namespace frugal::cpu
