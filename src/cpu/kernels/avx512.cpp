// Kernels for AVX-512 with VNNI: one register holds 4 inputs of each of a strip's 16 rows; vpdpbusd multiplies it with
// a broadcast 4-byte piece of the activation and adds into 16 integer lanes.
#include "cpu/kernels/attend.hpp"

namespace frugal::cpu {
namespace {

inline __m512i piece(const std::uint8_t* q) {
  std::int32_t four;
  std::memcpy(&four, q, 4);
  return _mm512_set1_epi32(four);
}

inline __m512 scales_at(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

struct Block {
  __m512i w[8];
};

template <Format F>
inline Block unpack(const std::uint8_t* quants) {
  Block block;
  if constexpr (is_offset(F)) {
    for (int j = 0; j < 8; ++j) block.w[j] = _mm512_load_si512(quants + 64 * j);
    return block;
  }
  const __m512i low = _mm512_set1_epi8(15);
  for (int j = 0; j < 4; ++j) {
    const __m512i both = _mm512_load_si512(quants + 64 * j);
    block.w[j] = _mm512_and_si512(both, low);
    block.w[j + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
  if constexpr (F == Format::q5) {
    const __m512i bits = _mm512_load_si512(quants + 256), fifth = _mm512_set1_epi8(16);
    for (unsigned j = 0; j < 8; ++j) {
      const __m512i moved = j < 4 ? _mm512_slli_epi16(bits, 4 - j) : _mm512_srli_epi16(bits, j - 4);
      block.w[j] = _mm512_or_si512(block.w[j], _mm512_and_si512(moved, fifth));
    }
  }
  return block;
}

/// Four vpdpbusd: 16 inputs from w[first].
inline __m512i dot_half(__m512i start, const Block& block, int first, const std::uint8_t* q) {
  for (int j = first; j < first + 4; ++j) start = _mm512_dpbusd_epi32(start, block.w[j], piece(q + 4 * j));
  return start;
}

template <Format F, int Lanes>
void multiply_lanes(const StripView& strip, const std::uint8_t* panel, const float* bias, float* tile, std::uint8_t*) {
  constexpr FormatShape shape = format_shape(F);
  constexpr bool plain = !is_offset(F);
  const std::uint8_t* quants = strip.quants;
  const std::uint16_t* scales = strip.scales;
  __m512 total[Lanes];
  for (int l = 0; l < Lanes; ++l) total[l] = bias != nullptr ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
  for (std::uint32_t b = 0; b < strip.blocks; ++b) {
    const Block block = unpack<F>(quants);
    for (int l = 0; l < Lanes; ++l) {
      const std::uint8_t* q = panel + 32 * l;
      PanelScale s;
      std::memcpy(&s, panel + 32 * Lanes + sizeof s * static_cast<std::size_t>(l), sizeof s);
      const __m512i low = dot_half(plain ? _mm512_setzero_si512() : _mm512_set1_epi32(s.offset_low), block, 0, q);
      const __m512 scale = _mm512_set1_ps(s.scale);
      if constexpr (shape.subs == 1) {
        const __m512i all = plain ? dot_half(low, block, 4, q)
                                  : _mm512_add_epi32(low, dot_half(_mm512_set1_epi32(s.offset_high), block, 4, q));
        total[l] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(all), _mm512_mul_ps(scales_at(scales), scale), total[l]);
        if constexpr (shape.minimum)
          total[l] = _mm512_fmadd_ps(scales_at(scales + 16), _mm512_set1_ps(s.sum), total[l]);
      } else {
        const __m512i high = dot_half(plain ? _mm512_setzero_si512() : _mm512_set1_epi32(s.offset_high), block, 4, q);
        total[l] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(low), _mm512_mul_ps(scales_at(scales), scale), total[l]);
        total[l] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), _mm512_mul_ps(scales_at(scales + 16), scale), total[l]);
        if constexpr (shape.minimum) {
          const float sum_low = static_cast<float>(s.offset_low) * (s.scale * -0.0078125F);
          const float sum_high = static_cast<float>(s.offset_high) * (s.scale * -0.0078125F);
          total[l] = _mm512_fmadd_ps(scales_at(scales + 32), _mm512_set1_ps(sum_low), total[l]);
          total[l] = _mm512_fmadd_ps(scales_at(scales + 48), _mm512_set1_ps(sum_high), total[l]);
        }
      }
    }
    quants += shape.quant_bytes;
    scales += shape.scale_halves();
    panel += panel_block_bytes(Lanes);
  }
  for (int l = 0; l < Lanes; ++l) _mm512_storeu_ps(tile + 16 * l, total[l]);
}

#include "cpu/kernels/lanes.inc"

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels table{"avx512-vnni", false, rms_norm, quantize, residual,
                                 multiply,      place, silu_mul, attend,   store_head};
  return table;
}

}  // namespace frugal::cpu
