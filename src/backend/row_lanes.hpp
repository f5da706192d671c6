// Sixteen fp32 lanes, three times: AVX-512, two AVX2 halves, or an array; the including file's compile flags decide.
// Everything is in an unnamed namespace and calls no inline function of the standard library: code compiled for one
// instruction set must never be merged by the linker into a path for another.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace frugal::backend {
namespace {

// greater(a, b) is a > b ? a : b and smaller(a, b) is a < b ? a : b: where a is NaN, the result is b.
#if defined(__AVX512F__)

using Vec = __m512;
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec splat(float x) { return _mm512_set1_ps(x); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec greater(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec smaller(Vec a, Vec b) { return _mm512_min_ps(a, b); }
/// p * 2^n, where n is in the low bits of y.
inline Vec raise(Vec p, Vec y) {
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(y), 23)));
}
/// where a = b: yes, else no.
inline Vec choose_equal(Vec a, Vec b, Vec yes, Vec no) {
  return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), yes);
}
using Mask = __mmask16;  // stays in a mask register
inline Mask at_least(Vec x, Vec least) { return _mm512_cmp_ps_mask(x, least, _CMP_GE_OQ); }
inline Vec choose_bits(std::uint32_t bits, Vec yes, Vec no) {
  return _mm512_mask_mov_ps(no, static_cast<__mmask16>(bits), yes);
}

/// Sums of floor(w * 2^40), w in [0, 1].
struct FixedSum {
  __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
  static __m512i fixed(__m256 w) { return _mm512_cvttps_epu64(_mm256_mul_ps(w, _mm256_set1_ps(0x1p40F))); }
  static __m256 upper(Vec w) { return _mm512_extractf32x8_ps(w, 1); }
  struct Words {
    __m512i low, high;
  };
  static Words words(Vec w) { return {fixed(_mm512_castps512_ps256(w)), fixed(upper(w))}; }
  void add(const Words& w) {
    low = _mm512_add_epi64(low, w.low);
    high = _mm512_add_epi64(high, w.high);
  }
  /// Lanes whose bit is set.
  void add_where(Mask bits, const Words& w) {
    low = _mm512_mask_add_epi64(low, static_cast<__mmask8>(bits), low, w.low);
    high = _mm512_mask_add_epi64(high, static_cast<__mmask8>(_kshiftri_mask16(bits, 8)), high, w.high);
  }
  static void store(const Words& w, std::uint64_t* to) {
    _mm512_storeu_si512(to, w.low);
    _mm512_storeu_si512(to + 8, w.high);
  }
  std::uint64_t total() const {
    return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(_mm512_add_epi64(low, high)));
  }
};

#elif defined(__AVX2__)

struct Vec {
  __m256 a, b;
};
inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Vec v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
inline Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec add(Vec x, Vec y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Vec sub(Vec x, Vec y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Vec mul(Vec x, Vec y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Vec greater(Vec x, Vec y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Vec smaller(Vec x, Vec y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline __m256 raise_half(__m256 p, __m256 y) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(y), 23)));
}
inline Vec raise(Vec p, Vec y) { return {raise_half(p.a, y.a), raise_half(p.b, y.b)}; }
inline Vec choose_equal(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(a.a, b.a, _CMP_EQ_OQ)),
          _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(a.b, b.b, _CMP_EQ_OQ))};
}
using Mask = std::uint32_t;
inline Mask at_least(Vec x, Vec least) {
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(x.a, least.a, _CMP_GE_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(x.b, least.b, _CMP_GE_OQ));
  return static_cast<std::uint32_t>(low | high << 8);
}
inline __m256 spread_bits(std::uint32_t bits) {
  const __m256i places = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_castsi256_ps(
      _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), places), places));
}
inline Vec choose_bits(std::uint32_t bits, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.a, yes.a, spread_bits(bits)), _mm256_blendv_ps(no.b, yes.b, spread_bits(bits >> 8))};
}

struct FixedSum {
  __m256i lane[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  /// The significand in 2^-40, shifted right by as much as the exponent is below 0; by 64 and more gives 0.
  static __m256i fixed(__m128i bits) {
    const __m128i significand = _mm_or_si128(_mm_and_si128(bits, _mm_set1_epi32(0x7FFFFF)), _mm_set1_epi32(0x800000));
    const __m128i below = _mm_sub_epi32(_mm_set1_epi32(127), _mm_srli_epi32(bits, 23));
    return _mm256_srlv_epi64(_mm256_slli_epi64(_mm256_cvtepu32_epi64(significand), 17), _mm256_cvtepu32_epi64(below));
  }
  static __m128i part(__m256 w, int high) {
    const __m256i bits = _mm256_castps_si256(w);
    return high != 0 ? _mm256_extracti128_si256(bits, 1) : _mm256_castsi256_si128(bits);
  }
  struct Words {
    __m256i v[4];
  };
  static Words words(Vec w) {
    return {{fixed(part(w.a, 0)), fixed(part(w.a, 1)), fixed(part(w.b, 0)), fixed(part(w.b, 1))}};
  }
  void add(const Words& w) {
    for (int i = 0; i < 4; ++i) lane[i] = _mm256_add_epi64(lane[i], w.v[i]);
  }
  /// Lanes whose bit is set.
  void add_where(Mask bits, const Words& w) {
    const __m256i all = _mm256_set1_epi64x(bits);
    for (int i = 0; i < 4; ++i) {
      const __m256i places = _mm256_slli_epi64(_mm256_setr_epi64x(1, 2, 4, 8), 4 * i);
      const __m256i chosen = _mm256_cmpeq_epi64(_mm256_and_si256(all, places), places);
      lane[i] = _mm256_add_epi64(lane[i], _mm256_and_si256(chosen, w.v[i]));
    }
  }
  static void store(const Words& w, std::uint64_t* to) {
    for (int i = 0; i < 4; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 4 * i), w.v[i]);
  }
  std::uint64_t total() const {
    std::uint64_t sums[4];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm256_add_epi64(_mm256_add_epi64(lane[0], lane[1]), _mm256_add_epi64(lane[2], lane[3])));
    return sums[0] + sums[1] + sums[2] + sums[3];
  }
};

#else

struct Vec {
  float v[16];
};
#define FRUGAL_LANES for (int i = 0; i < 16; ++i)
inline Vec load(const float* p) {
  Vec r;
  FRUGAL_LANES r.v[i] = p[i];
  return r;
}
inline void store(float* p, Vec x) { FRUGAL_LANES p[i] = x.v[i]; }
inline Vec splat(float x) {
  Vec r;
  FRUGAL_LANES r.v[i] = x;
  return r;
}
inline Vec add(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] + b.v[i];
  return a;
}
inline Vec sub(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] - b.v[i];
  return a;
}
inline Vec mul(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] * b.v[i];
  return a;
}
inline Vec greater(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline Vec smaller(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline Vec raise(Vec p, Vec y) {
  FRUGAL_LANES p.v[i] = __builtin_bit_cast(
      float, __builtin_bit_cast(std::uint32_t, p.v[i]) + (__builtin_bit_cast(std::uint32_t, y.v[i]) << 23));
  return p;
}
inline Vec choose_equal(Vec a, Vec b, Vec yes, Vec no) {
  FRUGAL_LANES no.v[i] = a.v[i] == b.v[i] ? yes.v[i] : no.v[i];
  return no;
}
using Mask = std::uint32_t;
inline Mask at_least(Vec x, Vec least) {
  std::uint32_t bits = 0;
  FRUGAL_LANES bits |= static_cast<std::uint32_t>(x.v[i] >= least.v[i]) << i;
  return bits;
}
inline Vec choose_bits(std::uint32_t bits, Vec yes, Vec no) {
  FRUGAL_LANES no.v[i] = (bits >> i & 1U) != 0 ? yes.v[i] : no.v[i];
  return no;
}

struct FixedSum {
  std::uint64_t sum = 0;
  static std::uint64_t fixed(float w) { return static_cast<std::uint64_t>(static_cast<std::int64_t>(w * 0x1p40F)); }
  struct Words {
    std::uint64_t v[16];
  };
  static Words words(Vec w) {
    Words r;
    FRUGAL_LANES r.v[i] = fixed(w.v[i]);
    return r;
  }
  void add(const Words& w) { FRUGAL_LANES sum += w.v[i]; }
  /// Lanes whose bit is set.
  void add_where(Mask bits, const Words& w) { FRUGAL_LANES sum += w.v[i] & (0 - std::uint64_t{bits >> i & 1U}); }
  static void store(const Words& w, std::uint64_t* to) { FRUGAL_LANES to[i] = w.v[i]; }
  std::uint64_t total() const { return sum; }
};
#undef FRUGAL_LANES

#endif

}  // namespace
}  // namespace frugal::backend
