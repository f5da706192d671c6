// The vector instructions of x86 in software, under the compiler's own names: what the sources of src/cpu/kernels use of
// AVX2, AVX-512, their VNNI and bf16, step by step as the processors' manual has them. A test that has this folder before
// the system's and says it had these instructions compiles the very source of a kernel table and runs it on any machine.
// It is as strict as the real thing: an aligned load of an address that is not, ends the program.
#pragma once

#include "cpu/modelled/lanes.hpp"

#ifndef _MM_FROUND_NO_EXC  // where the compiler's own is there as well, to be compared
#define _MM_FROUND_TO_NEAREST_INT 0
#define _MM_FROUND_NO_EXC 8
#define _CMP_GE_OQ 0x1D
#endif

// Not inlined: kernels are straight-line code after unrolling, and of the model that would be minutes of compiling.
#define FRUGAL_STEP [[gnu::noinline, maybe_unused]]

namespace frugal::cpu {
namespace {

typedef float __m128 __attribute__((vector_size(16)));
typedef float __m256 __attribute__((vector_size(32)));
typedef float __m512 __attribute__((vector_size(64)));
typedef long long __m128i __attribute__((vector_size(16)));
typedef long long __m256i __attribute__((vector_size(32)));
typedef long long __m512i __attribute__((vector_size(64)));
typedef short __m256bh __attribute__((vector_size(32)));
typedef short __m512bh __attribute__((vector_size(64)));
using __mmask16 = std::uint16_t;

// What every width has, `P` bits of floats `F` and whole numbers `I`.
#define FRUGAL_WIDTH(P, F, I)                                                            \
  FRUGAL_STEP F P##_loadu_ps(const float* p) { return read_lanes<F>(p); }                \
  FRUGAL_STEP void P##_storeu_ps(float* p, F v) { std::memcpy(p, &v, sizeof v); }        \
  FRUGAL_STEP F P##_set1_ps(float x) { return filled<F>(x); }                            \
  FRUGAL_STEP F P##_add_ps(F a, F b) { return a + b; }                                   \
  FRUGAL_STEP F P##_sub_ps(F a, F b) { return a - b; }                                   \
  FRUGAL_STEP F P##_mul_ps(F a, F b) { return a * b; }                                   \
  FRUGAL_STEP F P##_div_ps(F a, F b) { return a / b; }                                   \
  FRUGAL_STEP F P##_fmadd_ps(F a, F b, F c) { return fused(a, b, c); }                   \
  FRUGAL_STEP F P##_max_ps(F a, F b) {                                                   \
    return made<F, float>([&](int i) { return a[i] > b[i] ? a[i] : b[i]; });             \
  }                                                                                      \
  FRUGAL_STEP F P##_min_ps(F a, F b) {                                                   \
    return made<F, float>([&](int i) { return a[i] < b[i] ? a[i] : b[i]; });             \
  }                                                                                      \
  FRUGAL_STEP I P##_set1_epi32(std::int32_t x) { return filled<I>(x); }                  \
  FRUGAL_STEP I P##_set1_epi8(char x) { return filled<I>(static_cast<std::int8_t>(x)); } \
  FRUGAL_STEP I P##_add_epi32(I a, I b) { return added<std::uint32_t>(a, b); }           \
  FRUGAL_STEP I P##_slli_epi32(I v, int by) { return shifted<std::uint32_t>(v, -by); }   \
  FRUGAL_STEP I P##_srli_epi32(I v, int by) { return shifted<std::uint32_t>(v, by); }    \
  FRUGAL_STEP I P##_slli_epi16(I v, int by) { return shifted<std::uint16_t>(v, -by); }   \
  FRUGAL_STEP I P##_srli_epi16(I v, int by) { return shifted<std::uint16_t>(v, by); }    \
  FRUGAL_STEP I P##_cvtps_epi32(F v) {                                                   \
    return made<I, std::int32_t>([&](int i) { return whole(v[i]); });                    \
  }                                                                                      \
  FRUGAL_STEP F P##_cvtepi32_ps(I v) {                                                   \
    const auto x = bits_as<LanesOf<std::int32_t, I>>(v);                                 \
    return made<F, float>([&](int i) { return static_cast<float>(x[i]); });              \
  }
FRUGAL_WIDTH(_mm256, __m256, __m256i)
FRUGAL_WIDTH(_mm512, __m512, __m512i)
#undef FRUGAL_WIDTH

// 512 bits.
FRUGAL_STEP __m512i _mm512_load_si512(const void* p) {
  need_aligned(p, 64);
  return read_lanes<__m512i>(p);
}
FRUGAL_STEP void _mm512_store_si512(void* p, __m512i v) {
  need_aligned(p, 64);
  std::memcpy(p, &v, sizeof v);
}
FRUGAL_STEP __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
FRUGAL_STEP __m512i _mm512_or_si512(__m512i a, __m512i b) { return a | b; }
FRUGAL_STEP __m512i _mm512_xor_si512(__m512i a, __m512i b) { return a ^ b; }
FRUGAL_STEP __m512 _mm512_abs_ps(__m512 v) {
  return bits_as<__m512>(bits_as<__m512i>(v) & filled<__m512i>(std::int32_t{0x7FFFFFFF}));
}
FRUGAL_STEP __m512 _mm512_roundscale_ps(__m512 v, int mode) {
  need_nearest(mode);
  return made<__m512, float>([&](int i) { return __builtin_nearbyintf(v[i]); });
}
FRUGAL_STEP __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int which) {
  if (which != _CMP_GE_OQ) std::abort();
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (a[i] >= b[i] ? 1U : 0U) << i;
  return static_cast<__mmask16>(mask);
}
FRUGAL_STEP __m512 _mm512_maskz_mov_ps(__mmask16 mask, __m512 v) {
  return made<__m512, float>([&](int i) { return (mask >> i & 1) != 0 ? v[i] : 0.0F; });
}
FRUGAL_STEP __m512 _mm512_castsi512_ps(__m512i v) { return bits_as<__m512>(v); }
FRUGAL_STEP __m256 _mm512_castps512_ps256(__m512 v) { return part_of<__m256>(v, 0); }
FRUGAL_STEP __m256 _mm512_extractf32x8_ps(__m512 v, int part) { return part_of<__m256>(v, part); }
/// In the order of the compiler's: the upper half first.
FRUGAL_STEP float _mm512_reduce_max_ps(__m512 v) {
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i)
      if (width > 2)
        v[i] = v[i + width] > v[i] ? v[i + width] : v[i];
      else
        v[i] = v[i] > v[i + width] ? v[i] : v[i + width];
  return v[0];
}
FRUGAL_STEP __m512 _mm512_cvtph_ps(__m256i v) {
  const auto halves = bits_as<LanesOf<std::uint16_t, __m256i>>(v);
  return made<__m512, float>([&](int i) { return half_number(halves[i]); });
}
FRUGAL_STEP __m256i _mm512_cvtps_ph(__m512 v, int mode) {
  need_nearest(mode);
  return made<__m256i, std::uint16_t>([&](int i) { return half_of(v[i]); });
}
FRUGAL_STEP __m512i _mm512_broadcast_i64x4(__m256i v) { return joined<__m512i>(v, v); }
FRUGAL_STEP __m512i _mm512_setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k,
                                      int l, int m, int n, int o, int p) {
  const std::int32_t lanes[] = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p};
  return read_lanes<__m512i>(lanes);
}
FRUGAL_STEP __m512 _mm512_setr_ps(float a, float b, float c, float d, float e, float f, float g, float h, float i,
                                  float j, float k, float l, float m, float n, float o, float p) {
  const float lanes[] = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p};
  return read_lanes<__m512>(lanes);
}
FRUGAL_STEP __m512i _mm512_sllv_epi32(__m512i v, __m512i by) {
  const auto x = bits_as<LanesOf<std::uint32_t, __m512i>>(v), n = bits_as<LanesOf<std::uint32_t, __m512i>>(by);
  return made<__m512i, std::uint32_t>([&](int i) { return n[i] < 32 ? x[i] << n[i] : 0U; });
}
FRUGAL_STEP __m512i _mm512_cvtepi8_epi32(__m128i v) {
  const auto bytes = bits_as<LanesOf<std::int8_t, __m128i>>(v);
  return made<__m512i, std::int32_t>([&](int i) { return std::int32_t{bytes[i]}; });
}
/// The lowest byte of each lane.
FRUGAL_STEP __m128i _mm512_cvtepi32_epi8(__m512i v) {
  const auto x = bits_as<LanesOf<std::uint32_t, __m512i>>(v);
  return made<__m128i, std::uint8_t>([&](int i) { return static_cast<std::uint8_t>(x[i]); });
}
FRUGAL_STEP __m512i _mm512_dpbusd_epi32(__m512i sums, __m512i a, __m512i b) { return dotted(sums, a, b); }
FRUGAL_STEP __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b) { return interleaved<std::uint32_t, 0>(a, b); }
FRUGAL_STEP __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b) { return interleaved<std::uint32_t, 1>(a, b); }
FRUGAL_STEP __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b) { return interleaved<std::uint64_t, 0>(a, b); }
FRUGAL_STEP __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b) { return interleaved<std::uint64_t, 1>(a, b); }
FRUGAL_STEP __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int which) {
  return made<__m512i, long long>([&](int i) {
    const __m512i& from = i < 4 ? a : b;
    return from[2 * (which >> (i / 2 * 2) & 3) + i % 2];
  });
}
FRUGAL_STEP __m512 _mm512_permutexvar_ps(__m512i which, __m512 v) {
  const auto at = bits_as<LanesOf<std::uint32_t, __m512i>>(which);
  return made<__m512, float>([&](int i) { return v[static_cast<int>(at[i] % 16)]; });
}
FRUGAL_STEP __m512i _mm512_permutexvar_epi16(__m512i which, __m512i v) {
  const auto at = bits_as<LanesOf<std::uint16_t, __m512i>>(which), x = bits_as<LanesOf<std::uint16_t, __m512i>>(v);
  return made<__m512i, std::uint16_t>([&](int i) { return x[at[i] % 32]; });
}
FRUGAL_STEP __m256bh _mm512_cvtneps_pbh(__m512 v) {
  return made<__m256bh, std::uint16_t>([&](int i) { return bf16_number(v[i]); });
}
FRUGAL_STEP __m512bh _mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
  return made<__m512bh, std::uint16_t>([&](int i) { return bf16_number(i < 16 ? low[i] : high[i - 16]); });
}

// 256 bits.
FRUGAL_STEP __m256i _mm256_loadu_si256(const __m256i* p) { return read_lanes<__m256i>(p); }
FRUGAL_STEP void _mm256_storeu_si256(__m256i* p, __m256i v) { std::memcpy(p, &v, sizeof v); }
FRUGAL_STEP __m256i _mm256_load_si256(const __m256i* p) {
  need_aligned(p, 32);
  return read_lanes<__m256i>(p);
}
FRUGAL_STEP void _mm256_store_si256(__m256i* p, __m256i v) {
  need_aligned(p, 32);
  std::memcpy(p, &v, sizeof v);
}
FRUGAL_STEP __m256i _mm256_setzero_si256() { return __m256i{}; }
FRUGAL_STEP __m256i _mm256_and_si256(__m256i a, __m256i b) { return a & b; }
FRUGAL_STEP __m256i _mm256_or_si256(__m256i a, __m256i b) { return a | b; }
FRUGAL_STEP __m256i _mm256_xor_si256(__m256i a, __m256i b) { return a ^ b; }
FRUGAL_STEP __m256 _mm256_and_ps(__m256 a, __m256 b) {
  return bits_as<__m256>(bits_as<__m256i>(a) & bits_as<__m256i>(b));
}
FRUGAL_STEP __m256 _mm256_andnot_ps(__m256 a, __m256 b) {
  return bits_as<__m256>(~bits_as<__m256i>(a) & bits_as<__m256i>(b));
}
FRUGAL_STEP __m256 _mm256_round_ps(__m256 v, int mode) {
  need_nearest(mode);
  return made<__m256, float>([&](int i) { return __builtin_nearbyintf(v[i]); });
}
FRUGAL_STEP __m256 _mm256_cmp_ps(__m256 a, __m256 b, int which) {
  if (which != _CMP_GE_OQ) std::abort();
  return made<__m256, std::uint32_t>([&](int i) { return a[i] >= b[i] ? 0xFFFFFFFFU : 0U; });
}
FRUGAL_STEP __m256 _mm256_castsi256_ps(__m256i v) { return bits_as<__m256>(v); }
FRUGAL_STEP __m128i _mm256_castsi256_si128(__m256i v) { return part_of<__m128i>(v, 0); }
FRUGAL_STEP __m128i _mm256_extracti128_si256(__m256i v, int part) { return part_of<__m128i>(v, part); }
FRUGAL_STEP __m128 _mm256_castps256_ps128(__m256 v) { return part_of<__m128>(v, 0); }
FRUGAL_STEP __m128 _mm256_extractf128_ps(__m256 v, int part) { return part_of<__m128>(v, part); }
/// The upper half is anything: here it is no number.
FRUGAL_STEP __m256 _mm256_castps128_ps256(__m128 v) { return joined<__m256>(v, filled<__m128>(__builtin_nanf(""))); }
FRUGAL_STEP __m256 _mm256_insertf128_ps(__m256 v, __m128 in, int part) {
  return part == 0 ? joined<__m256>(in, part_of<__m128>(v, 1)) : joined<__m256>(part_of<__m128>(v, 0), in);
}
FRUGAL_STEP __m256i _mm256_setr_m128i(__m128i low, __m128i high) { return joined<__m256i>(low, high); }
FRUGAL_STEP __m256i _mm256_setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h) {
  const std::int32_t lanes[] = {a, b, c, d, e, f, g, h};
  return read_lanes<__m256i>(lanes);
}
FRUGAL_STEP __m256i _mm256_unpackhi_epi64(__m256i a, __m256i b) { return interleaved<std::uint64_t, 1>(a, b); }
FRUGAL_STEP __m256 _mm256_unpacklo_ps(__m256 a, __m256 b) { return interleaved<std::uint32_t, 0>(a, b); }
FRUGAL_STEP __m256 _mm256_unpackhi_ps(__m256 a, __m256 b) { return interleaved<std::uint32_t, 1>(a, b); }
FRUGAL_STEP __m256 _mm256_shuffle_ps(__m256 a, __m256 b, int which) {
  return made<__m256, float>([&](int i) {
    const int from = i / 4 * 4 + (which >> (i % 4 * 2) & 3);
    return i % 4 < 2 ? a[from] : b[from];
  });
}
/// Each 8 bytes' differences from those of b, added up.
FRUGAL_STEP __m256i _mm256_sad_epu8(__m256i a, __m256i b) {
  const auto x = bits_as<LanesOf<std::uint8_t, __m256i>>(a), y = bits_as<LanesOf<std::uint8_t, __m256i>>(b);
  return made<__m256i, long long>([&](int i) {
    long long sum = 0;
    for (int k = 8 * i; k < 8 * i + 8; ++k) sum += x[k] > y[k] ? x[k] - y[k] : y[k] - x[k];
    return sum;
  });
}
FRUGAL_STEP __m256i _mm256_packs_epi32(__m256i a, __m256i b) { return packed_ends<std::int32_t, std::int16_t>(a, b); }
FRUGAL_STEP __m256i _mm256_packs_epi16(__m256i a, __m256i b) { return packed_ends<std::int16_t, std::int8_t>(a, b); }
FRUGAL_STEP __m256i _mm256_permute4x64_epi64(__m256i v, int which) {
  return made<__m256i, long long>([&](int i) { return v[which >> (2 * i) & 3]; });
}
FRUGAL_STEP __m256i _mm256_permutevar8x32_epi32(__m256i v, __m256i which) {
  const auto x = bits_as<LanesOf<std::uint32_t, __m256i>>(v), at = bits_as<LanesOf<std::uint32_t, __m256i>>(which);
  return made<__m256i, std::uint32_t>([&](int i) { return x[at[i] % 8]; });
}
FRUGAL_STEP __m256 _mm256_cvtph_ps(__m128i v) {
  const auto halves = bits_as<LanesOf<std::uint16_t, __m128i>>(v);
  return made<__m256, float>([&](int i) { return half_number(halves[i]); });
}
FRUGAL_STEP __m128i _mm256_cvtps_ph(__m256 v, int mode) {
  need_nearest(mode);
  return made<__m128i, std::uint16_t>([&](int i) { return half_of(v[i]); });
}
FRUGAL_STEP __m256i _mm256_cvtepi8_epi32(__m128i v) {
  const auto bytes = bits_as<LanesOf<std::int8_t, __m128i>>(v);
  return made<__m256i, std::int32_t>([&](int i) { return std::int32_t{bytes[i]}; });
}
FRUGAL_STEP __m256i _mm256_dpbusd_avx_epi32(__m256i sums, __m256i a, __m256i b) { return dotted(sums, a, b); }

// 128 bits.
FRUGAL_STEP __m128 _mm_loadu_ps(const float* p) { return read_lanes<__m128>(p); }
FRUGAL_STEP __m128i _mm_loadu_si128(const __m128i* p) { return read_lanes<__m128i>(p); }
FRUGAL_STEP void _mm_storeu_si128(__m128i* p, __m128i v) { std::memcpy(p, &v, sizeof v); }
FRUGAL_STEP __m128 _mm_add_ps(__m128 a, __m128 b) { return a + b; }
FRUGAL_STEP __m128 _mm_max_ps(__m128 a, __m128 b) {
  return made<__m128, float>([&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
}
FRUGAL_STEP __m128 _mm_add_ss(__m128 a, __m128 b) {
  a[0] += b[0];
  return a;
}
FRUGAL_STEP __m128 _mm_max_ss(__m128 a, __m128 b) {
  a[0] = a[0] > b[0] ? a[0] : b[0];
  return a;
}
FRUGAL_STEP __m128 _mm_movehl_ps(__m128 a, __m128 b) { return __m128{b[2], b[3], a[2], a[3]}; }
FRUGAL_STEP __m128 _mm_movehdup_ps(__m128 v) { return __m128{v[1], v[1], v[3], v[3]}; }
FRUGAL_STEP float _mm_cvtss_f32(__m128 v) { return v[0]; }
FRUGAL_STEP int _mm_cvtsi128_si32(__m128i v) { return static_cast<int>(v[0]); }
FRUGAL_STEP __m128i _mm_srli_si128(__m128i v, int bytes) {
  char lanes[32] = {};
  std::memcpy(lanes, &v, sizeof v);
  return read_lanes<__m128i>(lanes + bytes);
}
FRUGAL_STEP __m128i _mm_packs_epi16(__m128i a, __m128i b) { return packed_ends<std::int16_t, std::int8_t>(a, b); }

}  // namespace
}  // namespace frugal::cpu
