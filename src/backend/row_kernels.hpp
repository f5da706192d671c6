// RowKernels: the passes over a row of logits that a draw needs, one table per instruction set, chosen at run time. All
// tables give the same bits: each step of an element is one IEEE operation in a fixed order, no two are fused, and what
// is summed are whole numbers, so the order of summation cannot show. Pure functions over the caller's memory.
//
// The rule itself (docs/decisions/005): a token's weight is
//   d = x - max;  t = d * scale, at least -64, where scale = fl(log2(e) / temperature);
//   n = t rounded to the nearest whole number, ties to even;  f = t - n;
//   w = 2^n * (1 + f (c1 + f (c2 + f (c3 + f (c4 + f c5))))), each product and sum rounded to float; 1 where x = max
// and enters every sum as floor(w * 2^40).
#pragma once

#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace frugal::backend {

/// Weight 1 as it enters sums. A row of 2^24 tokens fits 64 bits.
inline constexpr std::uint64_t weight_one = std::uint64_t{1} << 40;

/// Tokens per block: block sums and lane peaks are kept for so many. An arrangement of the work, not part of the rule.
inline constexpr std::size_t row_block = 1024;
inline constexpr std::size_t row_lanes = 16;

/// Limits that one pass can tell apart.
inline constexpr std::size_t row_limits = 4;

/// log2(e) / temperature, as WeightScale has it.
constexpr float weight_scale(float temperature) noexcept { return 0x1.715476p+0F / temperature; }

/// How logits become weights: x = max weighs 1.
struct WeightScale {
  float max = 0.0F;
  float scale = 0.0F;  ///< log2(e) / temperature
};

/// least <= x < below.
struct LogitRange {
  float least;
  float below = std::numeric_limits<float>::quiet_NaN();  ///< NaN = no bound
};

/// The two greatest values of a row, equal where the greatest stands twice. NaN counts as minus infinity.
struct Peaks {
  float first, second;
};

struct RowKernels {
  std::string_view name;
  /// peaks[row_lanes * block + lane] = the greatest of every 16th value of a block, starting at `lane`.
  Peaks (*peaks)(const float* x, std::size_t n, float* peaks);
  /// Sum of the weights.
  std::uint64_t (*weigh)(const float* x, std::size_t n, WeightScale scale);
  /// sums[l] = the sum of the weights of what is at least limits[l]; sums[row_limits] = of all.
  void (*weigh_above)(const float* x, std::size_t n, WeightScale scale, const float* limits, std::uint64_t* sums);
  /// Sum of the weights of what is at least `least`.
  std::uint64_t (*weigh_from)(const float* x, std::size_t n, WeightScale scale, float least);
  /// The weights one by one.
  void (*weights)(const float* x, std::size_t n, WeightScale scale, std::uint64_t* w);
  /// Ids and values of what is in the range, in order, NaN as minus infinity; returns their number. Both outputs have
  /// room for n + row_lanes.
  std::size_t (*gather)(const float* x, std::size_t n, LogitRange range, Token* ids, float* values);
  /// out = x where bit t % 32 of mask[t / 32] is set, else minus infinity. `mask` has (n + 31) / 32 words.
  void (*mask)(const float* x, std::size_t n, const std::uint32_t* mask, float* out);
  /// Sum of floor(p * 2^40), p brought into [0, 1].
  std::uint64_t (*mass)(const float* p, std::size_t n);
  /// Sum of floor((p - fl(q * ratio)) * 2^40) where that is positive.
  std::uint64_t (*excess)(const float* p, const float* q, std::size_t n, float ratio);
};

/// floor(p * 2^40), p brought into [0, 1]; NaN is 0.
inline std::uint64_t fixed_weight(float p) noexcept {
  const float low = p > 0.0F ? p : 0.0F;
  return static_cast<std::uint64_t>((low < 1.0F ? low : 1.0F) * 0x1p40F);
}

/// floor(a * b / 2^64).
constexpr std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t a0 = a & 0xFFFFFFFFU, a1 = a >> 32, b0 = b & 0xFFFFFFFFU, b1 = b >> 32;
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  return a1 * b1 + (middle >> 32) + (((middle & 0xFFFFFFFFU) + a0 * b1) >> 32);
}

/// The tables this machine can run, best first; the last one is portable.
std::span<const RowKernels* const> available_row_kernels();

const RowKernels& portable_row_kernels();
const RowKernels& avx2_row_kernels();
const RowKernels& avx512_row_kernels();

}  // namespace frugal::backend
