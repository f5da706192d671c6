// Kernels for AVX2 with FMA and F16C. A tile is a strip's 16 rows times up to 4 lanes: a broadcast piece of an
// activation meets two registers of weights, and 8 integer accumulators, 4 weights, mask and piece fit the 16
// registers. 4-bit: unsigned weights times signed activations summed in 16 bit over the block: 8 pairs of at most 3,810
// cannot overflow; 5-bit the same over half a block. 8-bit: |w| times x with w's sign, a pair is at most 32,512,
// widened at once.
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/floats.hpp"

namespace frugal::cpu {
namespace {

inline __m256i piece(const std::uint8_t* q) {
  std::int32_t four;
  std::memcpy(&four, q, 4);
  return _mm256_set1_epi32(four);
}

constexpr std::size_t opened_bytes = format_shape(Format::q4_open).quant_bytes;

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

inline void leave(std::uint8_t* to, int j, __m256i w0, __m256i w1) {
  if (to == nullptr) return;
  _mm256_store_si256(reinterpret_cast<__m256i*>(to + 64 * j), w0);
  _mm256_store_si256(reinterpret_cast<__m256i*>(to + 64 * j + 32), w1);
}

/// A 4-bit block, which stays opened at `to` where that is not null.
template <Part P, int Lanes>
[[gnu::always_inline]] inline void dot4(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums,
                                        std::uint8_t* to) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256i both0 = weights_at(quants + 64 * j), both1 = weights_at(quants + 64 * j + 32);
    if constexpr (P != Part::high) {
      const __m256i w0 = lower(both0), w1 = lower(both1);
      leave(to, j, w0, w1);
      if (j == 0)
        add4<true, Lanes>(sums, w0, w1, q);
      else
        add4<false, Lanes>(sums, w0, w1, q + 4 * j);
    }
    if constexpr (P != Part::low) {
      const __m256i w0 = upper(both0), w1 = upper(both1);
      leave(to, 4 + j, w0, w1);
      if (j == 0 && P == Part::high)
        add4<true, Lanes>(sums, w0, w1, q + 16);
      else
        add4<false, Lanes>(sums, w0, w1, q + 16 + 4 * j);
    }
  }
}

/// Chunk j of a 5-bit or an opened block, rows 0-7 or 8-15, as 4 unsigned bytes a row.
template <Format F>
[[gnu::always_inline]] inline __m256i chunk(const std::uint8_t* quants, int j, int half) {
  if constexpr (F != Format::q5) return weights_at(quants + 64 * j + 32 * half);
  const __m256i both = weights_at(quants + 64 * (j % 4) + 32 * half), bits = weights_at(quants + 256 + 32 * half);
  const __m256i fifth = j < 4 ? _mm256_slli_epi16(bits, 4 - j) : _mm256_srli_epi16(bits, j - 4);
  return _mm256_or_si256(j < 4 ? lower(both) : upper(both), _mm256_and_si256(fifth, _mm256_set1_epi8(16)));
}

/// Chunks [First, Last) of a block, which stay opened at `to` where that is not null.
template <Format F, int First, int Last, int Lanes>
[[gnu::always_inline]] inline void dot_chunks(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums,
                                              std::uint8_t* to) {
#pragma GCC unroll 8
  for (int j = First; j < Last; ++j) {
    const __m256i w0 = chunk<F>(quants, j, 0), w1 = chunk<F>(quants, j, 1);
    leave(to, j, w0, w1);
    if (j == First)
      add4<true, Lanes>(sums, w0, w1, q + 4 * j);
    else
      add4<false, Lanes>(sums, w0, w1, q + 4 * j);
  }
}

/// 5-bit weights: 4 pairs of at most 7,874 fit in 16 bits, so each half of the block is widened.
template <Format F, int Lanes>
[[gnu::always_inline]] inline void dot5(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums,
                                        std::uint8_t* to) {
  alignas(32) __m256i low[Lanes][2];
  dot_chunks<F, 0, 4, Lanes>(quants, q, sums, to);
  for (int l = 0; l < Lanes; ++l)
    for (int h = 0; h < 2; ++h) low[l][h] = widen(sums[l][h]);
  dot_chunks<F, 4, 8, Lanes>(quants, q, sums, to);
  for (int l = 0; l < Lanes; ++l)
    for (int h = 0; h < 2; ++h) sums[l][h] = _mm256_add_epi32(widen(sums[l][h]), low[l][h]);
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

/// d and m of a strip's 16 rows in one block.
struct Scales {
  __m256 d[2], m[2];

  Scales(const std::uint16_t* scales, const std::uint16_t* minima)
      : d{scales_at(scales), scales_at(scales + 8)}, m{scales_at(minima), scales_at(minima + 8)} {}
  /// Of an opened block.
  explicit Scales(const std::uint8_t* opened) : d{at(opened, 0), at(opened, 1)}, m{at(opened, 2), at(opened, 3)} {}
  void leave(std::uint8_t* opened) const {
    auto* to = reinterpret_cast<float*>(opened + 512);
    _mm256_store_ps(to, d[0]), _mm256_store_ps(to + 8, d[1]), _mm256_store_ps(to + 16, m[0]),
        _mm256_store_ps(to + 24, m[1]);
  }
  static __m256 at(const std::uint8_t* opened, int i) {
    return _mm256_load_ps(reinterpret_cast<const float*>(opened + 512) + 8 * i);
  }
};

/// total += d (scale sum), then += m sum where the format has one minimum a block: the order every path keeps.
template <bool Wide, bool Minimum, int Lanes>
[[gnu::always_inline]] inline void add_scaled(const Sums<Lanes>& sums, const Scales& w, const PanelScale* s,
                                              Totals<Lanes>& totals) {
  for (int l = 0; l < Lanes; ++l) {
    const __m256i a = Wide ? sums[l][0] : widen(sums[l][0]), b = Wide ? sums[l][1] : widen(sums[l][1]);
    const __m256 scale = _mm256_set1_ps(s[l].scale);
    __m256 t0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_mul_ps(w.d[0], scale), totals.get(l, 0));
    __m256 t1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(b), _mm256_mul_ps(w.d[1], scale), totals.get(l, 1));
    if constexpr (Minimum) {
      const __m256 factor = _mm256_set1_ps(s[l].sum);
      t0 = _mm256_fmadd_ps(w.m[0], factor, t0), t1 = _mm256_fmadd_ps(w.m[1], factor, t1);
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
[[gnu::always_inline]] inline void dot(const std::uint8_t* quants, const std::uint8_t* q, Sums<Lanes>& sums,
                                       std::uint8_t* to) {
  if constexpr (is_offset(F))
    dot8<P, Lanes>(quants, q, sums);
  else if constexpr (F == Format::q5 || F == Format::q5_open)
    dot5<F, Lanes>(quants, q, sums, to);
  else if constexpr (F == Format::q4_open)
    dot_chunks<F, 0, 8, Lanes>(quants, q, sums, nullptr);
  else
    dot4<P, Lanes>(quants, q, sums, to);
}

/// A block with one or two scales, or an opened one. Stays opened at `to` where that is not null.
template <Format F, int Lanes>
[[gnu::always_inline]] inline void add_block(const std::uint8_t* quants, const std::uint16_t* scales,
                                             const std::uint8_t* q, const PanelScale* s, Totals<Lanes>& totals,
                                             std::uint8_t* to = nullptr) {
  constexpr FormatShape shape = format_shape(F);
  constexpr bool wide = is_offset(F) || F == Format::q5 || F == Format::q5_open;
  Sums<Lanes> sums;
  if constexpr (shape.subs == 2) {
    dot<F, Part::low, Lanes>(quants, q, sums, nullptr);
    add_scaled<wide, false, Lanes>(sums, Scales(scales, scales), s, totals);
    dot<F, Part::high, Lanes>(quants, q, sums, nullptr);
    add_scaled<wide, false, Lanes>(sums, Scales(scales + 16, scales), s, totals);
    if constexpr (shape.minimum) add_minimum(scales + 32, s, true, totals), add_minimum(scales + 48, s, false, totals);
  } else {
    dot<F, Part::both, Lanes>(quants, q, sums, to);
    if constexpr (shape.subs == 0) {
      add_scaled<wide, true, Lanes>(sums, Scales(quants), s, totals);
    } else {
      if (to != nullptr) Scales(scales, scales + 16).leave(to);
      add_scaled<wide, shape.minimum, Lanes>(sums, Scales(scales, scales + 16), s, totals);
    }
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

/// Block after block; more than 4 lanes as two tiles, so that the second finds panel and weights in the first-level
/// cache: those of q4 and q5 opened by the first.
template <Format F, int Lanes>
void multiply_lanes(const StripView& strip, const std::uint8_t* panel, const float* bias, float* tile,
                    std::uint8_t* room) {
  constexpr FormatShape shape = format_shape(F);
  constexpr int early = Lanes > 4 ? (Lanes + 1) / 2 : Lanes, late = Lanes - early;
  constexpr bool opening = late != 0 && (F == Format::q4 || F == Format::q5);
  constexpr Format open = F == Format::q4 ? Format::q4_open : Format::q5_open;
  alignas(64) std::uint8_t one[opening ? opened_bytes : 1];
  std::uint8_t* const opened = room != nullptr ? room : one;
  const std::size_t step = room != nullptr ? opened_bytes : 0;
  Totals<early> totals{tile, {}};
  Totals<late == 0 ? 1 : late> more{tile + 16 * early, {}};
  totals.begin(bias);
  if constexpr (late != 0) more.begin(bias);
  const std::uint8_t* quants = strip.quants;
  const std::uint16_t* scales = strip.scales;
  for (std::uint32_t b = 0; b < strip.blocks; ++b) {
    if constexpr (shape.subs != 0) ask_ahead<shape.quant_bytes>(quants), ask_ahead<2 * shape.scale_halves()>(scales);
    const auto* s = reinterpret_cast<const PanelScale*>(panel + block_inputs * Lanes);
    if constexpr (opening) {
      add_block<F, early>(quants, scales, panel, s, totals, opened + b * step);
      add_block<open, late>(opened + b * step, nullptr, panel + block_inputs * early, s + early, more);
    } else {
      add_block<F, early>(quants, scales, panel, s, totals);
      if constexpr (late != 0) add_block<F, late>(quants, scales, panel + block_inputs * early, s + early, more);
    }
    quants += shape.quant_bytes;
    scales += shape.scale_halves();
    panel += panel_block_bytes(Lanes);
  }
  totals.end();
  if constexpr (late != 0) more.end();
}

using PanelAt = const std::uint8_t*;
#include "cpu/kernels/lanes.inc"

void multiply_any(const StripView& strip, const std::uint8_t* panel, std::size_t lanes, const float* bias, float* tile,
                  std::uint8_t* room) {
  if (strip.format == Format::q4_open) return multiply_format<Format::q4_open>(strip, panel, lanes, bias, tile, room);
  if (strip.format == Format::q5_open) return multiply_format<Format::q5_open>(strip, panel, lanes, bias, tile, room);
  multiply(strip, panel, lanes, bias, tile, room);
}

}  // namespace

const Kernels& avx2_kernels() {
  static constexpr Kernels table{"avx2", true,     rms_norm, quantize,   residual,       multiply_any,
                                 place,  silu_mul, attend,   store_head, multiply_floats};
  return table;
}

}  // namespace frugal::cpu
