// Kernels for AVX2 with FMA and F16C. A tile is a strip's 16 rows times up to 4 lanes: a broadcast piece of an
// activation meets two registers of weights, and 8 integer accumulators, 4 weights, mask and piece fit the 16
// registers. 4-bit: unsigned weights times signed activations summed in 16 bit over the block: 8 pairs of at most 3,810
// cannot overflow. 8-bit: |w| times x with w's sign, a pair is at most 32,512, widened at once.
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

/// The compiler keeps the additions before it in the order they are written: left alone it makes trees of them and
/// spills what these keep alive (measured: half the speed).
inline void settle(__m256i& sum) { asm volatile("" : "+x"(sum)); }

/// Sums of w q over 16 (one of two `Part`s) or all 32 inputs: [lane][rows 0-7, rows 8-15].
template <int Lanes>
using Sums = __m256i[Lanes][2];

enum class Part : std::uint8_t { low, high, both };

/// Adds 4 inputs of 16 rows, or begins with them.
template <bool Begin, int Lanes>
[[gnu::always_inline]] inline void add4(Sums<Lanes>& sums, __m256i w0, __m256i w1, const std::uint8_t* q) {
  for (int l = 0; l < Lanes; ++l) {
    const __m256i x = piece(q + 32 * l), a = _mm256_maddubs_epi16(w0, x);
    sums[l][0] = Begin ? a : _mm256_add_epi16(sums[l][0], a);
    settle(sums[l][0]);
    const __m256i b = _mm256_maddubs_epi16(w1, x);
    sums[l][1] = Begin ? b : _mm256_add_epi16(sums[l][1], b);
    settle(sums[l][1]);
  }
}

inline __m256i lower(__m256i both) { return _mm256_and_si256(both, _mm256_set1_epi8(15)); }
inline __m256i upper(__m256i both) { return lower(_mm256_srli_epi16(both, 4)); }

template <Part P, int Lanes>
[[gnu::always_inline]] inline void dot4(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums) {
  {
    const __m256i both0 = weights_at(quants), both1 = weights_at(quants + 32);
    if constexpr (P != Part::high) add4<true, Lanes>(sums, lower(both0), lower(both1), q);
    if constexpr (P != Part::low) add4<P == Part::high, Lanes>(sums, upper(both0), upper(both1), q + 16);
  }
#pragma GCC unroll 3
  for (int j = 1; j < 4; ++j) {
    const __m256i both0 = weights_at(quants + 64 * j), both1 = weights_at(quants + 64 * j + 32);
    if constexpr (P != Part::high) add4<false, Lanes>(sums, lower(both0), lower(both1), q + 4 * j);
    if constexpr (P != Part::low) add4<false, Lanes>(sums, upper(both0), upper(both1), q + 16 + 4 * j);
  }
}

/// The same for opened weights.
template <int Lanes>
[[gnu::always_inline]] inline void dot4_open(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums) {
  add4<true, Lanes>(sums, weights_at(quants), weights_at(quants + 32), q);
#pragma GCC unroll 7
  for (int j = 1; j < 8; ++j)
    add4<false, Lanes>(sums, weights_at(quants + 64 * j), weights_at(quants + 64 * j + 32), q + 4 * j);
}

/// Already 32 bit wide.
template <Part P, int Lanes>
[[gnu::always_inline]] inline void dot8(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums) {
  for (int l = 0; l < Lanes; ++l) sums[l][0] = sums[l][1] = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int j = P == Part::high ? 4 : 0; j < (P == Part::low ? 4 : 8); ++j) {
    const __m256i flip = _mm256_set1_epi8(-128);
    const __m256i w0 = _mm256_xor_si256(weights_at(quants + 64 * j), flip);
    const __m256i w1 = _mm256_xor_si256(weights_at(quants + 64 * j + 32), flip);
    const __m256i size0 = _mm256_abs_epi8(w0), size1 = _mm256_abs_epi8(w1);
    for (int l = 0; l < Lanes; ++l) {
      const __m256i x = piece(q + 32 * l + 4 * j);
      const __m256i pairs0 = _mm256_maddubs_epi16(size0, _mm256_sign_epi8(x, w0));
      sums[l][0] = _mm256_add_epi32(sums[l][0], widen(pairs0));
      settle(sums[l][0]);
      const __m256i pairs1 = _mm256_maddubs_epi16(size1, _mm256_sign_epi8(x, w1));
      sums[l][1] = _mm256_add_epi32(sums[l][1], widen(pairs1));
      settle(sums[l][1]);
    }
  }
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

/// total += d (scale sum), then += m sum where the format has one minimum a block: the order every path keeps.
template <bool Wide, bool Minimum, int Lanes>
[[gnu::always_inline]] inline void add_scaled(const Sums<Lanes>& sums, const std::uint16_t* scales,
                                              const std::uint16_t* minima, const PanelScale* s, Totals<Lanes>& totals) {
  const __m256 d0 = scales_at(scales), d1 = scales_at(scales + 8);
  const __m256 m0 = Minimum ? scales_at(minima) : d0, m1 = Minimum ? scales_at(minima + 8) : d1;
  for (int l = 0; l < Lanes; ++l) {
    const __m256i a = Wide ? sums[l][0] : widen(sums[l][0]), b = Wide ? sums[l][1] : widen(sums[l][1]);
    const __m256 scale = _mm256_set1_ps(s[l].scale);
    __m256 t0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_mul_ps(d0, scale), totals.get(l, 0));
    __m256 t1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(b), _mm256_mul_ps(d1, scale), totals.get(l, 1));
    if constexpr (Minimum) {
      const __m256 factor = _mm256_set1_ps(s[l].sum);
      t0 = _mm256_fmadd_ps(m0, factor, t0), t1 = _mm256_fmadd_ps(m1, factor, t1);
    }
    totals.set(l, 0, t0), totals.set(l, 1, t1);
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
[[gnu::always_inline]] inline void dot(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums) {
  if constexpr (F == Format::q4_open)
    dot4_open<Lanes>(quants, q, sums);
  else if constexpr (format_shape(F).quant_bytes == 256)
    dot4<P, Lanes>(quants, q, sums);
  else
    dot8<P, Lanes>(quants, q, sums);
}

template <Format F, int Lanes>
[[gnu::always_inline]] inline void add_block(const std::uint8_t* quants, const std::uint16_t* scales,
                                             const std::uint8_t* q, const PanelScale* s, Totals<Lanes>& totals) {
  constexpr FormatShape shape = format_shape(F);
  constexpr bool wide = shape.quant_bytes == 512 && F != Format::q4_open;
  Sums<Lanes> sums;
  if constexpr (shape.subs == 1) {
    dot<F, Part::both, Lanes>(quants, q, sums);
    add_scaled<wide, shape.minimum, Lanes>(sums, scales, scales + 16, s, totals);
  } else {
    dot<F, Part::low, Lanes>(quants, q, sums);
    add_scaled<wide, false, Lanes>(sums, scales, scales, s, totals);
    dot<F, Part::high, Lanes>(quants, q, sums);
    add_scaled<wide, false, Lanes>(sums, scales + 16, scales, s, totals);
    if constexpr (shape.minimum) add_minimum(scales + 32, s, true, totals), add_minimum(scales + 48, s, false, totals);
  }
}

/// Asks the memory for what will be read some strips later: the processor's own guess starts anew with each strip and
/// stops at pages (measured: the layers of a step of one row take 1.7 ms instead of 2.5). Beyond the matrix it asks for
/// nothing used.
constexpr std::size_t ahead = 8192;
template <std::size_t Bytes>
[[gnu::always_inline]] inline void ask_ahead(const void* at) {
  const auto* next = static_cast<const std::uint8_t*>(at) + ahead;
  for (std::size_t line = 0; line < Bytes; line += 64) __builtin_prefetch(next + line);
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
    if constexpr (F != Format::q4_open)
      ask_ahead<shape.quant_bytes>(quants), ask_ahead<2 * shape.scale_halves()>(scales);
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

void open(const StripView& strip, std::uint8_t* to) {
  auto* out = reinterpret_cast<__m256i*>(to);
  for (std::uint32_t b = 0; b < strip.blocks; ++b, out += 16) {
    ask_ahead<256>(strip.quants + std::size_t{b} * 256);
    for (int i = 0; i < 8; ++i) {
      const __m256i both = weights_at(strip.quants + std::size_t{b} * 256 + 32 * i);
      _mm256_store_si256(out + i, lower(both));
      _mm256_store_si256(out + 8 + i, upper(both));
    }
  }
}

void multiply_any(const StripView& strip, const std::uint8_t* panel, std::size_t lanes, const float* bias,
                  float* tile) {
  if (strip.format == Format::q4_open) return multiply_format<Format::q4_open>(strip, panel, lanes, bias, tile);
  multiply(strip, panel, lanes, bias, tile);
}

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels table{"avx2", rms_norm, quantize, residual,  multiply_any,
                                 open,   silu_mul, attend,   store_head};
  return table;
}

}  // namespace frugal::cpu
