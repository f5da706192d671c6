// The memory layouts the kernels agree on: weights packed 16 output rows at a time, and activations quantised into
// panels of up to 8 or 16 rows, or left as rows of floats. Plain data, no code but sizes: every instruction set's kernels read the same bytes.
//
// A weight strip is 16 output rows x all inputs, in blocks of 32 inputs:
//   [block] quants: 4-bit: 4 chunks of 64 bytes; chunk j, row r, byte i holds input 4j+i (low half) and 16+4j+i (high
//   half), unsigned
//                   5-bit: that, and 64 bytes of fifth bits: byte 4r + i, bit j for input 4j+i of row r
//                   8-bit: 8 chunks of 64 bytes; chunk j, row r, byte i holds input 4j+i, stored as signed value + 128
//                   floats: input after input, 16 numbers of 16 or 32 bits, as the file has them; of bf16 rows r and
//                   r + 8 side by side
//   then [block][sub-block] scales: 16 fp16 scales d, and, where the format has one, 16 fp16 minima m;  w = d q + m
// An activation panel of L rows (1 <= L <= 16) is, per block of 32 inputs: L x 32 signed bytes q, then L x PanelScale.
#pragma once

#include <cstddef>
#include <cstdint>

namespace frugal::cpu {

inline constexpr std::size_t block_inputs = 32;
inline constexpr std::size_t strip_rows = 16;

/// q4: Q4_0, Q4_1, Q4_K. q4_half (scales per 16 inputs): Q2_K, Q3_K. q5: Q5_0, Q5_1, Q5_K. q8: Q8_0, IQ4, IQ3,
/// IQ2_XXS, IQ1_S, and plain floats where they are repacked. q8_half: Q6_K, IQ2_XS, IQ2_S, IQ1_M. f16, bf16, f32: plain
/// floats. q4_open and q5_open are how the AVX2 kernels leave a strip for the next panels: a byte for each weight, chunks
/// as in 8 bit, and behind them 16 d and 16 m as fp32; no matrix is stored so.
enum class Format : std::uint8_t { q4, q4_half, q5, q8, q8_half, f16, bf16, f32, q4_open, q5_open };

struct FormatShape {
  std::size_t quant_bytes;  ///< of one block of one strip
  std::size_t subs;         ///< scales per block
  bool minimum;             ///< has m beside d

  constexpr std::size_t scale_halves() const { return subs * strip_rows * (minimum ? 2 : 1); }
  constexpr std::size_t block_bytes() const { return quant_bytes + 2 * scale_halves(); }
};

constexpr FormatShape format_shape(Format format) {
  switch (format) {
    case Format::q4:
      return {256, 1, true};
    case Format::q4_half:
      return {256, 2, true};
    case Format::q5:
      return {320, 1, true};
    case Format::q8:
      return {512, 1, false};
    case Format::f16:
    case Format::bf16:
      return {1024, 0, false};
    case Format::f32:
      return {2048, 0, false};
    case Format::q4_open:
    case Format::q5_open:
      return {640, 0, true};
    default:
      return {512, 2, false};
  }
}

/// Weights of 8 bits are stored as signed value + 128, narrower ones as they are.
constexpr bool is_offset(Format format) { return format == Format::q8 || format == Format::q8_half; }

/// Weights that nobody quantised; they meet rows of floats.
constexpr bool is_plain(Format format) {
  return format == Format::f16 || format == Format::bf16 || format == Format::f32;
}

/// One strip as a kernel sees it.
struct StripView {
  Format format;
  std::uint32_t blocks;
  const std::uint8_t* quants;   ///< [blocks][quant_bytes], 64-byte aligned
  const std::uint16_t* scales;  ///< [blocks][scale_halves], fp16
};

struct PanelScale {
  float scale;              ///< d: x = d q
  float sum;                ///< d times the sum of all 32 q
  std::int32_t offset_low;  ///< -128 times the sum of the first 16 q: cancels the + 128 of 8-bit weights
  std::int32_t offset_high;
};

/// Room for one opened block of a strip: a byte for each weight, and d and m as fp32.
inline constexpr std::size_t wide_block_bytes = 512 + 2 * 64;

/// One block of a strip as bf16 weights.
inline constexpr std::size_t bf16_block_bytes = block_inputs * strip_rows * 2;

constexpr std::size_t panel_block_bytes(std::size_t lanes) { return lanes * (block_inputs + sizeof(PanelScale)); }

}  // namespace frugal::cpu
