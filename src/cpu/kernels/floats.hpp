// Products of rows of floats with weights that nobody quantised: F16, BF16 and F32, expanded to fp32 exactly.
//
// A row's sums do not depend on the rows beside it nor on the instruction set: a block of 32 inputs is one chain of fused
// multiply-adds that begins with zero, and block after block is added to the total. So a processor has the next block's
// chain under way before this one ends. Several chains at once by reading several blocks side by side are quicker in the
// caches and slower where it counts: measured, one row takes 1.3 times as long from memory.
//
// A group of rows meets a strip's 16 outputs in registers: 6 rows in AVX2's 16 registers (12 sums, 2 of weights, 1 of
// inputs), 12 rows in AVX-512's. Included only by the per-instruction-set files.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/kernels/simd.hpp"

#include <utility>

namespace frugal::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int float_rows = 12;
#elif defined(__AVX2__) || defined(FRUGAL_NEON)
constexpr int float_rows = 6;
#else
constexpr int float_rows = 2;
#endif

/// Bytes of one input of a strip's 16 rows.
template <Format F>
constexpr std::size_t input_bytes = format_shape(F).quant_bytes / block_inputs;

template <Format F>
[[gnu::always_inline]] inline Vec weights_of(const std::uint8_t* p) {
  if constexpr (F == Format::f16) return load_half(p);
  if constexpr (F == Format::bf16) return load_bf16(p);
  if constexpr (F == Format::f32) return load(reinterpret_cast<const float*>(p));
}

/// What is read some strips later, as in the kernels of quantised weights.
constexpr std::size_t float_bytes_ahead = 8192;

/// A block of a strip and some rows. Written by pack expansion, so that the sums stay in registers.
template <Format F, bool Ahead, class Rows>
struct FloatTile;
template <Format F, bool Ahead, std::size_t... R>
struct FloatTile<F, Ahead, std::index_sequence<R...>> {
  /// tile [rows, 16] += x times the block at w. With `Ahead` the memory is asked for a later one.
  [[gnu::always_inline]] static void add_to(float* tile, const std::uint8_t* w, const float* x, std::size_t stride) {
    if constexpr (Ahead)
      for (std::size_t line = 0; line < format_shape(F).quant_bytes; line += 64)
        __builtin_prefetch(w + float_bytes_ahead + line);
    Vec sums[] = {splat(static_cast<float>(R - R))...};
#pragma GCC unroll 4
    for (std::size_t i = 0; i < block_inputs; ++i) {
      const Vec now = weights_of<F>(w + i * input_bytes<F>);
      ((sums[R] = fma(now, splat(x[R * stride + i]), sums[R])), ...);
    }
    ((store(tile + strip_rows * R, add(load(tile + strip_rows * R), sums[R]))), ...);
  }
};

/// tile [Rows, 16] += x times the blocks at w.
template <Format F, int Rows, bool Ahead>
void multiply_group(const std::uint8_t* w, std::uint32_t blocks, const float* x, std::size_t stride, float* tile) {
  for (std::uint32_t b = 0; b < blocks; ++b, w += format_shape(F).quant_bytes, x += block_inputs)
    FloatTile<F, Ahead, std::make_index_sequence<Rows>>::add_to(tile, w, x, stride);
}

/// The same for 1 to Most rows.
template <Format F, bool Ahead, int Most = float_rows>
void multiply_few(const std::uint8_t* w, std::uint32_t blocks, const FloatRows& x, float* tile) {
  if (x.rows == Most) return multiply_group<F, Most, Ahead>(w, blocks, x.data, x.stride, tile);
  if constexpr (Most > 1) multiply_few<F, Ahead, Most - 1>(w, blocks, x, tile);
}

constexpr std::uint32_t part_blocks = 8;  // of a strip, 8 or 16 KB

/// tile [rows, 16] += x times a strip. More rows than a group meet part after part of the strip, in groups of equal size
/// as far as there are such. Expanding 16-bit weights for each group anew costs less than keeping them expanded.
template <Format F>
void multiply_floats_of(const StripView& strip, const FloatRows& x, float* tile) {
  if (x.rows <= float_rows) return multiply_few<F, true>(strip.quants, strip.blocks, x, tile);
  const std::uint8_t* w = strip.quants;
  for (std::uint32_t b = 0; b < strip.blocks; b += part_blocks, w += part_blocks * format_shape(F).quant_bytes) {
    const std::uint32_t blocks = strip.blocks - b < part_blocks ? strip.blocks - b : part_blocks;
    std::uint32_t groups = (x.rows + float_rows - 1) / float_rows;
    for (std::uint32_t r = 0, count = 0; r < x.rows; r += count, --groups) {
      count = (x.rows - r + groups - 1) / groups;
      const FloatRows group{x.data + r * x.stride + b * block_inputs, x.stride, count};
      if (r == 0)
        multiply_few<F, true>(w, blocks, group, tile);
      else
        multiply_few<F, false>(w, blocks, group, tile + strip_rows * r);
    }
  }
}

inline void multiply_floats(const StripView& strip, const FloatRows& x, const float* bias, float* tile) {
  for (std::uint32_t r = 0; r < x.rows; ++r) store(tile + strip_rows * r, bias != nullptr ? load(bias) : splat(0.0F));
  if (strip.format == Format::f16) return multiply_floats_of<Format::f16>(strip, x, tile);
  if (strip.format == Format::bf16) return multiply_floats_of<Format::bf16>(strip, x, tile);
  multiply_floats_of<Format::f32>(strip, x, tile);
}

}  // namespace
}  // namespace frugal::cpu
