// Kernels for AVX2 with FMA and F16C. A tile is a strip's 16 rows times up to 4 lanes: a broadcast piece of an
// activation meets two registers of weights, and 8 integer accumulators, 4 weights, mask and piece fit the 16
// registers. 4-bit: unsigned weights times signed activations summed in 16 bit over the block: 8 pairs of at most 3,810
// cannot overflow. 8-bit: |w| times x with w's sign, a pair is at most 32,512, widened at once.
#include "cpu/kernels/rowwise.hpp"

#include <type_traits>

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

/// The compiler keeps the additions before it in the order they are written: left alone it makes trees of them and
/// spills what these keep alive (measured: half the speed).
inline void settle(__m256i& sum) { asm volatile("" : "+x"(sum)); }

/// Sums of w q over 16 (one of two `Part`s) or all 32 inputs, for rows 0-7 and 8-15 of each lane.
template <int Lanes>
struct Sums {
  __m256i of[Lanes][2];
};

enum class Part : std::uint8_t { low, high, both };

/// Adds 4 inputs of 16 rows, or begins with them.
template <bool Begin, int Lanes>
[[gnu::always_inline]] inline void add4(Sums<Lanes>& sums, __m256i w0, __m256i w1, const std::uint8_t* q) {
  for (int l = 0; l < Lanes; ++l) {
    const __m256i x = piece(q + 32 * l), a = _mm256_maddubs_epi16(w0, x);
    sums.of[l][0] = Begin ? a : _mm256_add_epi16(sums.of[l][0], a);
    settle(sums.of[l][0]);
    const __m256i b = _mm256_maddubs_epi16(w1, x);
    sums.of[l][1] = Begin ? b : _mm256_add_epi16(sums.of[l][1], b);
    settle(sums.of[l][1]);
  }
}

template <Part P, int Lanes>
[[gnu::always_inline]] inline Sums<Lanes> dot4(const std::uint8_t* quants, const std::uint8_t* q) {
  const __m256i mask = _mm256_set1_epi8(15);
  Sums<Lanes> sums;
  const auto chunk = [&]<bool Begin>(std::bool_constant<Begin>, int j) {
    const __m256i both0 = weights_at(quants + 64 * j), both1 = weights_at(quants + 64 * j + 32);
    if constexpr (P != Part::high)
      add4<Begin>(sums, _mm256_and_si256(both0, mask), _mm256_and_si256(both1, mask), q + 4 * j);
    if constexpr (P != Part::low)
      add4<Begin && P == Part::high>(sums, _mm256_and_si256(_mm256_srli_epi16(both0, 4), mask),
                                     _mm256_and_si256(_mm256_srli_epi16(both1, 4), mask), q + 16 + 4 * j);
  };
  chunk(std::true_type{}, 0);
#pragma GCC unroll 3
  for (int j = 1; j < 4; ++j) chunk(std::false_type{}, j);
  return sums;
}

/// Already 32 bit wide.
template <Part P, int Lanes>
[[gnu::always_inline]] inline Sums<Lanes> dot8(const std::uint8_t* quants, const std::uint8_t* q) {
  Sums<Lanes> sums;
  for (int l = 0; l < Lanes; ++l) sums.of[l][0] = sums.of[l][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int j = P == Part::high ? 4 : 0; j < (P == Part::low ? 4 : 8); ++j) {
    const __m256i flip = _mm256_set1_epi8(-128);
    const __m256i w0 = _mm256_xor_si256(weights_at(quants + 64 * j), flip);
    const __m256i w1 = _mm256_xor_si256(weights_at(quants + 64 * j + 32), flip);
    const __m256i size0 = _mm256_abs_epi8(w0), size1 = _mm256_abs_epi8(w1);
    for (int l = 0; l < Lanes; ++l) {
      const __m256i x = piece(q + 32 * l + 4 * j);
      const __m256i pairs0 = _mm256_maddubs_epi16(size0, _mm256_sign_epi8(x, w0));
      sums.of[l][0] = _mm256_add_epi32(sums.of[l][0], widen(pairs0));
      settle(sums.of[l][0]);
      const __m256i pairs1 = _mm256_maddubs_epi16(size1, _mm256_sign_epi8(x, w1));
      sums.of[l][1] = _mm256_add_epi32(sums.of[l][1], widen(pairs1));
      settle(sums.of[l][1]);
    }
  }
  return sums;
}

/// Where the totals of a tile are between two blocks: registers for one lane or two, else memory, which is quicker than
/// what the compiler would spill.
template <int Lanes>
struct Totals {
  static constexpr bool in_memory = Lanes > 2;
  float* tile;
  __m256 held[in_memory ? 1 : Lanes][2];

  void begin(const float* bias) {
    const __m256 zero = _mm256_setzero_ps();
    for (int l = 0; l < Lanes; ++l)
      for (int h = 0; h < 2; ++h) set(l, h, bias != nullptr ? _mm256_loadu_ps(bias + 8 * h) : zero);
  }
  __m256 get(int l, int h) const {
    return in_memory ? _mm256_loadu_ps(tile + 16 * l + 8 * h) : held[in_memory ? 0 : l][h];
  }
  void set(int l, int h, __m256 value) {
    if constexpr (in_memory)
      _mm256_storeu_ps(tile + 16 * l + 8 * h, value);
    else
      held[l][h] = value;
  }
  void end() const {
    if constexpr (!in_memory)
      for (int l = 0; l < Lanes; ++l)
        _mm256_storeu_ps(tile + 16 * l, held[l][0]), _mm256_storeu_ps(tile + 16 * l + 8, held[l][1]);
  }
};

/// total += d (scale sum), then += m factor where the format has a minimum: the order every path keeps.
template <bool Wide, bool Minimum, int Lanes, class Factor>
[[gnu::always_inline]] inline void add_scaled(const Sums<Lanes>& sums, const std::uint16_t* scales,
                                              const std::uint16_t* minima, const PanelScale* s, Factor factor,
                                              Totals<Lanes>& totals) {
  const __m256 d[2] = {scales_at(scales), scales_at(scales + 8)};
  __m256 m[2] = {};
  if constexpr (Minimum) m[0] = scales_at(minima), m[1] = scales_at(minima + 8);
  for (int l = 0; l < Lanes; ++l) {
    const __m256 scale = _mm256_set1_ps(s[l].scale);
    for (int h = 0; h < 2; ++h) {
      const __m256 sum = _mm256_cvtepi32_ps(Wide ? sums.of[l][h] : widen(sums.of[l][h]));
      __m256 total = _mm256_fmadd_ps(sum, _mm256_mul_ps(d[h], scale), totals.get(l, h));
      if constexpr (Minimum) total = _mm256_fmadd_ps(m[h], _mm256_set1_ps(factor(s[l])), total);
      totals.set(l, h, total);
    }
    asm volatile("" ::: "memory");  // one lane after the other
  }
}

template <int Lanes>
[[gnu::always_inline]] inline void add_minimum(const std::uint16_t* minima, const PanelScale* s, bool low,
                                               Totals<Lanes>& totals) {
  const __m256 m[2] = {scales_at(minima), scales_at(minima + 8)};
  for (int l = 0; l < Lanes; ++l) {
    const float sum = static_cast<float>(low ? s[l].offset_low : s[l].offset_high) * (s[l].scale * -0.0078125F);
    for (int h = 0; h < 2; ++h) totals.set(l, h, _mm256_fmadd_ps(m[h], _mm256_set1_ps(sum), totals.get(l, h)));
  }
}

template <Format F, Part P, int Lanes>
[[gnu::always_inline]] inline Sums<Lanes> dot(const std::uint8_t* quants, const std::uint8_t* q) {
  if constexpr (format_shape(F).quant_bytes == 256)
    return dot4<P, Lanes>(quants, q);
  else
    return dot8<P, Lanes>(quants, q);
}

template <Format F, int Lanes>
[[gnu::always_inline]] inline void add_block(const std::uint8_t* quants, const std::uint16_t* scales,
                                             const std::uint8_t* q, const PanelScale* s, Totals<Lanes>& totals) {
  constexpr FormatShape shape = format_shape(F);
  constexpr bool wide = shape.quant_bytes == 512;
  const auto whole = [](const PanelScale& p) { return p.sum; };
  if constexpr (shape.subs == 1) {
    add_scaled<wide, shape.minimum>(dot<F, Part::both, Lanes>(quants, q), scales, scales + 16, s, whole, totals);
  } else {
    add_scaled<wide, false>(dot<F, Part::low, Lanes>(quants, q), scales, scales, s, whole, totals);
    add_scaled<wide, false>(dot<F, Part::high, Lanes>(quants, q), scales + 16, scales, s, whole, totals);
    if constexpr (shape.minimum) add_minimum(scales + 32, s, true, totals), add_minimum(scales + 48, s, false, totals);
  }
}

/// Lanes [first, first + Lanes) of a panel of `lanes`.
template <Format F, int Lanes>
void multiply_tile(const StripView& strip, const std::uint8_t* panel, std::size_t lanes, std::size_t first,
                   const float* bias, float* tile) {
  constexpr FormatShape shape = format_shape(F);
  Totals<Lanes> totals{tile + 16 * first, {}};
  totals.begin(bias);
  const std::uint8_t* quants = strip.quants;
  const std::uint16_t* scales = strip.scales;
  const std::uint8_t* q = panel + block_inputs * first;
  const std::uint8_t* s = panel + block_inputs * lanes + sizeof(PanelScale) * first;
  for (std::uint32_t b = 0; b < strip.blocks; ++b) {
    add_block<F, Lanes>(quants, scales, q, reinterpret_cast<const PanelScale*>(s), totals);
    quants += shape.quant_bytes;
    scales += shape.scale_halves();
    q += panel_block_bytes(lanes), s += panel_block_bytes(lanes);
  }
  totals.end();
}

template <Format F, int Lanes>
void multiply_lanes(const StripView& strip, const std::uint8_t* panel, const float* bias, float* tile) {
  constexpr int early = Lanes > 4 ? (Lanes + 1) / 2 : Lanes;
  multiply_tile<F, early>(strip, panel, Lanes, 0, bias, tile);
  if constexpr (Lanes > early) multiply_tile<F, Lanes - early>(strip, panel, Lanes, early, bias, tile);
}

#include "cpu/kernels/lanes.inc"

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels table{"avx2", rms_norm, quantize, residual, multiply, silu_mul, attend, store_head};
  return table;
}

}  // namespace frugal::cpu
