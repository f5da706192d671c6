// Kernels for AVX2 with FMA and F16C. A strip's 16 rows are two halves of 8; each half is walked over all blocks (its
// other half then comes from the first-level cache). 4-bit: unsigned weights times signed activations summed in 16 bit
// over the block: 8 pairs of at most 3,810 cannot overflow. 8-bit: |w| times x with w's sign, a pair is at most 32,512,
// widened at once.
#include "cpu/kernels/rowwise.hpp"

namespace frugal::cpu {
namespace {

inline __m256i piece(const std::uint8_t* q) {
  std::int32_t four;
  std::memcpy(&four, q, 4);
  return _mm256_set1_epi32(four);
}

inline __m256 scales_at(const std::uint16_t* p) { return _mm256_cvtph_ps(load16(p)); }
inline __m256i weights_at(const std::uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
inline __m256i widen(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

/// low[l], high[l] = sums of w q over the first and the last 16 inputs of a block, 8 rows; exact.
template <bool FourBit, int Lanes>
inline void dot_block(const std::uint8_t* quants, const std::uint8_t* q, __m256i* low, __m256i* high) {
  for (int l = 0; l < Lanes; ++l) low[l] = high[l] = _mm256_setzero_si256();
  if constexpr (FourBit) {
    const __m256i mask = _mm256_set1_epi8(15);
    for (int j = 0; j < 4; ++j) {
      const __m256i both = weights_at(quants + 64 * j);
      const __m256i first = _mm256_and_si256(both, mask);
      const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
      for (int l = 0; l < Lanes; ++l) {
        low[l] = _mm256_add_epi16(low[l], _mm256_maddubs_epi16(first, piece(q + 32 * l + 4 * j)));
        high[l] = _mm256_add_epi16(high[l], _mm256_maddubs_epi16(second, piece(q + 32 * l + 16 + 4 * j)));
      }
    }
  } else {
    for (int j = 0; j < 8; ++j) {
      const __m256i w = _mm256_xor_si256(weights_at(quants + 64 * j), _mm256_set1_epi8(-128));
      const __m256i size = _mm256_abs_epi8(w);
      __m256i* into = j < 4 ? low : high;
      for (int l = 0; l < Lanes; ++l) {
        const __m256i x = _mm256_sign_epi8(piece(q + 32 * l + 4 * j), w);
        into[l] = _mm256_add_epi32(into[l], widen(_mm256_maddubs_epi16(size, x)));
      }
    }
  }
}

/// The block of 32 under one scale, 4-bit: one 16-bit sum over all inputs, so half the registers of dot_block.
template <int Lanes>
inline void dot_whole(const std::uint8_t* quants, const std::uint8_t* q, __m256i* all) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (int l = 0; l < Lanes; ++l) all[l] = _mm256_setzero_si256();
  for (int j = 0; j < 4; ++j) {
    const __m256i both = weights_at(quants + 64 * j);
    const __m256i first = _mm256_and_si256(both, mask);
    const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
    for (int l = 0; l < Lanes; ++l) {
      const __m256i a = _mm256_maddubs_epi16(first, piece(q + 32 * l + 4 * j));
      const __m256i b = _mm256_maddubs_epi16(second, piece(q + 32 * l + 16 + 4 * j));
      all[l] = _mm256_add_epi16(all[l], _mm256_add_epi16(a, b));
    }
  }
  for (int l = 0; l < Lanes; ++l) all[l] = widen(all[l]);
}

inline __m256 times(__m256i count, const std::uint16_t* scales, const PanelScale& s, __m256 total) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(count), _mm256_mul_ps(scales_at(scales), _mm256_set1_ps(s.scale)), total);
}

template <Format F, int Lanes>
inline void add_block(const std::uint8_t* quants, const std::uint16_t* scales, const std::uint8_t* panel,
                      __m256* total) {
  constexpr FormatShape shape = format_shape(F);
  constexpr bool four_bit = shape.quant_bytes == 256;
  __m256i low[Lanes], high[Lanes];
  if constexpr (F == Format::q4) {
    dot_whole<Lanes>(quants, panel, low);
  } else {
    dot_block<four_bit, Lanes>(quants, panel, low, high);
  }
  for (int l = 0; l < Lanes; ++l) {
    PanelScale s;
    std::memcpy(&s, panel + 32 * Lanes + sizeof s * static_cast<std::size_t>(l), sizeof s);
    if constexpr (shape.subs == 1) {
      const __m256i all = F == Format::q4 ? low[l] : _mm256_add_epi32(low[l], high[l]);
      total[l] = times(all, scales, s, total[l]);
      if constexpr (shape.minimum) total[l] = _mm256_fmadd_ps(scales_at(scales + 16), _mm256_set1_ps(s.sum), total[l]);
    } else {
      total[l] = times(four_bit ? widen(low[l]) : low[l], scales, s, total[l]);
      total[l] = times(four_bit ? widen(high[l]) : high[l], scales + 16, s, total[l]);
      if constexpr (shape.minimum) {
        const float sum_low = static_cast<float>(s.offset_low) * (s.scale * -0.0078125F);
        const float sum_high = static_cast<float>(s.offset_high) * (s.scale * -0.0078125F);
        total[l] = _mm256_fmadd_ps(scales_at(scales + 32), _mm256_set1_ps(sum_low), total[l]);
        total[l] = _mm256_fmadd_ps(scales_at(scales + 48), _mm256_set1_ps(sum_high), total[l]);
      }
    }
  }
}

template <Format F, int Lanes>
void multiply_lanes(const StripView& strip, const std::uint8_t* panel, const float* bias, float* tile) {
  constexpr FormatShape shape = format_shape(F);
  for (int half = 0; half < 2; ++half) {
    __m256 total[Lanes];
    for (int l = 0; l < Lanes; ++l) total[l] = bias != nullptr ? _mm256_loadu_ps(bias + 8 * half) : _mm256_setzero_ps();
    const std::uint8_t* quants = strip.quants + 32 * half;
    const std::uint16_t* scales = strip.scales + 8 * half;
    const std::uint8_t* at = panel;
    for (std::uint32_t b = 0; b < strip.blocks; ++b) {
      add_block<F, Lanes>(quants, scales, at, total);
      quants += shape.quant_bytes;
      scales += shape.scale_halves();
      at += panel_block_bytes(Lanes);
    }
    for (int l = 0; l < Lanes; ++l) _mm256_storeu_ps(tile + 16 * l + 8 * half, total[l]);
  }
}

#include "cpu/kernels/lanes.inc"

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels table{"avx2", rms_norm, quantize, residual, multiply, silu_mul, attend, store_head};
  return table;
}

}  // namespace frugal::cpu
